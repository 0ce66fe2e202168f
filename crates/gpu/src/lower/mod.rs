//! From a graph to launches, once, when a model is loaded.

mod attend;
mod experts;
mod linear;
mod pointwise_ops;
mod recurrent;
mod rows;
mod sample;
mod turned;

use tessera_graph::{
    BackendError, Graph, Limits, Node, Op, Rows, StateId, ValueId, WeightId, Weights, plan,
};
use tessera_kernels::{
    pointwise,
    tune::{Tunable, allowed},
};
use tessera_tile::Record;

pub use sample::Results;

use crate::{
    Tuning,
    draws::{MAX_TOP, Mode},
    stream::{BufferId, Part, Range, Shape, Stream, When},
    tables::{self, Tables},
    tune::{self, probe::Probe},
    weights,
};

/// Everything that a model's steps need, but no memory.
pub struct Lowered {
    /// Kernels and launches.
    pub stream: Stream,
    /// Contents of the buffers of weights.
    pub weights: weights::Plan,
    /// What a step is told.
    pub tables: Tables,
    /// Bytes of intermediates.
    pub arena: usize,
    /// Where the logits are.
    pub logits: Range,
    /// What is read back.
    pub results: Results,
    /// What could have another geometry, if that is asked for.
    pub probes: Vec<Probe>,
}

/// The work of lowering.
pub(crate) struct Lower<'a> {
    graph: &'a Graph,
    bound: &'a Weights,
    limits: &'a Limits,
    /// The largest step.
    most: Shape,
    /// Offset in the arena of each value.
    offsets: Vec<Option<usize>>,
    turned: turned::All,
    stream: Stream,
    plan: weights::Plan,
    tables: Tables,
    results: Results,
    tuning: &'a Tuning,
    probes: Vec<Probe>,
    /// Bytes of values in the arena.
    values: usize,
    /// Bytes of the arena, scratch included.
    arena: usize,
}

/// A part of the graph that this backend does not do, or a kernel that refuses its sizes.
fn unsupported(label: &str, what: impl std::fmt::Display) -> BackendError {
    BackendError::Unsupported { backend: "gpu", what: format!("{label}: {what}") }
}

/// Lowers a graph made by [`expand`](crate::expand::expand).
pub fn lower(
    graph: &Graph,
    bound: &Weights,
    limits: &Limits,
    tuning: &Tuning,
) -> Result<Lowered, BackendError> {
    let tiled = attend::tiled(graph, tuning, limits.kv);
    let placed = plan(graph, limits);
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let most = Shape {
        tokens: number(limits.tokens),
        outputs: number(limits.outputs),
        mode: Mode {
            draws: number(limits.outputs),
            top: MAX_TOP.min(number(graph.vocab())),
            ..Mode::default()
        },
        runs: number(limits.runs),
        singles: number(tables::singles(limits, tiled)),
        blocks: number(tables::blocks(limits)),
        longest: number(limits.tokens),
        context: number(limits.context),
    };
    let mut lower = Lower {
        graph,
        bound,
        limits,
        most,
        turned: turned::find(graph, bound, &placed.offset),
        offsets: placed.offset,
        stream: Stream::default(),
        plan: weights::Plan::default(),
        tables: Tables::new(graph, limits, tiled),
        tuning,
        probes: Vec::new(),
        results: Results::new(limits.outputs, graph.vocab()),
        values: placed.bytes.next_multiple_of(256),
        arena: placed.bytes,
    };
    for node in &graph.nodes {
        if !node.outputs.iter().any(|y| lower.turned.absorbed.contains(y)) {
            lower.node(node)?;
        }
    }
    let logits = graph.logits().ok_or_else(|| unsupported("graph", "it draws no tokens"))?;
    let logits = lower.value(logits);
    let Lower { stream, plan, tables, arena, results, probes, .. } = lower;
    Ok(Lowered { stream, weights: plan, tables, arena, logits, results, probes })
}

