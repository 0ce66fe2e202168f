//! Model families: from a checkpoint's configuration to a [`Graph`] with its weights bound.
//!
//! [`open`] picks the family by the checkpoint's own word, lets it write the graph, and binds every
//! weight by name. A family is one file in `families/`, written once, against Hugging Face names and
//! fields; what GGUF files call differently is translated before it (`gguf/`). The parts that families
//! share are in `blocks/`.
//!
//! Configurations come from outside: every number is bounded before it is used, and every tensor must be
//! consumed, with the shape the graph expects.

mod bind;
mod blocks;
mod capability;
mod error;
mod families;
mod gguf;
mod info;
mod names;
mod source;
mod stacks;
mod support;

pub use capability::{Capability, CapabilitySet, checkpoint, offered};
pub use error::{Error, Result};
pub use info::{Info, PackingUse};
pub use support::{Supported, families, rope_types};

use source::Source;
use tessera_formats::Checkpoint;
use tessera_graph::{Graph, Weights};

/// What the caller decides before the graph is built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildOptions {
    /// Longest sequence that will be run, in tokens; `None` is the trained context.
    ///
    /// LongRoPE has two sets of frequencies, and the graph has room for one: the short set is taken
    /// if no sequence will pass the original context, the long set otherwise. (The reference
    /// implementation switches when a sequence grows past it, which makes the keys it has already
    /// remembered wrong.)
    pub context: Option<usize>,
}

/// A model ready for a backend.
#[derive(Debug, Clone)]
pub struct Bound {
    /// What to compute.
    pub graph: Graph,
    /// The graph's weights, still where the files are mapped.
    pub weights: Weights,
    /// What the model is.
    pub info: Info,
}

/// Builds the graph of a checkpoint and binds its weights.
///
/// # Errors
/// An unknown architecture, a configuration field that is missing or out of bounds, an option that is
/// not supported, a tensor that is missing, misshapen or consumed by nothing; each names file and field,
/// or the tensor.
pub fn open(checkpoint: &Checkpoint, options: &BuildOptions) -> Result<Bound> {
    let source = Source::read(checkpoint, options)?;
    let family = families::find(&source.config)?;
    let (graph, sizes) = (family.build)(&source)?;
    let weights = bind::bind(checkpoint, &source, &graph)?;
    let info = Info::new(checkpoint, &source, family.name, &sizes, &graph, &weights)?;
    Ok(Bound { graph, weights, info })
}
