//! What families share.

mod attention;
mod delta;
mod ends;
mod layer;
mod mamba2;
mod mlp;
mod moe;
pub(crate) mod rope;
mod short_conv;
mod sizes;
mod sparse;
mod window;

pub(crate) use attention::{Attention, Layout};
pub(crate) use delta::{GatedDelta, Projections, Rate};
pub(crate) use ends::{Norms, embed, head, head_scaled, layer_norm, times};
pub(crate) use layer::{Block, Layer};
pub(crate) use mamba2::{Gating, Keys as MambaKeys, Mamba2};
pub(crate) use mlp::{Mlp, PlainMlp, activation};
pub(crate) use moe::{Mixture, NUMBERED, Routing, Shared};
pub(crate) use rope::TYPES as ROPE_TYPES;
pub(crate) use short_conv::ShortConv;
pub(crate) use sizes::{Fields, LONGEST_CONTEXT, MOST_LAYERS, Sizes, WIDEST, with_defaults};
pub(crate) use sparse::{mixture, mixture_of_width, only, sparse_layers};
pub(crate) use window::{layers_of, required_window, sliding_layers, window};
