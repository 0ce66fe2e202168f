//! When an answer ends: tokens and strings.

mod strings;
mod tokens;

pub use strings::{Scanned, StopStrings};
pub(crate) use tokens::END_OF_TURN;
pub use tokens::StopTokens;
