//! Why the bookkeeping refuses.

use tessera_graph::BackendError;

use crate::OverBudget;

/// Why the bookkeeping refuses; nothing has changed when it does.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// More pages or slots than the memory budget allows.
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
    /// The backend could not make pages or slots.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The sequence would grow past the context.
    #[error("a sequence of {needed} positions does not fit the context of {context}")]
    Context {
        /// Positions asked for.
        needed: usize,
        /// Positions a sequence may have.
        context: usize,
    },
    /// As many sequences are open as were planned for.
    #[error("all {limit} sequences are in use")]
    Sequences {
        /// Sequences planned for.
        limit: usize,
    },
    /// The sequence has been released.
    #[error("sequence {index} is not open")]
    Closed {
        /// Its slot.
        index: u32,
    },
    /// More tokens than were reserved (or kept than were run).
    #[error("{tokens} tokens where {reserved} positions are reserved")]
    Reservation {
        /// Tokens given.
        tokens: usize,
        /// Positions reserved.
        reserved: usize,
    },
    /// Recurrent states were not saved after that many tokens of the run.
    #[error("{kept} tokens of the run cannot be kept: recurrent states were not saved there")]
    NotSaved {
        /// Tokens to be kept.
        kept: usize,
    },
    /// The snapshot has been dropped.
    #[error("snapshot {index} is not there")]
    Snapshot {
        /// Its place.
        index: u32,
    },
    /// Bytes that are no saved snapshot, or not of this model.
    #[error("not a snapshot of this model: {what}")]
    Saved {
        /// What is wrong.
        what: String,
    },
    /// The sequence cannot go back to that length: its windows have forgotten too much, recurrent
    /// states were not saved there, or it never was that long.
    #[error("a sequence of {len} positions cannot go back to {wanted}")]
    Forgotten {
        /// Its length.
        len: usize,
        /// Length asked for.
        wanted: usize,
    },
}
