//! Logits at every position of a prompt, and the greedy continuation.

use anyhow::Result;
use serde_json::{Value, json};
use tessera_engine::{Inspection, Message, Model, Position};
use tessera_text::{RenderOptions, Specials};

use crate::{
    args::{InspectArgs, values},
    context::Context,
    errors::{Exit, usage},
    loading, output,
    table::Table,
    vocabulary,
};

/// Rows of logits a step gives: enough that the outputs are not what prefill waits for.
const ROWS: usize = 64;

/// Prints a line for each position and each token of the continuation.
///
/// # Errors
/// When the model cannot be loaded or refuses the prompt.
pub fn list(
    context: &Context,
    model: &str,
    prompt: Option<&str>,
    args: &InspectArgs,
) -> Result<Exit> {
    let given = args.ids.as_deref().map(values::ids).transpose().map_err(usage)?;
    let loaded = loading::load(context, model, &args.load, |it| it.output_rows = ROWS)?;
    let model = &loaded.model;
    let tokens = match given {
        Some(ids) => ids,
        None => encode(model, prompt.unwrap_or_default(), args.template)?,
    };
    let found = model.inspect_logits(tokens, args.top, args.max_tokens).wait()?;
    match context.json() {
        true => output::json(&as_json(model, &found))?,
        false => output::write(render(model, &found))?,
    }
    Ok(Exit::Success)
}

/// The ids of a prompt: with the template as a user's message, else with what begins a text.
fn encode(model: &Model, prompt: &str, template: bool) -> Result<Vec<u32>> {
    let tokenizer = model.tokenizer();
    match model.template().filter(|_| template) {
        Some(template) => {
            let prompt = template.apply(&[Message::user(prompt)], &RenderOptions::default())?;
            Ok(tokenizer.encode_prompt(&prompt)?)
        }
        None if template => Err(usage("the model has no chat template")),
        None => Ok(tokenizer.frame(&tokenizer.encode(prompt, Specials::AsText)?)),
    }
}

/// Natural log probability of a logit at its position.
fn logprob(position: &Position, logit: f32) -> f64 {
    f64::from(logit) - position.log_sum_exp
}

fn as_json(model: &Model, found: &Inspection) -> Value {
    let spelling = |id: u32| vocabulary::spelling(model.tokenizer(), id);
    let position = |(index, at): (usize, &Position)| {
        let top: Vec<Value> = at
            .top
            .iter()
            .map(|&(id, logit)| {
                json!({ "id": id, "text": spelling(id), "logit": logit, "logprob": logprob(at, logit) })
            })
            .collect();
        json!({
            "position": index,
            "id": at.token,
            "text": spelling(at.token),
            "log_sum_exp": at.log_sum_exp,
            "top": top,
        })
    };
    let continuation: Vec<Value> = found
        .continuation
        .iter()
        .map(|it| {
            let margin = it.margin.is_finite().then_some(it.margin);
            json!({ "id": it.token, "text": spelling(it.token), "logprob": it.logprob, "margin": margin })
        })
        .collect();
    let ids: Vec<u32> = found.continuation.iter().map(|it| it.token).collect();
    json!({
        "model": model.info().name,
        "ids": found.positions.iter().map(|it| it.token).collect::<Vec<_>>(),
        "positions": found.positions.iter().enumerate().map(position).collect::<Vec<_>>(),
        "continuation": continuation,
        "continuation_text": model.tokenizer().decode(&ids),
    })
}

fn render(model: &Model, found: &Inspection) -> String {
    let shown = |id: u32| format!("\"{}\"", vocabulary::spelling(model.tokenizer(), id));
    let mut positions =
        Table::new(&["POSITION", "ID", "TEXT", "LARGEST LOGITS AFTER IT"]).right(0).right(1);
    for (index, at) in found.positions.iter().enumerate() {
        let top: Vec<String> =
            at.top.iter().map(|&(id, logit)| format!("{id} {} {logit:.3}", shown(id))).collect();
        positions.row([index.to_string(), at.token.to_string(), shown(at.token), top.join("  ")]);
    }
    let mut text = positions.to_string();
    if !found.continuation.is_empty() {
        let mut table =
            Table::new(&["CONTINUED", "LOGPROB", "MARGIN", "TEXT"]).right(0).right(1).right(2);
        for it in &found.continuation {
            let (logprob, margin) = (format!("{:.4}", it.logprob), format!("{:.4}", it.margin));
            table.row([it.token.to_string(), logprob, margin, shown(it.token)]);
        }
        text += &format!("\n{table}");
    }
    text
}
