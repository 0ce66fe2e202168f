//! What the chat's commands do.

use std::path::Path;

use anyhow::{Error, Result, anyhow};

use crate::{
    chat::{
        conversation::Conversation,
        input::{self, Command},
        repl::Chat,
        stats,
    },
    table::Table,
    units,
};

impl Chat<'_> {
    /// Does what a command says; what is wrong with it is reported, and the chat goes on.
    pub fn command(&mut self, command: Command) {
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
        let mut table = Table::new(&["COMMAND", "MEANING"]);
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
            Some(_) if !self.templated => {
                self.complain("this chat has no template, so no system prompt")
            }
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
        self.settings.set(name, value).map_err(Error::msg)?;
        let name = name.trim_start_matches('-').replace('_', "-");
        let all = self.settings.listing(&self.model.info().sampling);
        if let Some((_, value)) = all.into_iter().find(|it| it.0 == name) {
            self.say(&format!("{name} is {value}"));
        }
        Ok(())
    }

    fn save(&self, path: &Path) -> Result<()> {
        self.talk.save(path)?;
        self.say(&format!("{} messages written to {}", self.talk.messages.len(), path.display()));
        Ok(())
    }

    fn load(&mut self, path: &Path) -> Result<()> {
        let talk = Conversation::load(path)?;
        if talk.model != self.talk.model {
            self.say(&format!(
                "that was a conversation with {}; {} goes on",
                talk.model, self.talk.model
            ));
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
            return Err(anyhow!("there is no message to answer"));
        }
        if self.settings.seed.is_some() {
            self.say(
                "the seed is fixed, so expect the same answer; `/set seed default` draws another",
            );
        }
        self.answer().inspect_err(|_| self.talk.messages = answer)
    }

    fn stats(&self) -> Result<()> {
        let context = self.model.info().context.tokens as u64;
        let Some(last) = &self.last else {
            self.say(&format!(
                "nothing answered yet; the context holds {} tokens",
                units::thousands(context)
            ));
            return Ok(());
        };
        let used = (last.usage.prompt_tokens + last.usage.completion_tokens) as u64;
        let memory = self.model.status().memory;
        self.say(&stats::line(last));
        self.say(&format!(
            "context: {} of {} tokens ({:.0} %), {} remembered beside {} of weights",
            units::thousands(used),
            units::thousands(context),
            100.0 * used as f64 / context.max(1) as f64,
            units::bytes(memory.state as u64),
            units::bytes((memory.weights + memory.mapped) as u64),
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
