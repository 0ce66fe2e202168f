//! What a layer remembers, as declared by the graph.

use crate::StateId;

/// Keys and values of one attention layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvDecl {
    /// Key/value heads.
    pub kv_heads: usize,
    /// Elements of one head.
    pub head_dim: usize,
    /// Positions a query sees, itself included; `None` is all of them.
    pub window: Option<usize>,
}

/// Layers that share page tables: those that forget at the same distance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageGroup {
    /// Positions a query sees, itself included; `None` is all of them.
    pub window: Option<usize>,
    /// The layers' states; a page holds [`PAGE`](crate::PAGE) positions of each.
    pub states: Vec<StateId>,
}

impl crate::Graph {
    /// States grouped by window, in order of first appearance. Page tables of a
    /// [`Batch`](crate::Batch) are in this order.
    pub fn page_groups(&self) -> Vec<PageGroup> {
        let mut groups: Vec<PageGroup> = Vec::new();
        for (i, state) in self.states.iter().enumerate() {
            let id = StateId(i as u32);
            match groups.iter_mut().find(|g| g.window == state.window) {
                Some(group) => group.states.push(id),
                None => groups.push(PageGroup { window: state.window, states: vec![id] }),
            }
        }
        groups
    }
}
