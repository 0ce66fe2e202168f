//! What to compute: a closed list of typed operations over named weights and states.
//!
//! A [`Graph`] is built once at load by a family's plain function of the configuration, checked for
//! shape as it grows, rewritten by [`fuse`], laid out by [`plan`](fn@plan) and compiled by a [`Backend`].
//! Row counts are symbolic ([`Rows`]); a [`Batch`] gives them values, one step at a time.
//!
//! Because the graph is data it can be [printed](mod@print), [costed](cost) and executed by the slow,
//! obvious [`oracle`] that every backend is tested against.

mod backend;
mod batch;
mod build;
mod check;
pub mod cost;
mod fuse;
mod ids;
mod op;
pub mod oracle;
mod plan;
pub mod print;
mod query;
pub mod random;
mod sampling;
mod state;
#[doc(hidden)]
pub mod testing;
mod weights;

pub use backend::{
    Backend, BackendError, DeviceMemory, Executable, Footprint, KvType, Limits, MemoryReport,
    Progress, unwatched,
};
pub use batch::{Batch, CHUNK, NO_PAGE, NO_SLOT, Output, PAGE, Run, Sampled, Save, TokenCount};
pub use build::{Builder, GraphError};
pub use fuse::fuse;
pub use ids::{StateId, ValueId, WeightId};
pub use op::{
    Activation, Attend, Conv, Decay, Delta, Epilogue, Expert, ExpertUnit, Experts, GatedUnit,
    HeadOrder, LayerNorm, Linear, Node, Op, Part, RmsNorm, RopeSpec, RouteGroups, Router, Rows,
    Scan, Scoring, Value,
};
pub use plan::{ALIGN, Plan, plan};
pub use sampling::Sampling;
pub use state::{ConvDecl, DeltaDecl, Group, KvDecl, ScanDecl, StateDecl, StorageKind};
pub use weights::{RowSlice, WeightDecl, Weights};

/// A compiled-once description of a model's step: operations in execution order over values,
/// weights and states.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    /// Operations, in an order that respects their inputs.
    pub nodes: Vec<Node>,
    /// Every intermediate: `[rows, width]`, f32.
    pub values: Vec<Value>,
    /// Weights by id.
    pub weights: Vec<WeightDecl>,
    /// What layers remember, by id.
    pub states: Vec<StateDecl>,
}
