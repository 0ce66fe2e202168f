//! What a layer remembers, as declared by the graph.
//!
//! There are two kinds of storage. Keys and values lie in *pages*, which a sequence gathers as it grows. All
//! recurrent states of a sequence lie together in one *slot*, of a size that does not grow. A step reads a
//! sequence's slot and saves it into the same or other slots after as many of its tokens as the batch says
//! ([`Save`](crate::Save)), so going back is choosing a slot that was saved earlier.

use crate::{PAGE, StateId};

/// What one layer remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateDecl {
    /// Keys and values of attention.
    Kv(KvDecl),
    /// The inputs that a causal convolution still sees.
    Conv(ConvDecl),
    /// The matrix of a selective state space.
    Scan(ScanDecl),
    /// The matrix of a gated delta rule.
    Delta(DeltaDecl),
}

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

/// The last inputs of a causal convolution: `[kernel - 1, channels]`, oldest first, f32.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvDecl {
    /// Channels, each convolved alone.
    pub channels: usize,
    /// Inputs an output sees, its own included.
    pub kernel: usize,
}

/// The state of a selective state space (Mamba-2): `[heads, state, head_dim]`, f32.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanDecl {
    /// Heads, each with its own decay.
    pub heads: usize,
    /// Elements of a head's input.
    pub head_dim: usize,
    /// Elements that an input element is spread over (`N`).
    pub state: usize,
}

/// The state of a gated delta rule: `[heads, key_dim, value_dim]`, f32.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeltaDecl {
    /// Value heads.
    pub heads: usize,
    /// Elements of a key.
    pub key_dim: usize,
    /// Elements of a value.
    pub value_dim: usize,
}

impl StateDecl {
    /// Keys and values, if that is what it is.
    pub fn kv(&self) -> Option<&KvDecl> {
        match self {
            Self::Kv(kv) => Some(kv),
            _ => None,
        }
    }

    /// What it is stored in.
    pub fn storage(&self) -> StorageKind {
        match self {
            Self::Kv(kv) => StorageKind::Pages { window: kv.window },
            _ => StorageKind::Slots,
        }
    }

    /// Elements of a slot that a recurrent state takes; 0 for keys and values.
    pub fn slot_len(&self) -> usize {
        match self {
            Self::Kv(_) => 0,
            Self::Conv(conv) => (conv.kernel - 1) * conv.channels,
            Self::Scan(scan) => scan.heads * scan.head_dim * scan.state,
            Self::Delta(delta) => delta.heads * delta.key_dim * delta.value_dim,
        }
    }

    /// Elements of a page that keys and values take; 0 for a recurrent state.
    pub fn page_len(&self) -> usize {
        self.kv().map_or(0, |kv| 2 * PAGE * kv.kv_heads * kv.head_dim)
    }
}

/// What states are stored in: states of one kind share tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StorageKind {
    /// Pages of [`PAGE`](crate::PAGE) positions, as many as a sequence needs.
    Pages {
        /// Positions a query sees, itself included; `None` is all of them.
        window: Option<usize>,
    },
    /// Slots, one or a few a sequence.
    Slots,
}

/// States that are stored together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// In what.
    pub kind: StorageKind,
    /// The layers' states; a page holds [`PAGE`](crate::PAGE) positions of each, a slot each whole.
    pub states: Vec<StateId>,
}

impl crate::Graph {
    /// Groups of pages by window, in order of first appearance, then the group of slots if any state is
    /// recurrent. Page tables of a [`Batch`](crate::Batch) are in this order.
    pub fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for (i, state) in self.states.iter().enumerate() {
            let (id, kind) = (StateId(i as u32), state.storage());
            match groups.iter_mut().find(|g| g.kind == kind) {
                Some(group) => group.states.push(id),
                None => groups.push(Group { kind, states: vec![id] }),
            }
        }
        groups.sort_by_key(|group| group.kind == StorageKind::Slots);
        groups
    }

    /// The windows of the groups of pages in [`Graph::groups`](crate::Graph::groups), in the same order, without allocating.
    pub fn windows(&self) -> impl Iterator<Item = Option<usize>> {
        let window = |i: usize| self.states[i].kv().map(|kv| kv.window);
        let first = move |&i: &usize| {
            window(i).is_some() && !(0..i).any(|earlier| window(earlier) == window(i))
        };
        (0..self.states.len()).filter(first).filter_map(window)
    }

    /// The group of a state.
    pub fn group_of(&self, state: StateId) -> usize {
        match &self.states[state.index()] {
            StateDecl::Kv(kv) => self.windows().position(|w| w == kv.window).unwrap_or(0),
            _ => self.windows().count(),
        }
    }

    /// Whether any state is recurrent: then the last of [`Graph::groups`](crate::Graph::groups) is of slots.
    pub fn is_recurrent(&self) -> bool {
        self.states.iter().any(|state| state.storage() == StorageKind::Slots)
    }
}
