//! `tessera run`: one answer, or a chat.

use std::io::{self, IsTerminal};

use anyhow::Result;
use serde_json::{Value, json};
use tessera_engine::{Model, Request, Token};

use crate::{
    args::RunArgs,
    chat::{
        answer::{self, Answer},
        printer::Printer,
        repl, stats, think,
    },
    commands::model_and_text,
    context::Context,
    errors::{Exit, usage},
    input, loading, output,
    table::Table,
    vocabulary,
};

/// Answers the prompt; without one, chats.
///
/// # Errors
/// When the model cannot be loaded, or refuses or fails to answer.
pub fn run(context: &Context, args: RunArgs) -> Result<Exit> {
    let (name, prompt) = model_and_text(args.model.clone(), args.prompt.clone());
    let prompt = join(prompt, piped()?);
    if prompt.is_none() {
        refuse_chat(context, &args)?;
    }
    let loaded = loading::load(context, &name, &args.load, |_| {})?;
    let model = &loaded.model;
    let Some(prompt) = prompt else { return repl::run(context, &name, model.clone(), args) };

    let templated = model.template().is_some() && !args.no_template;
    let request = Request {
        system: args.system.clone(),
        template: !args.no_template,
        logprobs: args.logprobs.is_some(),
        top_logprobs: usize::from(args.logprobs.unwrap_or(0)),
        ..args.generation.apply(Request::text(prompt))
    };
    let printer = Printer::new(context, templated, args.hide_thinking);
    let printer = (!context.json()).then_some(printer);
    let answer = answer::follow(context, model.generate(request), printer)?;
    match context.json() {
        true => output::json(&as_json(&name, model, &answer, templated, args.logprobs.is_some()))?,
        false => {
            if let Some(note) = answer.note() {
                context.note(&note);
            }
            if args.logprobs.is_some() {
                output::note(logprobs(model, &answer.tokens));
            }
            if args.stats {
                output::note(context.note_style().dim(&stats::line(&answer.finished)));
            }
        }
    }
    Ok(if answer.is_stopped() { Exit::Interrupted } else { Exit::Success })
}

/// What is piped in, if anything is.
fn piped() -> Result<Option<String>> {
    match input::is_piped() {
        true => Ok(Some(input::read()?).filter(|text| !text.trim().is_empty())),
        false => Ok(None),
    }
}

/// The prompt of the command line, then what was piped in.
fn join(prompt: Option<String>, piped: Option<String>) -> Option<String> {
    match (prompt, piped) {
        (Some(prompt), Some(piped)) => {
            Some(format!("{prompt}\n\n{}", piped.trim_end_matches('\n')))
        }
        (None, Some(piped)) => Some(piped.trim_end_matches('\n').to_owned()),
        (prompt, None) => prompt,
    }
}

/// A chat needs a terminal, and some options make sense for one answer only.
fn refuse_chat(context: &Context, args: &RunArgs) -> Result<()> {
    let wrong = if !io::stdin().is_terminal() {
        "standard input is empty, and there is no prompt"
    } else if context.json() {
        "--json needs a prompt"
    } else if !io::stdout().is_terminal() {
        "a chat needs a terminal; give a prompt to write the answer elsewhere"
    } else if args.logprobs.is_some() {
        "--logprobs needs a prompt"
    } else {
        return Ok(());
    };
    Err(usage(wrong))
}

fn as_json(name: &str, model: &Model, answer: &Answer, templated: bool, logprobs: bool) -> Value {
    let (thinking, text) = match templated {
        true => think::split(&answer.text),
        false => (String::new(), answer.text.clone()),
    };
    let mut value = stats::json(&answer.finished);
    value["model"] = name.into();
    value["text"] = text.into();
    value["seed"] = answer.started.seed.into();
    value["context"] = model.info().context.tokens.into();
    if !thinking.is_empty() {
        value["thinking"] = thinking.into();
    }
    if logprobs {
        let tokens = answer.tokens.iter().map(|token| token_json(model, token));
        value["tokens"] = tokens.collect::<Vec<_>>().into();
    }
    value
}

fn token_json(model: &Model, token: &Token) -> Value {
    let spelling = |id: u32| vocabulary::spelling(model.tokenizer(), id);
    let top: Vec<Value> = token
        .top
        .iter()
        .map(|&(id, logprob)| json!({ "id": id, "text": spelling(id), "logprob": logprob }))
        .collect();
    json!({ "id": token.id, "text": spelling(token.id), "logprob": token.logprob, "top": top })
}

fn logprobs(model: &Model, tokens: &[Token]) -> String {
    let shown = |id: u32| format!("\"{}\"", vocabulary::spelling(model.tokenizer(), id));
    let mut table = Table::new(&["ID", "LOGPROB", "TEXT", "MOST LIKELY"]).right(0).right(1);
    for token in tokens {
        let others: Vec<String> =
            token.top.iter().map(|&(id, logprob)| format!("{} {logprob:.3}", shown(id))).collect();
        let own = token.logprob.map(|it| format!("{it:.4}")).unwrap_or_default();
        table.row([token.id.to_string(), own, shown(token.id), others.join("  ")]);
    }
    table.to_string().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_piped_follows_the_prompt() {
        let own = |text: &str| Some(text.to_owned());
        assert_eq!(join(own("Sum up:"), own("a\nb\n")), own("Sum up:\n\na\nb"));
        assert_eq!(join(None, own("a\n")), own("a"));
        assert_eq!(join(own("p"), None), own("p"));
        assert_eq!(join(None, None), None);
    }
}
