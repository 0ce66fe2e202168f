//! A graph as a listing that people read, and as rows that programs read.

use std::fmt::{self, Write};

use serde::Serialize;
use tessera_quant::{Float, Packing};

use crate::{
    Decay, Epilogue, Experts, GatedUnit, Graph, HeadOrder, Linear, Node, Op, Part, Rows, StateDecl,
    StateId, ValueId, WeightDecl, WeightId, Weights,
    cost::{self, Cost, Step},
};

/// One operation of a listing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Where in the model: `layers.3.attention`.
    pub label: String,
    /// The operation with its settings: `rms_norm+linear x3`.
    pub op: String,
    /// Operands: `%4 [tokens, 576]`.
    pub inputs: Vec<String>,
    /// Results, written alike.
    pub outputs: Vec<String>,
    /// Weights with their packing.
    pub weights: Vec<WeightRow>,
    /// Bytes moved and operations done.
    pub cost: Cost,
}

/// One weight of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WeightRow {
    /// Name in the checkpoint.
    pub name: String,
    /// `[rows, cols]`.
    pub shape: [usize; 2],
    /// How it is stored: `q4_k`, `bf16`, `affine4/64`.
    pub packing: String,
    /// Packed bytes.
    pub bytes: usize,
}

/// The operations of `graph`, with the cost of each in `step`.
pub fn rows(graph: &Graph, weights: &Weights, step: &Step) -> Vec<Row> {
    graph.nodes.iter().map(|node| row(graph, weights, node, step)).collect()
}

fn row(graph: &Graph, weights: &Weights, node: &Node, step: &Step) -> Row {
    let values = |ids: &[ValueId]| ids.iter().map(|&id| value(graph, id)).collect();
    Row {
        label: node.label.clone(),
        op: describe(graph, &node.op),
        inputs: values(&node.inputs),
        outputs: values(&node.outputs),
        weights: node
            .op
            .weights()
            .into_iter()
            .map(|id| weight(&graph.weights[id.index()], &weights[id]))
            .collect(),
        cost: cost::cost(graph, weights, node, step),
    }
}

fn value(graph: &Graph, id: ValueId) -> String {
    let value = &graph.values[id.index()];
    format!("{id} [{}, {}]", rows_name(value.rows), value.width)
}

fn rows_name(rows: Rows) -> &'static str {
    match rows {
        Rows::Tokens => "tokens",
        Rows::Outputs => "outputs",
    }
}

fn weight(decl: &WeightDecl, weight: &tessera_quant::Weight) -> WeightRow {
    WeightRow {
        name: decl.to_string(),
        shape: decl.shape,
        packing: packing(&weight.packing),
        bytes: weight.bytes(),
    }
}

/// Short name of a packing: `f16`, `affine4/64`, `q4_k`.
pub fn packing(packing: &Packing) -> String {
    match packing {
        Packing::Dense(Float::F32) => "f32".into(),
        Packing::Dense(Float::F16) => "f16".into(),
        Packing::Dense(Float::BF16) => "bf16".into(),
        Packing::Affine { bits, group, .. } => format!("affine{bits}/{group}"),
        Packing::Ggml(kind) => format!("{kind:?}").to_lowercase(),
        other => format!("{other:?}").to_lowercase(),
    }
}

fn describe(graph: &Graph, op: &Op) -> String {
    match op {
        Op::Embed { scale: 1.0, .. } => "embed".into(),
        Op::Embed { scale, .. } => format!("embed * {scale}"),
        Op::LayerNorm(_) => "layer_norm".into(),
        Op::RmsNorm(norm) if norm.heads == 1 => "rms_norm".into(),
        Op::RmsNorm(norm) => format!("rms_norm of {} heads", norm.heads),
        Op::Linear(linear) => describe_linear(linear),
        Op::RopeTable(spec) => format!("rope_table of {}", 2 * spec.frequencies.len()),
        Op::Rope { heads } => format!("rope of {heads} heads"),
        Op::Attend(attend) => {
            let mut text = format!("attend {}/{}", attend.heads, remembered(graph, attend.state));
            if let Some(cap) = attend.softcap {
                text += &format!(", cap {cap}");
            }
            if attend.sinks.is_some() {
                text += ", sinks";
            }
            text
        }
        Op::Conv(conv) => format!("conv {}", remembered(graph, conv.state)),
        Op::Scan(scan) => {
            format!("scan {}, {} groups", remembered(graph, scan.state), scan.groups)
        }
        Op::Delta(delta) => {
            let order = if delta.order == HeadOrder::Tiled { ", tiled" } else { "" };
            format!(
                "delta {}, {} key heads{order}",
                remembered(graph, delta.state),
                delta.key_heads
            )
        }
        Op::Route(router) => format!("route to {}, {:?}", router.k, router.scoring).to_lowercase(),
        Op::Experts(experts) => format!("experts {} of {}", experts.k, experts.experts.len()),
        Op::Glu(unit) => glu(*unit),
        Op::Activate(activation) => format!("{activation:?}").to_lowercase(),
        Op::Mul => "mul".into(),
        Op::Add => "add".into(),
        Op::Scale(factor) => format!("scale * {factor}"),
        Op::Softcap(cap) => format!("softcap {cap}"),
        Op::Select => "select".into(),
        Op::Sample => "sample".into(),
    }
}

