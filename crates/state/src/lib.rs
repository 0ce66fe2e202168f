//! What is remembered: which pages and slots belong to which sequence, and how many there may be.
//!
//! Only bookkeeping lives here. A backend owns the memory and knows pages (of keys and values) and slots (of
//! recurrent states) by number; this crate hands the numbers out, takes them back, and asks the backend to
//! [grow](Storage::grow) when they run out, never beyond a [`Budget`]. Nothing is allocated for the model's
//! longest context: a sequence holds the pages its tokens fill, and layers with a sliding window give theirs
//! back once no query can see them.
//!
//! One step of one sequence is `reserve`, [`push_run`](State::push_run), the backend's step, `commit` of as many
//! tokens as are kept. A sequence can go back ([`truncate`](State::truncate)) as far as
//! [`reusable`](State::reusable) says; for recurrent states that is where they were [saved](Saves). A
//! [snapshot](State::snapshot) is a sequence's past that others can start from: it shares pages and slots, which
//! are copied before they would be written. Snapshots can be [saved](State::save) and [loaded](State::load).
//!
//! ```
//! use tessera_graph::{Batch, BackendError, StorageKind};
//! use tessera_state::{Budget, Group, Keep, Options, Saves, State, Storage};
//!
//! struct Memory; // stands for a backend
//! impl Storage for Memory {
//!     fn grow(&mut self, _group: usize, _blocks: usize) -> Result<(), BackendError> {
//!         Ok(())
//!     }
//!     fn copy(&mut self, _group: usize, _from: u32, _to: u32) -> Result<(), BackendError> {
//!         Ok(())
//!     }
//!     fn export(&self, _: usize, _block: u32, _out: &mut Vec<u8>) -> Result<(), BackendError> {
//!         Ok(())
//!     }
//!     fn import(&mut self, _: usize, _block: u32, _bytes: &[u8]) -> Result<(), BackendError> {
//!         Ok(())
//!     }
//! }
//!
//! let groups = vec![Group { kind: StorageKind::Pages { window: None }, block_bytes: 4096 }];
//! let keep = Keep { rollback: 64, checkpoints: 2 };
//! let options = Options { context: 1024, sequences: 4, keep };
//! let mut state = State::new(groups, options, Budget::new(1 << 20));
//!
//! let sequence = state.open()?;
//! let mut batch = Batch::default();
//! state.reserve(sequence, 3, Saves::Checkpoint, &mut Memory)?;
//! state.push_run(sequence, &[5, 6, 7], &mut batch)?;
//! // ... the backend's step ...
//! state.commit(sequence, 3)?;
//! assert_eq!(state.len(sequence)?, 3);
//! state.release(sequence)?;
//! assert_eq!(state.usage().live_blocks, 0);
//! # Ok::<(), tessera_state::StateError>(())
//! ```

mod budget;
mod error;
mod integrity;
mod pool;
mod saved;
mod sequence;
mod size;
mod slots;
mod snapshot;
mod state;
mod table;

pub use budget::{Budget, OverBudget, human_bytes};
pub use error::StateError;
pub use pool::Storage;
pub use sequence::SequenceId;
pub use size::{longest_sequence, sequence_bytes};
pub use slots::Saves;
pub use snapshot::SnapshotId;
pub use state::{Keep, Options, State, Usage};

/// States that are stored together, as the bookkeeping sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// In pages of [`PAGE`](tessera_graph::PAGE) positions, or in slots.
    pub kind: tessera_graph::StorageKind,
    /// Bytes of one page or slot.
    pub block_bytes: usize,
}

impl Group {
    /// Positions a query sees, itself included; `None` is all of them.
    fn window(&self) -> Option<usize> {
        match self.kind {
            tessera_graph::StorageKind::Pages { window } => window,
            tessera_graph::StorageKind::Slots => None,
        }
    }
}
