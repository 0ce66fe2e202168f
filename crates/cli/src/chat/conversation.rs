//! A conversation, and its file.

use std::{fs, path::Path};

use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};

/// A conversation file larger than this is not read, in bytes.
const LARGEST: u64 = 64 << 20;

/// Who said something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Who said it.
    pub role: Speaker,
    /// What was said.
    pub content: String,
}

/// What was said so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversation {
    /// The model that answered; for people.
    pub model: String,
    /// The system prompt.
    pub system: Option<String>,
    /// The messages, oldest first.
    pub messages: Vec<Turn>,
}

impl Conversation {
    /// Adds a message.
    pub fn say(&mut self, role: Speaker, content: impl Into<String>) {
        self.messages.push(Turn { role, content: content.into() });
    }

    /// Takes the last answer back, so that the last word is the person's; false if there is none.
    pub fn take_answer_back(&mut self) -> bool {
        let answered = self.messages.last().is_some_and(|it| it.role == Speaker::Assistant);
        if answered {
            self.messages.pop();
        }
        self.messages.last().is_some_and(|it| it.role == Speaker::User)
    }

    /// Writes the conversation as JSON. A file that holds something else is not overwritten.
    ///
    /// # Errors
    /// When the file holds something else or cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        if path.exists() && Self::load(path).is_err() {
            return Err(anyhow!(
                "{} exists and is not a conversation; not overwritten",
                path.display()
            ));
        }
        let text = serde_json::to_string_pretty(self).context("cannot express the conversation")?;
        fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
    }

    /// Reads a conversation.
    ///
    /// # Errors
    /// When the file cannot be read or holds something else.
    pub fn load(path: &Path) -> Result<Self> {
        let name = path.display();
        let size = fs::metadata(path).with_context(|| format!("cannot read {name}"))?.len();
        if size > LARGEST {
            return Err(anyhow!("{name} has {size} bytes, more than {LARGEST}"));
        }
        let bytes = fs::read(path).with_context(|| format!("cannot read {name}"))?;
        serde_json::from_slice(&bytes).with_context(|| format!("{name} is not a conversation"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saved_conversations_come_back_and_other_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("talk.json");
        let mut talk =
            Conversation { model: "m".into(), system: Some("ä".into()), messages: vec![] };
        talk.say(Speaker::User, "hi\n\"x\"");
        talk.save(&path).unwrap();
        talk.say(Speaker::Assistant, "hello");
        talk.save(&path).unwrap();
        assert_eq!(Conversation::load(&path).unwrap(), talk);

        let other = folder.path().join("other.txt");
        fs::write(&other, "precious").unwrap();
        assert!(talk.save(&other).unwrap_err().to_string().contains("not overwritten"));
        assert_eq!(fs::read_to_string(&other).unwrap(), "precious");
        assert!(Conversation::load(&other).is_err());
        assert!(Conversation::load(&folder.path().join("none")).is_err());
        fs::write(&other, "[".repeat(100_000)).unwrap();
        assert!(Conversation::load(&other).is_err(), "deep nesting is an error");
    }

    #[test]
    fn taking_back_leaves_the_question() {
        let mut talk = Conversation::default();
        assert!(!talk.take_answer_back());
        talk.say(Speaker::User, "q");
        talk.say(Speaker::Assistant, "a");
        assert!(talk.take_answer_back());
        assert_eq!(talk.messages.len(), 1);
    }
}