impl Lower<'_> {
    fn node(&mut self, node: &Node) -> Result<(), BackendError> {
        match &node.op {
            Op::Embed { table, scale } => self.embed(node, *table, *scale),
            Op::RmsNorm(norm) => self.rms_norm(node, norm),
            Op::LayerNorm(norm) => self.layer_norm(node, norm),
            Op::Linear(linear) => self.linear(node, linear),
            Op::RopeTable(spec) => self.rope_table(node, spec),
            Op::Rope { heads } => self.rope(node, *heads),
            Op::Select => self.select(node),
            Op::Attend(op) => self.attend(node, op),
            Op::Route(op) => self.route(node, op),
            Op::Experts(op) => self.experts(node, op),
            Op::Conv(op) => self.conv(node, op),
            Op::Scan(op) => self.scan(node, op),
            Op::Delta(op) => self.delta(node, op),
            Op::Glu(unit) => self.glu(node, *unit),
            Op::Activate(activation) => self.activate(node, *activation),
            Op::Mul => self.mul(node),
            Op::Add => self.pointwise(node, pointwise::Op::Add, 0.0, 0.0),
            Op::Scale(factor) => self.pointwise(node, pointwise::Op::Scale, *factor, 0.0),
            Op::Softcap(cap) => self.pointwise(node, pointwise::Op::Softcap, *cap, 0.0),
            Op::Sample => {
                let results = self.results;
                self.sample(node, &results)
            }
        }
    }

    /// Where a value lies.
    fn value(&self, id: ValueId) -> Range {
        let value = &self.graph.values[id.index()];
        let rows = match value.rows {
            Rows::Tokens => self.limits.tokens,
            Rows::Outputs => self.limits.outputs,
        };
        let offset = self.offsets[id.index()].unwrap_or(0);
        Range { buffer: BufferId::Arena, offset, bytes: rows * value.width * 4 }
    }

    /// Elements of a row.
    fn width(&self, id: ValueId) -> u32 {
        self.graph.values[id.index()].width as u32
    }

    fn rows(&self, id: ValueId) -> Rows {
        self.graph.values[id.index()].rows
    }

    /// Memory for what one operation makes on its way; all operations share it.
    fn scratch(&mut self, parts: &[usize]) -> Vec<Range> {
        let mut offset = self.values;
        let place = |&bytes: &usize| {
            let range = Range { buffer: BufferId::Arena, offset, bytes };
            offset += bytes.next_multiple_of(256);
            range
        };
        let ranges = parts.iter().map(place).collect();
        self.arena = self.arena.max(offset);
        ranges
    }

    fn vector(&mut self, id: WeightId) -> Range {
        self.plan.vectors(&[id], self.bound)
    }

    fn planes(&mut self, ids: &[WeightId]) -> Result<weights::Planes, BackendError> {
        self.plan.matrices(ids, self.graph, self.bound)
    }

    /// The pages or slots of a state.
    fn state(&self, id: StateId) -> Range {
        Range::all(BufferId::State(id.index()))
    }

    /// Adds a kernel that serves any number of rows.
    fn launch<S: Record + Send>(
        &mut self,
        label: &str,
        rows: Rows,
        spec: S,
        bindings: Vec<Range>,
        args: impl Fn(&Shape) -> S::Args + Send + 'static,
    ) -> Result<(), BackendError> {
        self.launch_within(label, rows, (0, u32::MAX), spec, &bindings, args)
    }

    /// Adds a kernel for more than `within.0` and up to `within.1` rows.
    fn launch_within<S: Record + Send>(
        &mut self,
        label: &str,
        rows: Rows,
        within: (u32, u32),
        spec: S,
        bindings: &[Range],
        args: impl Fn(&Shape) -> S::Args + Send + 'static,
    ) -> Result<(), BackendError> {
        let part = Part { label: label.to_owned(), rows, within, when: When::Always };
        self.add(part, spec, bindings, args)
    }

    /// As [`Lower::launch_within`], for a kernel whose geometry may have been chosen, for each section of numbers of rows by
    /// itself.
    fn launch_tuned<S: Tunable>(
        &mut self,
        label: &str,
        rows: Rows,
        within: (u32, u32),
        spec: S,
        bindings: &[Range],
        args: impl Fn(&Shape) -> S::Args + Send + Clone + 'static,
    ) -> Result<(), BackendError> {
        let mut sections: Vec<((u32, u32), S)> = Vec::new();
        for (section, nominal) in tune::sections(within, self.most.rows(rows)) {
            let sizes = args(&tune::nominal(nominal));
            let key = tune::Key::new(&spec, &sizes, nominal);
            if self.tuning.probe && nominal <= within.1 {
                let place = (label, rows, nominal, self.stream.stages.len());
                tune::probe::add(
                    &mut self.probes,
                    &key,
                    place,
                    &spec,
                    bindings,
                    (&sizes, args.clone()),
                );
            }
            let chosen = self.chosen(&key, spec, &args(&self.most));
            match sections.last_mut() {
                Some((last, kernel)) if *kernel == chosen => last.1 = section.1,
                _ => sections.push((section, chosen)),
            }
        }
        for (section, kernel) in sections {
            self.launch_within(label, rows, section, kernel, bindings, args.clone())?;
        }
        Ok(())
    }

    /// The candidate that the device's table names, if there is one and nothing speaks against it.
    fn chosen<S: Tunable>(&self, key: &tune::Key, spec: S, most: &S::Args) -> S {
        let Some(choice) = self.tuning.choices.get(key) else { return spec };
        let named = allowed(&spec, most).into_iter().find(|kernel| kernel.name() == choice.kernel);
        let known = |kernel: &S| {
            let name = kernel.name();
            self.stream.programs.iter().any(|program| program.name == name)
        };
        named.filter(|kernel| known(kernel) || kernel.record().is_ok()).unwrap_or(spec)
    }

    fn add<S: Record + Send>(
        &mut self,
        part: Part,
        spec: S,
        bindings: &[Range],
        args: impl Fn(&Shape) -> S::Args + Send + 'static,
    ) -> Result<(), BackendError> {
        let label = part.label.clone();
        let pushed = self.stream.push(part, spec, bindings, &self.most, args);
        pushed.map_err(|why| unsupported(&label, why))
    }
}
