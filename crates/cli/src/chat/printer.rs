//! Shows an answer while it is written.

use std::io::{self, Write};

use anyhow::Result;

use crate::{
    chat::think::{Piece, Splitter},
    context::Context,
    output,
    style::Style,
};

/// Prints text as it comes: answers on standard output, thinking dimmed on standard error, so that
/// a pipe carries the answer alone.
#[derive(Debug)]
pub struct Printer {
    /// `None` shows the text as it is, tags included.
    splitter: Option<Splitter>,
    show_thinking: bool,
    style: Style,
    /// Whether thinking was printed after which no line has ended.
    thinking: bool,
    /// Whether the last character of the answer ended a line (or there was none).
    at_line_start: bool,
}

impl Printer {
    /// Nothing printed yet. `split` tells thinking from answering.
    pub fn new(context: &Context, split: bool, hide_thinking: bool) -> Self {
        Self {
            splitter: split.then(Splitter::default),
            show_thinking: !hide_thinking && !context.global.quiet,
            style: context.note_style(),
            thinking: false,
            at_line_start: true,
        }
    }

    /// Prints the next bit.
    ///
    /// # Errors
    /// [`output::Closed`] when nobody reads standard output.
    pub fn push(&mut self, text: &str) -> Result<()> {
        let mut pieces = Vec::new();
        match &mut self.splitter {
            Some(splitter) => splitter.push(text, |piece| pieces.push(piece)),
            None => pieces.push(Piece { text: text.to_owned(), thinking: false }),
        }
        pieces.into_iter().try_for_each(|piece| self.show(piece))
    }

    /// The end of the answer: prints what was held back and ends the line.
    ///
    /// # Errors
    /// As [`Printer::push`].
    pub fn finish(&mut self) -> Result<()> {
        let mut pieces = Vec::new();
        if let Some(mut splitter) = self.splitter.take() {
            splitter.finish(|piece| pieces.push(piece));
        }
        pieces.into_iter().try_for_each(|piece| self.show(piece))?;
        self.end_thinking("\n");
        if !self.at_line_start {
            output::write("\n")?;
            self.at_line_start = true;
        }
        Ok(())
    }

    fn show(&mut self, piece: Piece) -> Result<()> {
        if piece.thinking {
            if self.show_thinking {
                // Nobody's loss if standard error is closed.
                let _ = write!(io::stderr().lock(), "{}", self.style.dim(&piece.text));
                self.thinking = true;
            }
            return Ok(());
        }
        self.end_thinking("\n\n");
        self.at_line_start = piece.text.ends_with('\n');
        output::write(piece.text)
    }

    fn end_thinking(&mut self, gap: &str) {
        if std::mem::take(&mut self.thinking) {
            let _ = write!(io::stderr().lock(), "{gap}");
        }
    }
}
