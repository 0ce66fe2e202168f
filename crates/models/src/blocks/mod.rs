//! What families share.

mod attention;
mod delta;
mod ends;
mod layer;
mod mlp;
mod moe;
pub(crate) mod rope;
mod sizes;
mod sparse;
mod window;

pub(crate) use attention::{Attention, Layout};
pub(crate) use delta::{GatedDelta, Projections, Rate};
pub(crate) use ends::{Norms, embed, head};
pub(crate) use layer::{Block, Layer};
pub(crate) use mlp::{Mlp, activation};
pub(crate) use moe::{Mixture, NUMBERED, Shared};
pub(crate) use rope::TYPES as ROPE_TYPES;
pub(crate) use sizes::{LONGEST_CONTEXT, Sizes, with_defaults};
pub(crate) use sparse::{mixture, mixture_of_width, only, sparse_layers};
pub(crate) use window::{layers_of, required_window, sliding_layers, window};
