//! What is remembered: which pages belong to which sequence, and how many there may be.
//!
//! Only bookkeeping lives here. A backend owns the memory and knows pages by number; this crate hands
//! the numbers out, takes them back, and asks the backend to [grow](Storage::grow) when they run out,
//! never beyond a [`Budget`]. Nothing is allocated for the model's longest context: a sequence holds the
//! pages its tokens fill, and layers with a sliding window give theirs back once no query can see them.
//!
//! One step of one sequence is `reserve`, [`push_run`](State::push_run), the backend's step, `commit`:
//!
//! ```
//! use tessera_graph::{Batch, BackendError};
//! use tessera_state::{Budget, Group, Options, State, Storage};
//!
//! struct Memory; // stands for a backend
//! impl Storage for Memory {
//!     fn grow(&mut self, _group: usize, _pages: usize) -> Result<(), BackendError> {
//!         Ok(())
//!     }
//! }
//!
//! let groups = vec![Group { window: None, page_bytes: 4096 }];
//! let options = Options { context: 1024, sequences: 4, rollback: 64 };
//! let mut state = State::new(groups, options, Budget::new(1 << 20));
//!
//! let sequence = state.open()?;
//! let mut batch = Batch::default();
//! state.reserve(sequence, 3, &mut Memory)?;
//! state.push_run(sequence, &[5, 6, 7], &mut batch)?;
//! // ... the backend's step ...
//! state.commit(sequence, 3)?;
//! assert_eq!(state.len(sequence)?, 3);
//! state.release(sequence)?;
//! assert_eq!(state.usage().live_pages, 0);
//! # Ok::<(), tessera_state::StateError>(())
//! ```

mod budget;
mod error;
mod integrity;
mod pool;
mod sequence;
mod size;
mod state;
mod table;

pub use budget::{Budget, OverBudget, human_bytes};
pub use error::StateError;
pub use pool::Storage;
pub use sequence::SequenceId;
pub use size::{longest_sequence, sequence_bytes};
pub use state::{Options, State, Usage};

/// Layers that share page tables, as the bookkeeping sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// Positions a query sees, itself included; `None` is all of them.
    pub window: Option<usize>,
    /// Bytes of one page: [`PAGE`](tessera_graph::PAGE) positions of every layer in the group.
    pub page_bytes: usize,
}
