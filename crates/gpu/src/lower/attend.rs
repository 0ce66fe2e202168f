//! Attention over pages.

use tessera_graph::{Attend, BackendError, Graph, KvDecl, KvType, Node, Op, StateDecl};
use tessera_kernels::{
    append::{Append, AppendArgs},
    attend::{self, AttendArgs, SPLIT},
    attend_join::{AttendJoin, AttendJoinArgs},
    attend_tile::{AttendTile, AttendTileArgs},
    cache::Cache,
    sight::Sight,
    turn::{Turn, TurnArgs},
};
use tessera_tile::{Spec, ir::Elem};

use super::{Lower, turned::Turned, unsupported};
use crate::{
    Tuning,
    stream::{Range, Shape},
    tables::{BLOCK, Tables},
};

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
        let cache = Cache { elem: elem(self.limits.kv), head_dim };
        let rows = self.rows(y);
        let starts = self.tables.starts[self.graph.group_of(op.state)];
        let (positions, run_of, table) =
            (self.tables.positions, self.tables.run_of, self.tables.pages);
        let pages = self.state(op.state);

        let places = [positions, run_of, starts, table];
        match self.turned.of.get(&y).copied() {
            Some(turned) => {
                self.turn(node, &turned, cache, [heads, kv_heads], &places, pages)?;
            }
            None => {
                let append = Append { cache, threads: 64 };
                let bindings = [&[self.value(k), self.value(v)], &places[..], &[pages]].concat();
                let args = move |shape: &Shape| AppendArgs { rows: shape.rows(rows), kv_heads };
                self.launch(&node.label, rows, append, bindings, args)?;
            }
        }

        let window = decl.window.map(|window| window as u32);
        let sight = Sight { window: window.is_some(), tree: false };
        let group = heads / kv_heads;
        let softcapped = op.softcap.is_some();
        let (scale, softcap) = (op.scale, op.softcap.unwrap_or(0.0));
        let sinks = op.sinks.map(|sinks| self.vector(sinks));

        // long runs by tiles
        if let Some(kernel) = tile(self.tuning, self.limits.kv, decl, op) {
            let Tables { blocks, runs, .. } = self.tables;
            let mut bindings = vec![self.value(q), blocks, runs, starts, table, pages];
            bindings.extend(sinks);
            bindings.push(self.value(y));
            let args = move |shape: &Shape| AttendTileArgs {
                blocks: shape.blocks,
                kv_heads,
                scale,
                window: window.unwrap_or(0),
                softcap,
                mask_words: 0,
            };
            self.launch_tuned(&node.label, rows, (0, u32::MAX), kernel, &bindings, args)?;
        }

        // the other rows one by one, their contexts divided
        let kernel = attend::Attend {
            cache,
            group,
            share: group.min(SHARE),
            split: SPLIT,
            threads: 128,
            sight,
            softcap: softcapped,
        };
        let splits = move |shape: &Shape| attend::splits(SPLIT, shape.context, window);
        let listed = self.tables.singles;
        let most = splits(&self.most) as usize * self.most.singles as usize * heads as usize;
        let scratch = self.scratch(&[most * 2 * 4, most * head_dim as usize * 4]);
        let (totals, parts) = (scratch[0], scratch[1]);
        let bindings =
            vec![listed, self.value(q), positions, run_of, starts, table, pages, totals, parts];
        let args = move |shape: &Shape| AttendArgs {
            rows: shape.singles,
            kv_heads,
            splits: splits(shape),
            scale,
            window: window.unwrap_or(0),
            softcap,
            mask_words: 0,
        };
        self.launch_tuned(&node.label, rows, (0, u32::MAX), kernel, &bindings, args)?;

        let threads = head_dim.div_ceil(4).next_multiple_of(32).max(64);
        let kernel = AttendJoin { head_dim, split: SPLIT, threads, sight, sinks: sinks.is_some() };
        let mut bindings = vec![listed, totals, parts, positions];
        bindings.extend(sinks);
        bindings.push(self.value(y));
        let args = move |shape: &Shape| AttendJoinArgs {
            rows: shape.singles,
            heads,
            splits: splits(shape),
            window: window.unwrap_or(0),
            mask_words: 0,
        };
        self.launch(&node.label, rows, kernel, bindings, args)
    }
}

impl Lower<'_> {
    /// Turns queries and keys, and keeps keys and values.
    fn turn(
        &mut self,
        node: &Node,
        turned: &Turned,
        cache: Cache,
        [heads, kv_heads]: [u32; 2],
        places: &[Range],
        pages: Range,
    ) -> Result<(), BackendError> {
        let Turned { queries, keys, angles, norms } = *turned;
        let (pairs, rows) = (self.width(angles) / 2, self.rows(queries));
        let kernel = Turn { cache, pairs, norm: norms.is_some(), simdgroups: 4 };
        let mut bindings = [queries, keys, node.inputs[2], angles].map(|x| self.value(x)).to_vec();
        bindings.extend(norms.iter().flat_map(|norms| norms.weights.map(|id| self.vector(id))));
        bindings.extend(places);
        bindings.extend([self.value(node.inputs[0]), pages]);
        let (eps, offset) = norms.map_or((0.0, 0.0), |norms| (norms.eps, norms.offset));
        let args =
            move |shape: &Shape| TurnArgs { rows: shape.rows(rows), heads, kv_heads, eps, offset };
        self.launch(&node.label, rows, kernel, bindings, args)
    }
}

/// Type of remembered keys and values.
fn elem(kv: KvType) -> Elem {
    match kv {
        KvType::F32 => Elem::F32,
        KvType::F16 => Elem::F16,
        KvType::BF16 => Elem::BF16,
    }
}

/// The kernel for runs of many rows, if one fits the shared memory.
fn tile(tuning: &Tuning, kv: KvType, decl: &KvDecl, op: &Attend) -> Option<AttendTile> {
    let head_dim = decl.head_dim as u32;
    let (kv_heads, group) = (decl.kv_heads as u32, (op.heads / decl.kv_heads) as u32);
    let args = AttendTileArgs {
        blocks: 1,
        kv_heads,
        scale: op.scale,
        window: decl.window.unwrap_or(0) as u32,
        softcap: op.softcap.unwrap_or(0.0),
        mask_words: 0,
    };
    let kernel = |dims: u32| AttendTile {
        cache: Cache { elem: elem(kv), head_dim },
        group,
        rows: BLOCK,
        bands: 1,
        dims,
        depth: 1,
        stage: tuning.stage,
        sight: Sight { window: decl.window.is_some(), tree: false },
        softcap: op.softcap.is_some(),
        sinks: op.sinks.is_some(),
    };
    [64, 32, 16].into_iter().map(kernel).find(|kernel| kernel.check(&args).is_ok())
}

/// Whether the attention of all layers can be computed by tiles.
pub fn tiled(graph: &Graph, tuning: &Tuning, kv: KvType) -> bool {
    graph.nodes.iter().all(|node| match &node.op {
        Op::Attend(op) => {
            let decl = graph.states[op.state.index()].kv();
            decl.is_some_and(|decl| tile(tuning, kv, decl, op).is_some())
        }
        _ => true,
    })
}
