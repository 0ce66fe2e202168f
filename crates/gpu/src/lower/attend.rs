//! Attention over pages.

use tessera_graph::{Attend, BackendError, KvType, Node, StateDecl};
use tessera_kernels::{
    append::{Append, AppendArgs},
    attend::{self, AttendArgs, SPLIT},
    attend_join::{AttendJoin, AttendJoinArgs},
    cache::Cache,
    sight::Sight,
};
use tessera_tile::ir::Elem;

use super::{Lower, unsupported};
use crate::stream::Shape;

/// Query heads that one threadgroup serves at most: they share its reads of keys.
const SHARE: u32 = 8;

impl Lower<'_> {
    pub(super) fn attend(&mut self, node: &Node, op: &Attend) -> Result<(), BackendError> {
        let [q, k, v] = node.inputs[..] else {
            return Err(unsupported(&node.label, "attention of three operands"));
        };
        let y = node.outputs[0];
        let StateDecl::Kv(decl) = &self.graph.states[op.state.index()] else {
            return Err(unsupported(&node.label, "attention over a state of another kind"));
        };
        let (kv_heads, head_dim) = (decl.kv_heads as u32, decl.head_dim as u32);
        let heads = op.heads as u32;
        let elem = match self.limits.kv {
            KvType::F32 => Elem::F32,
            KvType::F16 => Elem::F16,
            KvType::BF16 => Elem::BF16,
        };
        let cache = Cache { elem, head_dim };
        let rows = self.rows(y);
        let starts = self.tables.starts[self.graph.group_of(op.state)];
        let (positions, run_of, table) =
            (self.tables.positions, self.tables.run_of, self.tables.pages);
        let pages = self.state(op.state);

        let append = Append { cache, threads: 64 };
        let bindings = vec![self.value(k), self.value(v), positions, run_of, starts, table, pages];
        let args = move |shape: &Shape| AppendArgs { rows: shape.rows(rows), kv_heads };
        self.launch(&node.label, rows, append, bindings, args)?;

        let window = decl.window.map(|window| window as u32);
        let sight = Sight { window: window.is_some(), tree: false };
        let group = heads / kv_heads;
        let kernel = attend::Attend {
            cache,
            group,
            share: group.min(SHARE),
            split: SPLIT,
            threads: 128,
            sight,
            softcap: op.softcap.is_some(),
        };
        let splits = move |shape: &Shape| attend::splits(SPLIT, shape.context, window);
        let most = splits(&self.most) as usize * self.limits.tokens * heads as usize;
        let scratch = self.scratch(&[most * 2 * 4, most * head_dim as usize * 4]);
        let (totals, parts) = (scratch[0], scratch[1]);
        let bindings = vec![self.value(q), positions, run_of, starts, table, pages, totals, parts];
        let (scale, softcap) = (op.scale, op.softcap.unwrap_or(0.0));
        let args = move |shape: &Shape| AttendArgs {
            rows: shape.rows(rows),
            kv_heads,
            splits: splits(shape),
            scale,
            window: window.unwrap_or(0),
            softcap,
            mask_words: 0,
        };
        self.launch(&node.label, rows, kernel, bindings, args)?;

        let threads = head_dim.div_ceil(4).next_multiple_of(32).max(64);
        let sinks = op.sinks.is_some();
        let kernel = AttendJoin { head_dim, split: SPLIT, threads, sight, sinks };
        let mut bindings = vec![totals, parts, positions];
        if let Some(sinks) = op.sinks {
            let sinks = self.vector(sinks);
            bindings.push(sinks);
        }
        bindings.push(self.value(y));
        let args = move |shape: &Shape| AttendJoinArgs {
            rows: shape.rows(rows),
            heads,
            splits: splits(shape),
            window: window.unwrap_or(0),
            mask_words: 0,
        };
        self.launch(&node.label, rows, kernel, bindings, args)
    }
}
