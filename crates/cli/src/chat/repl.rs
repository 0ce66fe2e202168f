//! The chat: read, answer, repeat.

use std::path::{Path, PathBuf};

use anyhow::Result;
use tessera_engine::{Finished, Message, Model, Request, Session};

use crate::{
    args::{GenerationArgs, RunArgs},
    chat::{
        answer,
        conversation::{Conversation, Speaker},
        editor::{Prompt, Typed},
        input::{self, Command, Input},
        printer::Printer,
        stats,
    },
    context::Context,
    errors::{self, Exit},
    output,
    table::Table,
    units,
};

/// A conversation with one model.
struct Chat<'a> {
    context: &'a Context,
    model: Model,
    session: Session,
    talk: Conversation,
    settings: GenerationArgs,
    /// Messages go through the model's template; without one, each is continued as plain text.
    templated: bool,
    hide_thinking: bool,
    stats: bool,
    last: Option<Finished>,
}

/// Chats until the person leaves.
///
/// # Errors
/// When the terminal cannot be used.
pub fn run(context: &Context, name: &str, model: Model, args: RunArgs) -> Result<Exit> {
    let mut prompt = Prompt::new(if args.no_history { None } else { history(context)? })?;
    let templated = model.template().is_some() && !args.no_template;
    let mut chat = Chat {
        context,
        session: model.session(),
        talk: Conversation { model: name.to_owned(), system: args.system, messages: Vec::new() },
        settings: args.generation,
        templated,
        hide_thinking: args.hide_thinking,
        stats: args.stats,
        last: None,
        model,
    };
    chat.greet(name);
    loop {
        match prompt.read()? {
            Typed::Text(text) => match input::parse(&text) {
                Input::Empty => {}
                Input::Message(message) => chat.message(message),
                Input::Command(Command::Exit) => return Ok(Exit::Success),
                Input::Command(command) => chat.command(command),
                Input::Mistake(mistake) => chat.complain(&mistake),
            },
            Typed::Interrupt => chat.say("to leave, press Ctrl-D or type /exit"),
            Typed::End => return Ok(Exit::Success),
        }
    }
}

/// Where typed lines are remembered: beside the models.
fn history(context: &Context) -> Result<Option<PathBuf>> {
    let models = context.hub()?.options().package_cache.clone();
    Ok(models.parent().map(|folder| folder.join("history.txt")))
}

