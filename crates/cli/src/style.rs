//! The little colour there is: only on terminals, and only to tell kinds of text apart.

use std::io::{self, IsTerminal};

/// When to colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal.
    #[default]
    Auto,
    /// Always, also into pipes and files.
    Always,
    /// Never.
    Never,
}

/// Whether one stream is coloured.
#[derive(Debug, Clone, Copy)]
pub struct Style(bool);

/// Ends every style.
const RESET: &str = "\x1b[0m";
/// Less bright, for thinking and side notes.
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[33m";
const GREEN: &str = "\x1b[32m";

impl Style {
    /// For standard output.
    pub fn stdout(color: Color) -> Self {
        Self::new(color, io::stdout().is_terminal())
    }

    /// For standard error.
    pub fn stderr(color: Color) -> Self {
        Self::new(color, io::stderr().is_terminal())
    }

    fn new(color: Color, terminal: bool) -> Self {
        Self(match color {
            Color::Auto => terminal,
            Color::Always => true,
            Color::Never => false,
        })
    }

    /// Dim text.
    pub fn dim(self, text: &str) -> String {
        self.wrap(DIM, text)
    }

    /// For failures.
    pub fn red(self, text: &str) -> String {
        self.wrap(RED, text)
    }

    /// For warnings and hints.
    pub fn yellow(self, text: &str) -> String {
        self.wrap(YELLOW, text)
    }

    /// For what is well.
    pub fn green(self, text: &str) -> String {
        self.wrap(GREEN, text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        match self.0 && !text.is_empty() {
            true => format!("{code}{text}{RESET}"),
            false => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_stay_plain() {
        assert_eq!(Style::new(Color::Auto, false).dim("x"), "x");
        assert_eq!(Style::new(Color::Auto, true).dim("x"), "\x1b[2mx\x1b[0m");
        assert_eq!(Style::new(Color::Never, true).red("x"), "x");
        assert_eq!(Style::new(Color::Always, false).green(""), "");
    }
}
