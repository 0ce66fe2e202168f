//! What a model is doing between the call to load it and the last drop.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use crate::{
    Listener,
    queue::{Reader, Writer, queue},
};

/// State of a model's life.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Lifecycle {
    /// Nothing has begun.
    Idle,
    /// The name is being looked up.
    Resolving {
        /// As it was given.
        name: String,
    },
    /// A file is being fetched.
    Downloading {
        /// File name within the model.
        file: String,
        /// Bytes here.
        done: u64,
        /// Bytes in all; `None` while unknown.
        total: Option<u64>,
        /// Mean rate of this transfer, once it can be told.
        bytes_per_second: Option<f64>,
    },
    /// What else happens while a model is found and fetched: which source is tried, how much it is.
    Fetching(tessera_hub::Event),
    /// The model is being made ready.
    Loading {
        /// What is being done.
        stage: Stage,
        /// Bytes done, in stages that count them.
        done: u64,
        /// Bytes in all; 0 in stages that do not count.
        total: u64,
    },
    /// Requests are answered.
    Ready,
    /// Loading failed, or the model broke while running; requests are refused.
    Failed {
        /// Why.
        message: String,
    },
    /// Memory has been given back.
    Unloaded,
}

/// Part of loading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Headers and configuration.
    Open,
    /// Vocabulary and chat template.
    Text,
    /// The graph, and whether it fits.
    Plan,
    /// Weights, into the backend's layout.
    Weights,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "opening files",
            Self::Text => "reading the tokenizer",
            Self::Plan => "planning",
            Self::Weights => "laying out weights",
        })
    }
}

/// A stream of [`Lifecycle`] states, beginning with the current one.
///
/// Progress within one file or stage replaces earlier progress that has not been read, so a slow
/// reader sees every state but not every byte count.
pub struct LifecycleStream(Reader<Lifecycle>);

impl LifecycleStream {
    /// Waits for the next state, blocking the thread; `None` when the model is gone.
    pub fn next_blocking(&mut self) -> Option<Lifecycle> {
        self.0.next_blocking()
    }
}

impl futures_core::Stream for LifecycleStream {
    type Item = Lifecycle;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Lifecycle>> {
        self.0.poll_next(cx)
    }
}

impl fmt::Debug for LifecycleStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LifecycleStream")
    }
}

/// Tells everyone who asked.
pub(crate) struct Broadcast {
    inner: Mutex<Inner>,
    listener: Option<Listener>,
}

struct Inner {
    current: Lifecycle,
    writers: Vec<Writer<Lifecycle>>,
}

impl Broadcast {
    pub(crate) fn new(listener: Option<Listener>) -> Self {
        let inner = Mutex::new(Inner { current: Lifecycle::Idle, writers: Vec::new() });
        Self { inner, listener }
    }

    pub(crate) fn current(&self) -> Lifecycle {
        self.lock().current.clone()
    }

    pub(crate) fn subscribe(&self) -> LifecycleStream {
        let (writer, reader) = queue(4);
        let mut inner = self.lock();
        writer.push(inner.current.clone());
        inner.writers.push(writer);
        LifecycleStream(reader)
    }

    pub(crate) fn set(&self, next: Lifecycle) {
        if let Some(listener) = &self.listener {
            listener(&next);
        }
        let mut inner = self.lock();
        inner.writers.retain(|writer| writer.update(|unread| append(unread, &next)));
        inner.current = next;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Appends `next`, replacing unread progress of the same file or stage.
fn append(unread: &mut VecDeque<Lifecycle>, next: &Lifecycle) {
    use Lifecycle::{Downloading, Loading};
    let same = match (unread.back(), next) {
        (Some(Downloading { file: a, .. }), Downloading { file: b, .. }) => a == b,
        (Some(Loading { stage: a, .. }), Loading { stage: b, .. }) => a == b,
        _ => false,
    };
    if same {
        unread.pop_back();
    }
    unread.push_back(next.clone());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(done: u64) -> Lifecycle {
        Lifecycle::Loading { stage: Stage::Weights, done, total: 9 }
    }

    #[test]
    fn every_state_is_seen_but_stale_progress_is_not() {
        let broadcast = Broadcast::new(None);
        let mut stream = broadcast.subscribe();
        for state in [weights(1), weights(2), weights(9), Lifecycle::Ready] {
            broadcast.set(state);
        }
        let mut late = broadcast.subscribe();
        assert_eq!(late.next_blocking(), Some(Lifecycle::Ready));
        assert_eq!(broadcast.current(), Lifecycle::Ready);
        drop(broadcast);
        let seen: Vec<_> = std::iter::from_fn(|| stream.next_blocking()).collect();
        assert_eq!(seen, [Lifecycle::Idle, weights(9), Lifecycle::Ready]);
        assert_eq!(late.next_blocking(), None);
    }
}