impl Chat<'_> {
    fn greet(&self, name: &str) {
        if self.context.global.quiet {
            return;
        }
        self.say(&format!("{name}, context {}. /help lists the commands.", self.model.info().context));
        if !self.templated {
            self.say("No chat template: every message is continued as plain text, without the ones before.");
        }
    }

    /// Says something that was asked for.
    fn say(&self, text: &str) {
        output::note(self.context.note_style().dim(text));
    }

    fn complain(&self, text: &str) {
        let style = self.context.note_style();
        output::note(format_args!("{} {text}", style.red("error:")));
    }

    fn report(&self, error: &anyhow::Error) {
        output::note(errors::report(error, self.context.note_style()).trim_end());
    }

    /// Answers a message; a message that cannot be answered is forgotten.
    fn message(&mut self, message: String) {
        self.talk.say(Speaker::User, message);
        if let Err(error) = self.answer() {
            self.talk.messages.pop();
            self.report(&error);
        }
    }

    fn answer(&mut self) -> Result<()> {
        let generation = self.model.generate(self.request());
        let printer = Printer::new(self.context, self.templated, self.hide_thinking);
        let answer = answer::follow(self.context, generation, Some(printer))?;
        if answer.is_stopped() {
            self.say("(stopped)");
        }
        self.talk.say(Speaker::Assistant, answer.text);
        self.last = Some(answer.finished);
        if self.stats {
            self.say(&stats::line(&answer.finished));
        }
        Ok(())
    }

    fn request(&self) -> Request {
        let request = match self.templated {
            true => {
                let message = |turn: &crate::chat::conversation::Turn| match turn.role {
                    Speaker::User => Message::user(&turn.content),
                    Speaker::Assistant => Message::assistant(&turn.content),
                };
                Request {
                    system: self.talk.system.clone(),
                    ..Request::messages(self.talk.messages.iter().map(message).collect::<Vec<_>>())
                }
            }
            false => {
                let last = self.talk.messages.last().map(|it| it.content.clone());
                Request { template: false, ..Request::text(last.unwrap_or_default()) }
            }
        };
        self.settings.apply(request).in_session(&self.session)
    }

    fn command(&mut self, command: Command) {
        let done = match command {
            Command::Help => self.help(),
            Command::System(text) => self.system(text),
            Command::Settings => self.settings(),
            Command::Set(name, value) => self.set(&name, &value),
            Command::Save(file) => self.save(Path::new(&file)),
            Command::Load(file) => self.load(Path::new(&file)),
            Command::Regen => self.regen(),
            Command::Stats => self.stats(),
            Command::Clear => self.clear(),
            // Dealt with by the loop.
            Command::Exit => Ok(()),
        };
        if let Err(error) = done {
            self.report(&error);
        }
    }

    fn help(&self) -> Result<()> {
        let mut table = Table::new(&["COMMAND", ""]);
        for (usage, text) in input::HELP {
            table.row([(*usage).to_owned(), (*text).to_owned()]);
        }
        self.say(&format!("{table}{}", input::LINES));
        Ok(())
    }

    fn system(&mut self, text: Option<String>) -> Result<()> {
        match text {
            None => match &self.talk.system {
                Some(system) => self.say(system),
                None => self.say("there is no system prompt"),
            },
            Some(_) if !self.templated => self.complain("this chat has no template, so no system prompt"),
            Some(text) if text.is_empty() => {
                self.talk.system = None;
                self.say("system prompt removed");
            }
            Some(text) => {
                self.talk.system = Some(text);
                self.say("system prompt replaced; the conversation goes on");
            }
        }
        Ok(())
    }

    fn settings(&self) -> Result<()> {
        let mut table = Table::new(&["SETTING", "VALUE"]);
        for (name, value) in self.settings.listing(&self.model.info().sampling) {
            table.row([name.to_owned(), value]);
        }
        self.say(table.to_string().trim_end());
        Ok(())
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        self.settings.set(name, value).map_err(anyhow::Error::msg)
    }

    fn save(&self, path: &Path) -> Result<()> {
        self.talk.save(path)?;
        self.say(&format!("{} messages written to {}", self.talk.messages.len(), path.display()));
        Ok(())
    }

    fn load(&mut self, path: &Path) -> Result<()> {
        let talk = Conversation::load(path)?;
        if talk.model != self.talk.model {
            self.say(&format!("that was a conversation with {}; {} goes on", talk.model, self.talk.model));
        }
        self.say(&format!("{} messages read", talk.messages.len()));
        let model = std::mem::take(&mut self.talk.model);
        self.talk = Conversation { model, ..talk };
        Ok(())
    }

    fn regen(&mut self) -> Result<()> {
        let answer = self.talk.messages.clone();
        if !self.talk.take_answer_back() {
            self.talk.messages = answer;
            return Err(anyhow::anyhow!("there is no message to answer"));
        }
        if self.settings.seed.is_some() {
            self.say("the seed is fixed, so expect the same answer; `/set seed default` draws another");
        }
        self.answer().inspect_err(|_| self.talk.messages = answer)
    }

    fn stats(&self) -> Result<()> {
        let context = self.model.info().context.tokens as u64;
        let Some(last) = &self.last else {
            self.say(&format!("nothing answered yet; the context holds {} tokens", units::thousands(context)));
            return Ok(());
        };
        let used = (last.usage.prompt_tokens + last.usage.completion_tokens) as u64;
        let memory = self.model.status().memory;
        self.say(&stats::line(last));
        self.say(&format!(
            "context: {} of {} tokens ({:.0} %), {} of keys and values beside {} of weights",
            units::thousands(used),
            units::thousands(context),
            100.0 * used as f64 / context.max(1) as f64,
            units::bytes(memory.pages as u64),
            units::bytes(memory.weights as u64),
        ));
        Ok(())
    }

    fn clear(&mut self) -> Result<()> {
        self.talk.messages.clear();
        self.session = self.model.session();
        self.last = None;
        self.say("forgotten");
        Ok(())
    }
}
