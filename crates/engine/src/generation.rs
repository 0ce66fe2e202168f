//! The reader's end of a request.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use crate::{
    Completion, Event, GenerateError,
    command::Commands,
    queue::{Reader, Writer, queue},
    work::Cancel,
};

/// A request being answered: a stream of [`Event`]s.
///
/// Read it as a [`Stream`](futures_core::Stream) under any executor, event by event with
/// [`next_blocking`](Self::next_blocking), or all at once with [`collect`](Self::collect). It ends after
/// [`Event::Finished`] or the first error. Dropping it cancels the request.
pub struct Generation {
    events: Reader<Result<Event, GenerateError>>,
    cancel: Cancel,
    ended: bool,
    /// The model lives as long as someone waits for its answer.
    _commands: Commands,
}

impl Generation {
    pub(crate) fn new(
        events: Reader<Result<Event, GenerateError>>,
        cancel: Cancel,
        commands: Commands,
    ) -> Self {
        Self { events, cancel, ended: false, _commands: commands }
    }

    /// A generation that has failed before it began.
    pub(crate) fn failed(error: GenerateError, commands: Commands) -> Self {
        let (writer, reader): (Writer<_>, _) = queue(1);
        writer.push(Err(error));
        Self::new(reader, Cancel::default(), commands)
    }

    /// Asks the model to stop; [`Event::Finished`] with
    /// [`Cancelled`](crate::FinishReason::Cancelled) follows.
    pub fn cancel(&self) {
        self.cancel.set();
    }

    /// A handle that cancels this request from elsewhere (a signal handler's thread, say).
    pub fn canceller(&self) -> Canceller {
        Canceller::new(self.cancel.clone())
    }

    /// Waits for the next event, blocking the thread; `None` after the last.
    pub fn next_blocking(&mut self) -> Option<Result<Event, GenerateError>> {
        if self.ended {
            return None;
        }
        let next = self.events.next_blocking();
        self.passed(next)
    }

    /// Waits for the end, blocking the thread, and returns everything.
    pub fn collect(mut self) -> Result<Completion, GenerateError> {
        let (mut text, mut tokens, mut started) = (String::new(), Vec::new(), Default::default());
        while let Some(event) = self.next_blocking() {
            match event? {
                Event::Started(event) => started = event,
                Event::Token(token) => tokens.push(token),
                Event::Text(more) => text.push_str(&more),
                Event::Finished(finished) => {
                    return Ok(Completion { text, tokens, started, finished });
                }
            }
        }
        Err(GenerateError::Unloaded)
    }

    /// Notes the end; a queue that ends without one means that the model is gone.
    fn passed(
        &mut self,
        next: Option<Result<Event, GenerateError>>,
    ) -> Option<Result<Event, GenerateError>> {
        let next = next.unwrap_or(Err(GenerateError::Unloaded));
        self.ended = !matches!(next, Ok(Event::Started(_) | Event::Token(_) | Event::Text(_)));
        Some(next)
    }
}

impl futures_core::Stream for Generation {
    type Item = Result<Event, GenerateError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match self.events.poll_next(cx) {
            Poll::Ready(next) => Poll::Ready(self.passed(next)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.cancel.set();
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation").field("ended", &self.ended).finish_non_exhaustive()
    }
}

/// Cancels a [`Generation`] or a [`Loading`](crate::Loading) from elsewhere.
#[derive(Debug, Clone)]
pub struct Canceller(Cancel);

impl Canceller {
    pub(crate) fn new(cancel: Cancel) -> Self {
        Self(cancel)
    }

    /// Asks for it to stop.
    pub fn cancel(&self) {
        self.0.set();
    }
}
