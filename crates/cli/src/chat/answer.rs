//! Reads one answer as it comes.

use anyhow::Result;
use tessera_engine::{Event, FinishReason, Finished, Generation, Started, Token};

use crate::{
    chat::{printer::Printer, think::OPENED},
    context::Context,
    units,
};

/// An answer, whole or stopped.
#[derive(Debug, Clone)]
pub struct Answer {
    /// All text, thinking and its tags included.
    pub text: String,
    /// All tokens.
    pub tokens: Vec<Token>,
    /// The request as the engine understood it.
    pub started: Started,
    /// How it ended.
    pub finished: Finished,
}

impl Answer {
    /// Whether Ctrl-C ended it.
    pub fn is_stopped(&self) -> bool {
        self.finished.reason == FinishReason::Cancelled
    }

    /// What a person should know about an answer that does not end where the model would have ended it.
    pub fn note(&self) -> Option<String> {
        let tokens = units::plural(self.finished.usage.completion_tokens, "token");
        match self.finished.reason {
            FinishReason::Cancelled => Some("(stopped)".to_owned()),
            FinishReason::Length => Some(format!("(cut off after {tokens}, by max-tokens)")),
            FinishReason::Context => {
                Some(format!("(cut off after {tokens}: the context is full; see --context)"))
            }
            _ => None,
        }
    }
}

/// Follows a generation to its end, printing as it goes; Ctrl-C stops it.
///
/// # Errors
/// When the engine refuses or fails, or nobody reads standard output (the generation is cancelled
/// then).
pub fn follow(
    context: &Context,
    mut generation: Generation,
    mut printer: Option<Printer>,
) -> Result<Answer> {
    let canceller = generation.canceller();
    let work = || read(&mut generation, &mut printer);
    let (answer, _) = context.interrupts.during(move || canceller.cancel(), work);
    if let Some(printer) = &mut printer {
        // The line is ended also where the answer broke off.
        printer.finish()?;
    }
    answer
}

fn read(generation: &mut Generation, printer: &mut Option<Printer>) -> Result<Answer> {
    let (mut text, mut tokens, mut started) = (String::new(), Vec::new(), Started::default());
    while let Some(event) = generation.next_blocking() {
        match event? {
            Event::Started(event) => {
                started = event;
                if started.thinking {
                    // The template has written the tag; it belongs to the answer all the same.
                    text.push_str(OPENED);
                    if let Some(printer) = printer {
                        printer.push(OPENED)?;
                    }
                }
            }
            Event::Token(token) => tokens.push(token),
            Event::Text(more) => {
                text.push_str(&more);
                if let Some(printer) = printer {
                    printer.push(&more)?;
                }
            }
            Event::Finished(finished) => return Ok(Answer { text, tokens, started, finished }),
            _ => {}
        }
    }
    Err(anyhow::anyhow!("the answer ended without an end; please report this"))
}