fn describe_linear(linear: &Linear) -> String {
    let mut text = String::from(if linear.norm.is_some() { "rms_norm+linear" } else { "linear" });
    if linear.parts.len() > 1 {
        text += &format!(" x{}", linear.parts.len());
    }
    match linear.epilogue {
        Epilogue::None => {}
        Epilogue::Residual => text += "+add",
        Epilogue::Glu(unit) => text += &format!("+{}", glu(unit)),
    }
    text
}

fn glu(unit: GatedUnit) -> String {
    match unit {
        GatedUnit::Of(activation) => format!("glu {activation:?}").to_lowercase(),
        GatedUnit::Clipped { limit, .. } => format!("glu clipped at {limit}"),
    }
}

/// A state's sizes.
fn remembered(graph: &Graph, id: StateId) -> String {
    match &graph.states[id.index()] {
        StateDecl::Kv(kv) => {
            let window = kv.window.map_or(String::new(), |window| format!(", window {window}"));
            format!("{} x {}{window}", kv.kv_heads, kv.head_dim)
        }
        StateDecl::Conv(conv) => format!("{} over {}", conv.channels, conv.kernel),
        StateDecl::Scan(scan) => format!("{} x {} x {}", scan.heads, scan.head_dim, scan.state),
        StateDecl::Delta(delta) => {
            format!("{} x {} x {}", delta.heads, delta.key_dim, delta.value_dim)
        }
    }
}

impl Op {
    /// Weights the operation reads, a norm's before its linear's, a bias after its matrix.
    pub fn weights(&self) -> Vec<WeightId> {
        let mut ids = Vec::new();
        let mut part =
            |part: &Part| ids.extend([Some(part.weight), part.bias].into_iter().flatten());
        match self {
            Op::Linear(linear) => linear.parts.iter().for_each(part),
            Op::Experts(Experts { experts, .. }) => {
                let parts = |e: &'_ crate::Expert| {
                    [e.gate.clone(), Some(e.up.clone()), Some(e.down.clone())]
                };
                experts.iter().flat_map(parts).flatten().for_each(|p| part(&p));
            }
            _ => {}
        }
        let rate = |decay: Decay| match decay {
            Decay::Log(id) | Decay::Rate(id) => Some(id),
        };
        let others = match self {
            Op::Embed { table, .. } => [Some(*table), None, None],
            Op::RmsNorm(norm) => [Some(norm.weight), None, None],
            Op::LayerNorm(norm) => [Some(norm.weight), Some(norm.bias), None],
            Op::Linear(linear) => [linear.norm.as_ref().map(|norm| norm.weight), None, None],
            Op::Attend(attend) => [attend.sinks, None, None],
            Op::Conv(conv) => [Some(conv.weight), conv.bias, None],
            Op::Scan(scan) => [rate(scan.decay), Some(scan.dt_bias), scan.skip],
            Op::Delta(delta) => [rate(delta.decay), Some(delta.dt_bias), None],
            Op::Route(router) => [router.bias, None, None],
            _ => [None; 3],
        };
        others.into_iter().flatten().chain(ids).collect()
    }
}

/// The listing as a table, one line an operation, with a line of totals.
pub struct Table<'a>(pub &'a [Row]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = self.0.iter().map(|row| row.label.len()).max().unwrap_or(0);
        let op = self.0.iter().map(|row| row.op.len()).max().unwrap_or(0);
        for row in self.0 {
            let mut shapes = row.inputs.join(", ");
            write!(shapes, " -> {}", row.outputs.join(", "))?;
            write!(f, "{:label$}  {:op$}  {}  {shapes}", row.label, row.op, figures(&row.cost))?;
            let weights: Vec<String> = row.weights.iter().map(ToString::to_string).collect();
            writeln!(f, "  {}", weights.join(", "))?;
        }
        let total: Cost = self.0.iter().map(|row| row.cost).sum();
        writeln!(f, "{:label$}  {:op$}  {}", "total", "", figures(&total))
    }
}

impl fmt::Display for WeightRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.packing)
    }
}

fn figures(cost: &Cost) -> String {
    format!("{:>9} {:>10}", human(cost.bytes(), "B"), human(cost.flops, "flop"))
}

/// Three digits and a decimal prefix.
fn human(n: usize, unit: &str) -> String {
    let mut value = n as f64;
    for prefix in ["", "k", "M", "G", "T"] {
        if value < 999.5 {
            let digits = if prefix.is_empty() || value >= 99.95 { 0 } else { 1 };
            return format!("{value:.digits$} {prefix}{unit}");
        }
        value /= 1000.0;
    }
    format!("{value:.0} P{unit}")
}
