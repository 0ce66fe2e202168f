//! Operations that remember a state of fixed size.

use tessera_graph::{BackendError, Conv, Decay, Delta, HeadOrder, Node, Scan, StateDecl};
use tessera_kernels::{
    chunks::{
        CHUNK, FACTORS,
        carry::{ScanCarry, ScanCarryArgs},
        gram::{Gram, GramArgs},
        read::{ChunkRead, ChunkReadArgs},
        solve::{DeltaSolve, DeltaSolveArgs},
    },
    conv,
    delta::{self, DeltaArgs},
    scan::{self, ScanArgs},
};

use super::{Lower, unsupported};
use crate::stream::{Range, Shape};

/// Steps of fewer rows hold no whole chunk.
const FEW: u32 = CHUNK - 1;

/// Simdgroups among which the rows of a state are divided: the most, up to `most`, that do so evenly.
fn simdgroups(rows: u32, most: u32) -> u32 {
    (1..=most).rev().find(|&n| rows.is_multiple_of(n)).unwrap_or(1)
}

/// Entries of the table of chunks.
fn chunks(shape: &Shape) -> u32 {
    shape.tokens.div_ceil(CHUNK)
}

/// Rows of a run that a thread convolves.
const CONV_ROWS: u32 = 16;

impl Lower<'_> {
    pub(super) fn conv(&mut self, node: &Node, op: &Conv) -> Result<(), BackendError> {
        let StateDecl::Conv(decl) = &self.graph.states[op.state.index()] else {
            return Err(unsupported(&node.label, "a convolution over a state of another kind"));
        };
        let (kernel, channels) = (decl.kernel as u32, decl.channels as u32);
        let (x, y) = (node.inputs[0], node.outputs[0]);
        let weight = self.vector(op.weight);
        let mut bindings = vec![self.tables.runs, self.tables.saves, self.value(x), weight];
        if let Some(bias) = op.bias {
            let bias = self.vector(bias);
            bindings.push(bias);
        }
        bindings.extend([self.state(op.state), self.value(y)]);
        let bias = op.bias.is_some();
        let rows = CONV_ROWS.max(kernel - 1);
        let kernel = conv::Conv { kernel, bias, activation: op.activation, rows, threads: 64 };
        let args = move |shape: &Shape| conv::ConvArgs {
            channels,
            runs: shape.runs,
            longest: shape.longest,
        };
        self.launch(&node.label, self.rows(y), kernel, bindings, args)
    }

    /// A vector of decays, and whether it holds logarithms.
    fn decay(&mut self, decay: Decay) -> (Range, bool) {
        match decay {
            Decay::Log(id) => (self.vector(id), true),
            Decay::Rate(id) => (self.vector(id), false),
        }
    }

    pub(super) fn scan(&mut self, node: &Node, op: &Scan) -> Result<(), BackendError> {
        let label = &node.label;
        let (StateDecl::Scan(decl), [x, dt, b, c]) =
            (&self.graph.states[op.state.index()], &node.inputs[..])
        else {
            return Err(unsupported(label, "a state space over a state of another kind"));
        };
        let (heads, head_dim, state) = (decl.heads as u32, decl.head_dim as u32, decl.state as u32);
        let groups = op.groups as u32;
        let rows = self.rows(node.outputs[0]);
        let [x, dt, b, c] = [x, dt, b, c].map(|&id| self.value(id));
        let (y, states) = (self.value(node.outputs[0]), self.state(op.state));
        let (decay, log_decay) = self.decay(op.decay);
        let dt_bias = self.vector(op.dt_bias);
        let skip = op.skip.map(|skip| self.vector(skip));
        let (runs, saves) = (self.tables.runs, self.tables.saves);
        let (least, greatest) = op.dt_limit;
        let kernel = scan::Scan {
            state,
            log_decay,
            skip: skip.is_some(),
            chunked: false,
            simdgroups: simdgroups(state, 4),
        };
        let args = move |shape: &Shape| ScanArgs {
            heads,
            groups,
            head_dim,
            runs: shape.runs,
            least,
            greatest,
        };
        let mut bindings = vec![runs, saves, x, dt, b, c, decay, dt_bias];
        bindings.extend(skip);
        let few = [&bindings[..], &[states, y]].concat();
        self.launch_tuned(label, rows, (0, FEW), kernel, &few, args)?;

        let many = (FEW, u32::MAX);
        let most = chunks(&self.most) as usize;
        let side = CHUNK as usize;
        let scratch = self.scratch(&[
            most * (heads * FACTORS) as usize * side * 4,
            most * (heads * state * head_dim) as usize * 4,
            most * groups as usize * side * side * 4,
        ]);
        let [factors, carried, products] = scratch[..] else {
            return Err(unsupported(label, "scratch"));
        };
        let table = self.tables.chunks;
        let gram = move |shape: &Shape| GramArgs { width: state, groups, chunks: chunks(shape) };
        self.launch_within(label, rows, many, Gram, &[table, c, b, products], gram)?;
        let bound = [table, x, dt, b, decay, dt_bias, factors, carried];
        let carry = move |shape: &Shape| ScanCarryArgs {
            heads,
            groups,
            head_dim,
            state,
            chunks: chunks(shape),
            least,
            greatest,
        };
        self.launch_within(label, rows, many, ScanCarry { log_decay }, &bound, carry)?;
        let kernel = scan::Scan { chunked: true, ..kernel };
        bindings.extend([factors, carried, states, y]);
        self.launch_tuned(label, rows, many, kernel, &bindings, args)?;
        let mut bound = vec![table, factors, products, c, carried, x];
        bound.extend(skip);
        bound.push(y);
        let read = move |shape: &Shape| ChunkReadArgs {
            heads,
            groups,
            head_dim,
            state,
            chunks: chunks(shape),
        };
        let kernel = ChunkRead { interleaved: false, skip: skip.is_some() };
        self.launch_within(label, rows, many, kernel, &bound, read)
    }

    pub(super) fn delta(&mut self, node: &Node, op: &Delta) -> Result<(), BackendError> {
        let label = &node.label;
        let (StateDecl::Delta(decl), [q, k, v, a, b]) =
            (&self.graph.states[op.state.index()], &node.inputs[..])
        else {
            return Err(unsupported(label, "a delta rule over a state of another kind"));
        };
        let heads = decl.heads as u32;
        let (key_dim, value_dim) = (decl.key_dim as u32, decl.value_dim as u32);
        let (key_heads, eps) = (op.key_heads as u32, op.eps);
        let rows = self.rows(node.outputs[0]);
        let [q, k, v, a, b] = [q, k, v, a, b].map(|&id| self.value(id));
        let (y, states) = (self.value(node.outputs[0]), self.state(op.state));
        let (decay, log_decay) = self.decay(op.decay);
        let dt_bias = self.vector(op.dt_bias);
        let (runs, saves) = (self.tables.runs, self.tables.saves);
        let interleaved = op.order == HeadOrder::Tiled;
        let kernel = delta::Delta {
            key_dim,
            log_decay,
            interleaved,
            chunked: false,
            simdgroups: simdgroups(key_dim, delta::MAX_SIMDGROUPS),
        };
        let args =
            move |shape: &Shape| DeltaArgs { heads, key_heads, value_dim, runs: shape.runs, eps };
        let bindings = vec![runs, saves, q, k, v, a, b, decay, dt_bias];
        let few = [&bindings[..], &[states, y]].concat();
        self.launch_tuned(label, rows, (0, FEW), kernel, &few, args)?;

        let many = (FEW, u32::MAX);
        let most = chunks(&self.most) as usize;
        let side = CHUNK as usize;
        let tokens = most * side;
        let scratch = self.scratch(&[
            most * (heads * FACTORS) as usize * side * 4,
            most * key_heads as usize * side * side * 4,
            most * key_heads as usize * side * side * 4,
            tokens * (heads * value_dim) as usize * 4,
            tokens * (heads * key_dim) as usize * 4,
            most * (heads * key_dim * value_dim) as usize * 4,
        ]);
        let [factors, of_keys, of_queries, corrections, readers, before] = scratch[..] else {
            return Err(unsupported(label, "scratch"));
        };
        let table = self.tables.chunks;
        let gram = move |shape: &Shape| GramArgs {
            width: key_dim,
            groups: key_heads,
            chunks: chunks(shape),
        };
        self.launch_within(label, rows, many, Gram, &[table, k, k, of_keys], gram)?;
        self.launch_within(label, rows, many, Gram, &[table, q, k, of_queries], gram)?;
        let solve = move |shape: &Shape| DeltaSolveArgs {
            heads,
            key_heads,
            key_dim,
            value_dim,
            chunks: chunks(shape),
            eps,
        };
        let bound = [table, of_keys, q, k, v, a, b, decay, dt_bias, factors, corrections, readers];
        let solver = DeltaSolve { log_decay, interleaved };
        self.launch_within(label, rows, many, solver, &bound, solve)?;
        let kernel = delta::Delta { chunked: true, ..kernel };
        let bound = [&bindings[..], &[factors, readers, corrections, before, states, y]].concat();
        self.launch_tuned(label, rows, many, kernel, &bound, args)?;
        let read = move |shape: &Shape| ChunkReadArgs {
            heads,
            groups: key_heads,
            head_dim: value_dim,
            state: key_dim,
            chunks: chunks(shape),
        };
        let bound = [table, factors, of_queries, q, before, corrections, y];
        let kernel = ChunkRead { interleaved, skip: false };
        self.launch_within(label, rows, many, kernel, &bound, read)
    }
}
