//! Blocking work off the async threads.

use std::io;

use crate::error::{Error, Result};

/// Runs file work on a thread where it may block. If the future is dropped the work still ends.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is shutting down.
        Err(error) => Err(Error::io("use", "the file system")(io::Error::other(error))),
    }
}
