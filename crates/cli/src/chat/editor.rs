//! The line a person types: editing, history, several lines, and Tab for commands.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use rustyline::{
    Config, Editor, Helper,
    completion::{Completer, Pair},
    error::ReadlineError,
    highlight::Highlighter,
    hint::Hinter,
    history::DefaultHistory,
    validate::{ValidationContext, ValidationResult, Validator},
};

use crate::chat::input;

const PROMPT: &str = ">>> ";
/// Inputs remembered.
const HISTORY: usize = 1000;

/// What came from the keyboard.
#[derive(Debug, PartialEq, Eq)]
pub enum Typed {
    /// A complete input, perhaps of several lines.
    Text(String),
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-D.
    End,
}

/// Reads complete inputs.
pub struct Prompt {
    editor: Editor<Rules, DefaultHistory>,
    history: Option<PathBuf>,
}

impl Prompt {
    /// A prompt whose history lies in `history` (nowhere if `None`).
    ///
    /// # Errors
    /// When the terminal cannot be used.
    pub fn new(history: Option<PathBuf>) -> Result<Self> {
        let config = Config::builder()
            .max_history_size(HISTORY)
            .and_then(|it| it.history_ignore_dups(true))
            .map(|it| it.bracketed_paste(true).auto_add_history(false).build())
            .context("cannot set the line editor up")?;
        let mut editor = Editor::with_config(config).context("cannot use the terminal")?;
        editor.set_helper(Some(Rules));
        if let Some(path) = &history {
            // There is none in the beginning.
            let _ = editor.load_history(path);
        }
        Ok(Self { editor, history })
    }

    /// Waits for an input.
    ///
    /// # Errors
    /// When the terminal fails.
    pub fn read(&mut self) -> Result<Typed> {
        match self.editor.readline(PROMPT) {
            Ok(text) => {
                self.remember(&text);
                Ok(Typed::Text(text))
            }
            Err(ReadlineError::Interrupted) => Ok(Typed::Interrupt),
            Err(ReadlineError::Eof) => Ok(Typed::End),
            Err(error) => Err(error).context("cannot read from the terminal"),
        }
    }

    /// Keeps an input for the arrow keys, also of later runs. A history that cannot be written is
    /// not worth a word.
    fn remember(&mut self, text: &str) {
        if text.trim().is_empty() || !self.editor.add_history_entry(text).unwrap_or(false) {
            return;
        }
        if let Some(path) = &self.history {
            if let Some(folder) = path.parent() {
                let _ = std::fs::create_dir_all(folder);
            }
            let _ = self.editor.append_history(path);
        }
    }
}

/// When an input is complete, and what Tab offers.
struct Rules;

impl Validator for Rules {
    fn validate(&self, context: &mut ValidationContext) -> rustyline::Result<ValidationResult> {
        Ok(match input::is_open(context.input()) {
            true => ValidationResult::Incomplete,
            false => ValidationResult::Valid(None),
        })
    }
}

impl Completer for Rules {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = line.get(..at).unwrap_or_default();
        Ok((0, commands(typed)))
    }
}

/// The commands that begin like `typed`.
fn commands(typed: &str) -> Vec<Pair> {
    if !typed.starts_with('/') {
        return Vec::new();
    }
    let words = input::HELP.iter().filter_map(|(usage, _)| usage.split(' ').next());
    words
        .filter(|word| word.starts_with(typed))
        .map(|word| Pair { display: word.to_owned(), replacement: word.to_owned() })
        .collect()
}

impl Hinter for Rules {
    type Hint = String;
}

impl Highlighter for Rules {}

impl Helper for Rules {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tab_completes_commands_only() {
        let words =
            |typed| commands(typed).into_iter().map(|it| it.replacement).collect::<Vec<_>>();
        assert_eq!(words("/re"), ["/regen"]);
        assert_eq!(words("/s"), ["/system", "/set", "/save", "/stats"]);
        assert!(words("s").is_empty());
    }
}
