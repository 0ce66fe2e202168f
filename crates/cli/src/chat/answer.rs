//! Reads one answer as it comes.

use anyhow::Result;
use tessera_engine::{Event, FinishReason, Finished, Generation, Started, Token};

use crate::{chat::printer::Printer, context::Context};

/// An answer, whole or stopped.
#[derive(Debug, Clone)]
pub struct Answer {
    /// All text, thinking included.
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
            Event::Started(event) => started = event,
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
