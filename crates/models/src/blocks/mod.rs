//! What families share.

mod attention;
mod ends;
mod layer;
mod mlp;
pub(crate) mod rope;
mod sizes;
mod window;

pub(crate) use attention::{Attention, Layout};
pub(crate) use ends::{Norms, embed, head};
pub(crate) use layer::Layer;
pub(crate) use mlp::{Mlp, activation};
pub(crate) use rope::TYPES as ROPE_TYPES;
pub(crate) use sizes::{LONGEST_CONTEXT, Sizes, with_defaults};
pub(crate) use window::{required_window, sliding_layers, window};
