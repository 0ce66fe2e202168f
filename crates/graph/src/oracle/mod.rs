//! The f32 interpreter that every backend is tested against: slow and obvious.
//!
//! It runs a graph exactly as it is given (no fusion, no plan), one function an operation, decoding
//! packed weights row by row with the reference decoder of `tessera-quant`. Sums are accumulated in f64
//! and rounded once, so that in any comparison the oracle is the more exact side. Every intermediate of
//! the last step stays readable. It is itself tested against the reference implementations' goldens.

mod attend;
mod dense;
mod memory;
mod pointwise;
mod rope;
mod sample;

use std::ops::ControlFlow;

use crate::{
    Backend, BackendError, Batch, Executable, Footprint, Graph, Limits, MemoryReport, Node, Op,
    PageGroup, Progress, Sampled, ValueId, Weights,
};
use memory::Memory;
pub use pointwise::{activate, erf};

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
        let groups = graph.page_groups();
        Ok(Interpreter {
            weights,
            limits: limits.clone(),
            pages: vec![0; groups.len()],
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
        let pages = graph.page_groups();
        Ok(Footprint {
            weights: memory::weight_bytes(weights),
            arena: memory::arena_bytes(graph, limits),
            pages: pages.iter().map(|group| memory::page_bytes(graph, group, limits)).collect(),
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
    groups: Vec<PageGroup>,
    /// Pages made available, by group.
    pages: Vec<usize>,
    /// The last step's intermediates.
    values: Vec<Matrix>,
    memory: Memory,
}

impl Interpreter {
    /// An intermediate of the last step: `[rows, width]`, row-major.
    pub fn value(&self, id: ValueId) -> &[f32] {
        &self.values[id.index()].data
    }

    fn check_pages(&self, batch: &Batch) -> Result<(), BackendError> {
        for run in &batch.runs {
            for (group, &pages) in self.pages.iter().enumerate() {
                let mut ids = batch.table(run, group).iter().filter(|&&id| id != crate::NO_PAGE);
                if let Some(id) = ids.find(|&&id| id as usize >= pages) {
                    let what = format!("page {id} of group {group}, which has {pages}");
                    return Err(BackendError::Batch(what));
                }
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
            Op::Linear(linear) => return Ok(dense::linear(linear, &self.weights, &inputs)),
            Op::RopeTable(spec) => rope::table(spec, batch),
            Op::Rope { heads } => rope::rotate(inputs[0], inputs[1], *heads),
            Op::Attend(attend) => {
                let state = &self.graph.states[attend.state.index()];
                let group = self.groups.iter().position(|g| g.window == state.window).unwrap_or(0);
                self.memory.append(attend.state, batch, group, inputs[1], inputs[2]);
                attend::attend(attend, state, batch, group, inputs[0], &self.memory)?
            }
            Op::Glu(activation) => pointwise::glu(*activation, inputs[0], inputs[1]),
            Op::Add => pointwise::add(inputs[0], inputs[1]),
            Op::Scale(factor) => pointwise::map(inputs[0], |x| x * factor),
            Op::Softcap(cap) => pointwise::map(inputs[0], |x| cap * (x / cap).tanh()),
            Op::Select => dense::select(inputs[0], batch),
            Op::Sample => return Ok(Vec::new()),
        };
        Ok(vec![one])
    }
}

impl Executable for Interpreter {
    fn grow(&mut self, group: usize, pages: usize) -> Result<(), BackendError> {
        self.pages[group] = self.pages[group].max(pages);
        Ok(())
    }

    fn page_bytes(&self, group: usize) -> usize {
        memory::page_bytes(&self.graph, &self.groups[group], &self.limits)
    }

    fn step(&mut self, batch: &Batch, sampled: &mut Vec<Sampled>) -> Result<(), BackendError> {
        batch.check(&self.graph, &self.limits)?;
        self.check_pages(batch)?;
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
                    sample::sample(logits.row(i), sampling, batch.history(output), output.position)
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
            arena: memory::arena_bytes(&self.graph, &self.limits),
            pages: self.pages.iter().enumerate().map(|(g, n)| n * self.page_bytes(g)).sum(),
        }
    }
}
