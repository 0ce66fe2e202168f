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
};

/// A conversation with one model.
pub struct Chat<'a> {
    pub(super) context: &'a Context,
    pub(super) model: Model,
    pub(super) session: Session,
    pub(super) talk: Conversation,
    pub(super) settings: GenerationArgs,
    /// Messages go through the model's template; without one, each is continued as plain text.
    pub(super) templated: bool,
    pub(super) hide_thinking: bool,
    pub(super) stats: bool,
    pub(super) last: Option<Finished>,
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
        // Of a path the last part says enough.
        let name = Path::new(name).file_name().map_or(name.into(), |it| it.to_string_lossy());
        let context = self.model.info().context;
        self.say(&format!("{name}, context {context}. /help lists the commands."));
        if !self.templated {
            self.say("No chat template: every message is continued as plain text, without the ones before.");
        }
    }

    /// Says something that was asked for.
    pub(super) fn say(&self, text: &str) {
        output::note(self.context.note_style().dim(text));
    }

    pub(super) fn complain(&self, text: &str) {
        let style = self.context.note_style();
        output::note(format_args!("{} {text}", style.red("error:")));
    }

    pub(super) fn report(&self, error: &anyhow::Error) {
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

    pub(super) fn answer(&mut self) -> Result<()> {
        let generation = self.model.generate(self.request());
        let printer = Printer::new(self.context, self.templated, self.hide_thinking);
        let answer = answer::follow(self.context, generation, Some(printer))?;
        if let Some(note) = answer.note() {
            self.say(&note);
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
}
