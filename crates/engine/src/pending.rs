//! An answer that is on its way.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use crate::{
    GenerateError,
    queue::{Reader, queue},
    work::Cancel,
};

/// An answer that the engine is working on: await it under any executor, or [`wait`](Self::wait) for it.
/// Dropping it cancels the work.
pub struct Pending<T> {
    answer: Reader<Result<T, GenerateError>>,
    cancel: Cancel,
}

impl<T> Pending<T> {
    pub(crate) fn new(answer: Reader<Result<T, GenerateError>>, cancel: Cancel) -> Self {
        Self { answer, cancel }
    }

    /// An answer that is here already.
    pub(crate) fn ready(answer: Result<T, GenerateError>) -> Self {
        let (writer, reader) = queue(1);
        writer.push(answer);
        Self::new(reader, Cancel::default())
    }

    /// Waits for the answer, blocking the thread.
    pub fn wait(mut self) -> Result<T, GenerateError> {
        self.answer.next_blocking().unwrap_or(Err(GenerateError::Unloaded))
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, GenerateError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.answer.poll_next(cx).map(|answer| answer.unwrap_or(Err(GenerateError::Unloaded)))
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        self.cancel.set();
    }
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pending")
    }
}
