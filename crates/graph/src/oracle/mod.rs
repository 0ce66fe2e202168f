//! The f32 interpreter that every backend is tested against: slow and obvious.
//!
//! It runs a graph exactly as it is given (no fusion, no plan), one function an operation, decoding
//! packed weights row by row with the reference decoder of `tessera-quant`. Sums are accumulated in f64
//! and rounded once, so that in any comparison the oracle is the more exact side. Every intermediate of
//! the last step stays readable. It is itself tested against the reference implementations' goldens.

mod attend;
mod dense;
mod experts;
mod memory;
mod pointwise;
mod recurrent;
mod rope;
mod sample;

use std::ops::ControlFlow;

use crate::{
    Backend, BackendError, Batch, Executable, Footprint, Graph, Group, Limits, MemoryReport,
    NO_SLOT, Node, Op, Progress, Sampled, StateDecl, ValueId, Weights,
};
use memory::Memory;
pub use pointwise::{activate, erf, gated};
#[doc(hidden)]
pub use sample::sample;

/// The oracle as a backend.
#[derive(Debug, Clone, Copy, Default)]
pub struct Oracle;

impl Oracle {
    /// As [`Backend::compile`], with access to intermediates.
    pub fn interpreter(
        self,
        graph: &Graph,
        weights: Weights,
        limits: &Limits,
    ) -> Result<Interpreter, BackendError> {
        weights.check(graph)?;
        let groups = graph.groups();
        Ok(Interpreter {
            weights,
            limits: limits.clone(),
            blocks: vec![0; groups.len()],
            groups,
            values: graph.values.iter().map(|v| Matrix::zeros(0, v.width)).collect(),
            memory: Memory::new(limits.kv),
            graph: graph.clone(),
        })
    }
}

impl Backend for Oracle {
    fn name(&self) -> &'static str {
        "oracle"
    }

    fn footprint(
        &self,
        graph: &Graph,
        weights: &Weights,
        limits: &Limits,
    ) -> Result<Footprint, BackendError> {
        weights.check(graph)?;
        let groups = graph.groups();
        Ok(Footprint {
            weights: memory::weight_bytes(weights),
            mapped: 0,
            arena: memory::arena_bytes(graph, limits),
            blocks: groups.iter().map(|group| memory::block_bytes(graph, group, limits)).collect(),
        })
    }

    fn compile(
        &self,
        graph: &Graph,
        weights: Weights,
        limits: &Limits,
        progress: &mut Progress<'_>,
    ) -> Result<Box<dyn Executable>, BackendError> {
        let interpreter = self.interpreter(graph, weights, limits)?;
        let bytes = interpreter.memory().weights;
        match progress(bytes, bytes) {
            ControlFlow::Continue(()) => Ok(Box::new(interpreter)),
            ControlFlow::Break(()) => Err(BackendError::Cancelled),
        }
    }
}

/// Rows of equal width.
#[derive(Debug, Clone, PartialEq)]
struct Matrix {
    width: usize,
    data: Vec<f32>,
}

impl Matrix {
    fn zeros(rows: usize, width: usize) -> Self {
        Self { width, data: vec![0.0; rows * width] }
    }

    fn rows(&self) -> usize {
        self.data.len() / self.width.max(1)
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.data[row * self.width..][..self.width]
    }

    fn row_mut(&mut self, row: usize) -> &mut [f32] {
        &mut self.data[row * self.width..][..self.width]
    }
}

/// A graph being interpreted.
#[derive(Debug)]
pub struct Interpreter {
    graph: Graph,
    weights: Weights,
    limits: Limits,
    groups: Vec<Group>,
    /// Pages or slots made available, by group.
    blocks: Vec<usize>,
    /// The last step's intermediates.
    values: Vec<Matrix>,
    memory: Memory,
}

impl Interpreter {
    /// An intermediate of the last step: `[rows, width]`, row-major.
    pub fn value(&self, id: ValueId) -> &[f32] {
        &self.values[id.index()].data
    }

    fn check_block(&self, group: usize, id: u32) -> Result<(), BackendError> {
        match self.blocks.get(group) {
            Some(&made) if (id as usize) < made => Ok(()),
            made => {
                let made = made.unwrap_or(&0);
                let what = format!("page or slot {id} of group {group}, which has {made}");
                Err(BackendError::Batch(what))
            }
        }
    }

    fn check_blocks(&self, batch: &Batch) -> Result<(), BackendError> {
        let check = |group, id| self.check_block(group, id);
        for run in &batch.runs {
            for group in 0..self.graph.windows().count() {
                let ids = batch.table(run, group).iter().filter(|&&id| id != crate::NO_PAGE);
                ids.into_iter().try_for_each(|&id| check(group, id))?;
            }
            if self.graph.is_recurrent() {
                let saves = batch.saves(run).iter().map(|save| save.slot);
                let mut slots = saves.chain([run.slot].into_iter().filter(|&id| id != NO_SLOT));
                slots.try_for_each(|id| check(self.blocks.len() - 1, id))?;
            }
        }
        Ok(())
    }

