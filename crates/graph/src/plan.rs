//! Where every intermediate lies in one arena, so that peak memory is known before anything is allocated.
//!
//! Lifetimes are intervals of nodes. Buffers are placed largest first, each at the lowest offset that is
//! free during its lifetime (greedy by size: Pisarchyk and Lee, "Efficient memory management for deep
//! neural net inference", 2020).

use crate::{Epilogue, Graph, Limits, Linear, Op, Rows, Value, ValueId};

/// Alignment of every value: a cache line, and the widest vector.
pub const ALIGN: usize = 64;

/// Offsets of a graph's values in one arena.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Offset of each value in bytes, a multiple of 64; `None` for a value that no node makes.
    pub offset: Vec<Option<usize>>,
    /// Size of the arena in bytes.
    pub bytes: usize,
}

/// Values that share storage, one after the other.
struct Buffer {
    bytes: usize,
    /// First and last node during which the storage is in use.
    live: (usize, usize),
    values: Vec<ValueId>,
}

impl Op {
    /// Operands whose storage the (only) result may take, if the operand is not needed afterwards.
    ///
    /// These operations read an element of the operand only on the way to writing the same element of
    /// the result ([`Op::Rope`]: the same pair; [`Op::RmsNorm`], [`Op::LayerNorm`]: after the row's sums are known), so a
    /// backend must compute each such element (pair, row) in one place. All others read operands
    /// after they have begun to write.
    pub fn in_place(&self) -> &'static [usize] {
        match self {
            Op::Add | Op::Glu(_) => &[0, 1],
            Op::Scale(_)
            | Op::Softcap(_)
            | Op::Activate(_)
            | Op::Mul
            | Op::Rope { .. }
            | Op::RmsNorm(_)
            | Op::LayerNorm(_) => &[0],
            Op::Linear(Linear { epilogue: Epilogue::Residual, .. }) => &[1],
            _ => &[],
        }
    }
}

/// Lays out the values of `graph` for steps as large as `limits`.
///
/// All operands and results of a node are in use while it runs; the value that tokens are drawn
/// from stays until the step's end.
pub fn plan(graph: &Graph, limits: &Limits) -> Plan {
    let mut buffers = buffers(graph, limits);
    buffers.sort_by_key(|buffer| std::cmp::Reverse(buffer.bytes));
    let mut plan = Plan { offset: vec![None; graph.values.len()], bytes: 0 };
    let mut placed: Vec<(usize, Buffer)> = Vec::with_capacity(buffers.len());
    for buffer in buffers {
        let offset = lowest_gap(&buffer, &placed);
        for id in &buffer.values {
            plan.offset[id.index()] = Some(offset);
        }
        plan.bytes = plan.bytes.max(offset + buffer.bytes);
        let at = placed.partition_point(|(other, _)| *other <= offset);
        placed.insert(at, (offset, buffer));
    }
    plan
}

/// Bytes of a value at the limits, rounded up to the alignment.
fn bytes(value: &Value, limits: &Limits) -> usize {
    let rows = match value.rows {
        Rows::Tokens => limits.tokens,
        Rows::Outputs => limits.outputs,
    };
    (rows * value.width * size_of::<f32>()).next_multiple_of(ALIGN)
}

/// One buffer for each value, or for each chain of values computed in place.
fn buffers(graph: &Graph, limits: &Limits) -> Vec<Buffer> {
    let last = last_uses(graph);
    let mut buffers: Vec<Buffer> = Vec::new();
    let mut owner: Vec<Option<usize>> = vec![None; graph.values.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        let reusable = |id: &ValueId| {
            last[id.index()] == index
                && node.inputs.iter().filter(|&other| other == id).count() == 1
        };
        let operands = node.op.in_place().iter().filter_map(|&i| node.inputs.get(i));
        let mut reused = operands.filter(|id| reusable(id)).filter_map(|id| owner[id.index()]);
        let mut in_place = reused.next();
        for &id in &node.outputs {
            let bytes = bytes(&graph.values[id.index()], limits);
            let end = last[id.index()].max(index);
            let buffer = match in_place.take().filter(|&b| buffers[b].bytes == bytes) {
                Some(buffer) => buffer,
                None => {
                    buffers.push(Buffer { bytes, live: (index, end), values: Vec::new() });
                    buffers.len() - 1
                }
            };
            buffers[buffer].live.1 = end;
            buffers[buffer].values.push(id);
            owner[id.index()] = Some(buffer);
        }
    }
    buffers
}

/// The last node that reads each value; beyond the end for the logits.
fn last_uses(graph: &Graph) -> Vec<usize> {
    let mut last = vec![0; graph.values.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        for id in &node.inputs {
            last[id.index()] = index;
        }
    }
    if let Some(logits) = graph.logits() {
        last[logits.index()] = graph.nodes.len();
    }
    last
}

/// `placed` is in order of offsets.
fn lowest_gap(buffer: &Buffer, placed: &[(usize, Buffer)]) -> usize {
    let overlaps = |other: &Buffer| buffer.live.0 <= other.live.1 && other.live.0 <= buffer.live.1;
    let mut free = 0;
    for (offset, other) in placed.iter().filter(|(_, other)| overlaps(other)) {
        if *offset >= free + buffer.bytes {
            break;
        }
        free = free.max(offset + other.bytes);
    }
    free
}
