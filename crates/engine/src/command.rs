//! What the scheduler's thread is told to do.

use std::sync::{Arc, mpsc};

use crate::{
    runner::Runner,
    work::{SessionId, Work},
};

/// What the scheduler's thread is told to do.
pub(crate) enum Command {
    /// Run this.
    Submit(Box<Work>),
    /// Forget what this session remembers.
    EndSession(SessionId),
    /// Call this between two steps.
    Exclusive(Box<dyn FnOnce(&mut Runner) + Send>),
    /// Fail everything, free the memory and call this.
    Unload(Box<dyn FnOnce() + Send>),
}

/// Where commands are sent; the thread ends when the last clone is gone.
#[derive(Clone)]
pub(crate) struct Commands(Arc<mpsc::Sender<Command>>);

impl Commands {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Command>) {
        let (sender, receiver) = mpsc::channel();
        (Self(Arc::new(sender)), receiver)
    }

    /// Hands the command back when nobody listens any more.
    pub(crate) fn send(&self, command: Command) -> Result<(), Command> {
        self.0.send(command).map_err(|mpsc::SendError(command)| command)
    }

    /// Whether both lead to the same thread.
    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