    fn run(&mut self, node: &Node, batch: &Batch) -> Result<Vec<Matrix>, BackendError> {
        let inputs: Vec<&Matrix> = node.inputs.iter().map(|id| &self.values[id.index()]).collect();
        let one = match &node.op {
            Op::Embed { table, scale } => {
                dense::embed(&self.weights[*table], *scale, &batch.tokens)
            }
            Op::RmsNorm(norm) => dense::rms_norm(norm, &self.weights, inputs[0]),
            Op::LayerNorm(norm) => dense::layer_norm(norm, &self.weights, inputs[0]),
            Op::Linear(linear) => return Ok(dense::linear(linear, &self.weights, &inputs)),
            Op::RopeTable(spec) => rope::table(spec, batch),
            Op::Rope { heads } => rope::rotate(inputs[0], inputs[1], *heads),
            Op::Attend(attend) => {
                let group = self.graph.group_of(attend.state);
                let StateDecl::Kv(state) = &self.graph.states[attend.state.index()] else {
                    return Err(mismatch(node));
                };
                self.memory.append(attend.state, batch, group, inputs[1], inputs[2]);
                let sinks = attend.sinks.map(|id| dense::vector(&self.weights[id]));
                let sinks = sinks.as_deref();
                attend::attend(attend, state, batch, group, inputs[0], &self.memory, sinks)?
            }
            Op::Conv(_) | Op::Scan(_) | Op::Delta(_) => return self.recur(node, batch),
            Op::Route(router) => experts::route(router, &self.weights, inputs[0]),
            Op::Experts(op) => experts::experts(op, &self.weights, inputs[0], inputs[1]),
            Op::Activate(f) => pointwise::map(inputs[0], |x| activate(*f, x)),
            Op::Mul => pointwise::mul(inputs[0], inputs[1]),
            Op::Glu(unit) => pointwise::glu(*unit, inputs[0], inputs[1]),
            Op::Add => pointwise::add(inputs[0], inputs[1]),
            Op::Scale(factor) => pointwise::map(inputs[0], |x| x * factor),
            Op::Softcap(cap) => pointwise::map(inputs[0], |x| cap * (x / cap).tanh()),
            Op::Select => dense::select(inputs[0], batch),
            Op::Sample => return Ok(Vec::new()),
        };
        Ok(vec![one])
    }
}

/// An operation over a state of another kind, which no builder makes.
fn mismatch(node: &Node) -> BackendError {
    let what = format!("{}: the operation's state is of another kind", node.label);
    BackendError::Unsupported { backend: "oracle", what }
}

impl Interpreter {
    fn recur(&mut self, node: &Node, batch: &Batch) -> Result<Vec<Matrix>, BackendError> {
        let x = |i: usize| &self.values[node.inputs[i].index()];
        let (states, weights, memory) = (&self.graph.states, &self.weights, &mut self.memory);
        let one = match &node.op {
            Op::Conv(op) => match &states[op.state.index()] {
                StateDecl::Conv(decl) => recurrent::conv(op, decl, weights, batch, x(0), memory)?,
                _ => return Err(mismatch(node)),
            },
            Op::Scan(op) => match &states[op.state.index()] {
                StateDecl::Scan(decl) => {
                    let inputs = [x(0), x(1), x(2), x(3)];
                    recurrent::scan(op, decl, weights, batch, inputs, memory)?
                }
                _ => return Err(mismatch(node)),
            },
            Op::Delta(op) => match &states[op.state.index()] {
                StateDecl::Delta(decl) => {
                    let inputs = [x(0), x(1), x(2), x(3), x(4)];
                    recurrent::delta(op, decl, weights, batch, inputs, memory)?
                }
                _ => return Err(mismatch(node)),
            },
            _ => return Err(mismatch(node)),
        };
        Ok(vec![one])
    }
}

impl Executable for Interpreter {
    fn grow(&mut self, group: usize, blocks: usize) -> Result<(), BackendError> {
        self.blocks[group] = self.blocks[group].max(blocks);
        Ok(())
    }

    fn block_bytes(&self, group: usize) -> usize {
        memory::block_bytes(&self.graph, &self.groups[group], &self.limits)
    }

    fn copy(&mut self, group: usize, from: u32, to: u32) -> Result<(), BackendError> {
        self.check_block(group, from.max(to))?;
        self.memory.copy(&self.groups[group], from, to);
        Ok(())
    }

    fn export(&self, group: usize, block: u32, out: &mut Vec<u8>) -> Result<(), BackendError> {
        self.check_block(group, block)?;
        out.extend(self.memory.export(&self.graph, &self.groups[group], block));
        Ok(())
    }

    fn import(&mut self, group: usize, block: u32, bytes: &[u8]) -> Result<(), BackendError> {
        self.check_block(group, block)?;
        self.memory.import(&self.graph, &self.groups[group], block, bytes)
    }

    fn step(&mut self, batch: &Batch, sampled: &mut Vec<Sampled>) -> Result<(), BackendError> {
        batch.check(&self.graph, &self.limits)?;
        self.check_blocks(batch)?;
        for index in 0..self.graph.nodes.len() {
            let node = self.graph.nodes[index].clone();
            let results = self.run(&node, batch)?;
            for (id, result) in node.outputs.iter().zip(results) {
                self.values[id.index()] = result;
            }
        }
        sampled.clear();
        let Some(logits) = self.graph.logits() else { return Ok(()) };
        let logits = &self.values[logits.index()];
        sampled.extend(batch.outputs.iter().enumerate().map(
            |(i, output)| match &output.sampling {
                Some(sampling) => {
                    sample(logits.row(i), sampling, batch.history(output), output.position)
                }
                None => Sampled::default(),
            },
        ));
        Ok(())
    }

    fn read_logits(&self, output: usize, logits: &mut [f32]) {
        if let Some(id) = self.graph.logits() {
            logits.copy_from_slice(self.values[id.index()].row(output));
        }
    }

    fn memory(&self) -> MemoryReport {
        MemoryReport {
            weights: memory::weight_bytes(&self.weights),
            mapped: 0,
            arena: memory::arena_bytes(&self.graph, &self.limits),
            state: self.blocks.iter().enumerate().map(|(g, n)| n * self.block_bytes(g)).sum(),
        }
    }
}
