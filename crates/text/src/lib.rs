//! Between text and token ids: tokenizers, chat templates, streaming text and stop conditions.
//!
//! A [`Tokenizer`] comes from a `tokenizer.json` or from a GGUF file and gives the ids of the reference
//! implementation. A [`ChatTemplate`] turns a conversation into a [`Prompt`], in which control tokens
//! written by the template count and the same text written by a user does not. A [`Detokenizer`] turns
//! ids into text as they come, never half a character, and [`StopTokens`] and [`StopStrings`] say when
//! the answer ends.
//!
//! Tokenizer files and templates are hostile until proven otherwise: they are bounded before anything
//! is built from them, and no panic of a library they reach leaves this crate.

mod added;
mod bpe;
mod bytes;
mod chat;
mod detokenizer;
mod error;
mod gguf;
mod guard;
mod json;
mod merge;
mod model;
mod normalize;
mod split;
mod spm;
mod stops;
mod tokenizer;
mod trie;
mod vocab;

pub use chat::{
    ChatTemplate, Content, Function, Message, Part, Prompt, RenderOptions, Role, Source, ToolCall,
};
pub use detokenizer::Detokenizer;
pub use error::{Error, Result};
pub use stops::{Scanned, StopStrings, StopTokens};
pub use tokenizer::{Roles, Specials, Tokenizer};
pub use vocab::Kind;
