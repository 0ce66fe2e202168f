//! GGUF files, told in Hugging Face words.
//!
//! Metadata becomes the configuration a family reads; names become the file's. What remains different is
//! handled where it matters: paired rows in `bind`, norms that are no longer centred in
//! [`Source::centred_norm_offset`](crate::source::Source::centred_norm_offset).

mod config;
mod names;
mod rope;

pub(crate) use config::config;
pub(crate) use names::{Names, names};
