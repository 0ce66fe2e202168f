//! From a graph to instructions with addresses: what each thread runs, and where they must meet.

use std::sync::Arc;

use tessera_graph::{
    Activation, Attend, BackendError, Epilogue, GatedUnit, Graph, Limits, Linear, Node, Op, Plan,
    RmsNorm, RopeSpec, Router, Rows, StateId, ValueId,
};

use crate::{
    attend::Target,
    blocks::Place,
    buffers::Buffers,
    experts::{Mixture, Stage},
    kernels::{
        matmul::Wants,
        rows::{LayerNorm, Norm},
    },
    kv::Layer,
    load::Loaded,
    recur::Recurrence,
    region::Region,
    tile::Tiles,
};

/// A value's place: `[rows, width]` f32 at an address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    pub p: *mut f32,
    pub width: usize,
    pub rows: Rows,
}

impl Slot {
    /// Address of a row.
    pub fn row(&self, row: usize) -> *mut f32 {
        self.p.wrapping_add(row * self.width)
    }

    /// Addresses the value may touch in a step of `limits`.
    fn span(&self, limits: &Limits) -> (usize, usize) {
        let start = self.p as usize;
        (start, start + limit_of(self.rows, limits) * self.width * size_of::<f32>())
    }
}

/// The most rows of a kind.
pub(crate) fn limit_of(rows: Rows, limits: &Limits) -> usize {
    match rows {
        Rows::Tokens => limits.tokens,
        Rows::Outputs => limits.outputs,
    }
}

/// What a thread does, with every address resolved.
pub(crate) enum Work {
    Embed {
        table: Tiles,
        scale: f32,
        out: Slot,
    },
    Norm {
        norm: Norm,
        x: Slot,
        out: Slot,
    },
    LayerNorm {
        norm: LayerNorm,
        x: Slot,
        out: Slot,
    },
    RopeTable {
        spec: RopeSpec,
        out: Slot,
    },
    Rope {
        x: Slot,
        table: Slot,
        out: Slot,
        heads: usize,
    },
    Keep {
        layer: Layer,
        k: Slot,
        v: Slot,
    },
    Attend {
        layer: Layer,
        op: Attend,
        q: Slot,
        to: Target,
    },
    Join {
        layer: Layer,
        heads: usize,
        to: Target,
    },
    Recur(Recurrence),
    Prepare {
        x: Slot,
        norm: Option<Norm>,
        wants: Wants,
    },
    Product {
        parts: Vec<Part>,
        residual: Option<Slot>,
        gate: Option<GatedUnit>,
        /// What has been prepared.
        x: Slot,
    },
    Route {
        op: Router,
        bias: Option<*const f32>,
        logits: Slot,
        out: Slot,
    },
    Experts(Arc<Mixture>, Stage),
    Glu {
        unit: GatedUnit,
        a: Slot,
        b: Slot,
        out: Slot,
    },
    Activate {
        activation: Activation,
        x: Slot,
        out: Slot,
    },
    Mul {
        a: Slot,
        b: Slot,
        out: Slot,
    },
    Add {
        a: Slot,
        b: Slot,
        out: Slot,
    },
    Scale {
        factor: f32,
        x: Slot,
        out: Slot,
    },
    Softcap {
        cap: f32,
        x: Slot,
        out: Slot,
    },
    Select {
        x: Slot,
        out: Slot,
    },
    Sample {
        logits: Slot,
    },
}

/// A matrix and its bias.
#[derive(Clone, Copy)]
pub(crate) struct Matrix {
    pub weight: Tiles,
    /// `[out]`.
    pub bias: Option<*const f32>,
}

/// One matrix of a product.
pub(crate) struct Part {
    pub matrix: Matrix,
    pub out: Slot,
}

/// A piece of work, and whether threads must meet before it.
pub(crate) struct Instruction {
    pub work: Work,
    pub meet: bool,
    /// The same where every thread prepares all rows for itself, and so reads what others' rows are.
    pub meet_own: bool,
    /// The next instruction that is a product.
    pub product: Option<usize>,
}

/// A lowered graph.
pub(crate) struct Program {
    pub instructions: Vec<Instruction>,
    /// Where the logits are.
    pub logits: Slot,
    /// Elements of the widest prepared row: what a thread's scratch must hold.
    pub widest: usize,
}

// SAFETY: addresses point into regions that the executable owns beside the program.
unsafe impl Send for Program {}
// SAFETY: as above; threads write disjoint parts, as each instruction divides them.
unsafe impl Sync for Program {}

/// Everything that lowering reads.
pub(crate) struct Lower<'a> {
    pub graph: &'a Graph,
    pub plan: &'a Plan,
    pub limits: &'a Limits,
    pub loaded: &'a Loaded,
    pub places: &'a [Place],
    pub arena: &'a Region,
    pub buffers: &'a Buffers,
    /// Rows of mixtures.
    pub mixed: &'a Region,
    pub precise: bool,
}

impl Lower<'_> {
    /// Lowers the whole graph.
    pub fn program(&self) -> Result<Program, BackendError> {
        let mut work = Vec::new();
        for node in &self.graph.nodes {
            self.node(node, &mut work)?;
        }
        let logits = match work.last() {
            Some(Work::Sample { logits }) => *logits,
            _ => return Err(unsupported("a graph that does not end in a sample operation".into())),
        };
        let widest = self.graph.values.iter().map(|v| v.width).max().unwrap_or(0);
        let widest = widest.max(self.buffers.mixtures.width).next_multiple_of(64);
        Ok(Program { instructions: meet(work, self.limits), logits, widest })
    }

    pub(crate) fn slot(&self, id: ValueId) -> Result<Slot, BackendError> {
        let value = &self.graph.values[id.index()];
        let offset = self.plan.offset[id.index()]
            .ok_or_else(|| unsupported(format!("value {id} is used but never made")))?;
        Ok(Slot { p: self.arena.at(offset).cast(), width: value.width, rows: value.rows })
    }

    fn layer(&self, state: StateId) -> Result<Layer, BackendError> {
        let layer = self.places[state.index()].kv().copied();
        layer.ok_or_else(|| unsupported(format!("attention over {state}, which has no pages")))
    }

    fn norm(&self, norm: &RmsNorm, width: usize) -> Result<Norm, BackendError> {
        let whole = self.graph.weights[norm.weight.index()].shape[1] == width;
        Ok(Norm {
            weight_step: if whole { width / norm.heads } else { 0 },
            x: std::ptr::null(),
            out: std::ptr::null_mut(),
            weight: self.loaded.vector(norm.weight)?,
            eps: norm.eps,
            heads: norm.heads,
            len: width / norm.heads,
        })
    }

    fn node(&self, node: &Node, work: &mut Vec<Work>) -> Result<(), BackendError> {
        let x = |i: usize| self.slot(node.inputs[i]);
        let out = || self.slot(node.outputs[0]);
        let last = match &node.op {
            Op::Embed { table, scale } => {
                Work::Embed { table: *self.loaded.matrix(*table)?, scale: *scale, out: out()? }
            }
            Op::RmsNorm(norm) => {
                Work::Norm { norm: self.norm(norm, x(0)?.width)?, x: x(0)?, out: out()? }
            }
            Op::LayerNorm(norm) => {
                let norm = LayerNorm {
                    x: std::ptr::null(),
                    out: std::ptr::null_mut(),
                    weight: self.loaded.vector(norm.weight)?,
                    bias: self.loaded.vector(norm.bias)?,
                    eps: norm.eps,
                    len: x(0)?.width,
                };
                Work::LayerNorm { norm, x: x(0)?, out: out()? }
            }
            Op::Linear(linear) => return self.linear(linear, node, work),
            Op::RopeTable(spec) => Work::RopeTable { spec: spec.clone(), out: out()? },
            Op::Rope { heads } => Work::Rope { x: x(0)?, table: x(1)?, out: out()?, heads: *heads },
            Op::Attend(op) => {
                let layer = self.layer(op.state)?;
                work.push(Work::Keep { layer, k: x(1)?, v: x(2)? });
                let sinks = op.sinks.map(|id| self.loaded.vector(id)).transpose()?;
                let to = Target { out: out()?, sinks };
                work.push(Work::Attend { layer, op: op.clone(), q: x(0)?, to });
                Work::Join { layer, heads: op.heads, to }
            }
            Op::Glu(unit) => Work::Glu { unit: *unit, a: x(0)?, b: x(1)?, out: out()? },
            Op::Activate(activation) => {
                Work::Activate { activation: *activation, x: x(0)?, out: out()? }
            }
            Op::Mul => Work::Mul { a: x(0)?, b: x(1)?, out: out()? },
            Op::Add => Work::Add { a: x(0)?, b: x(1)?, out: out()? },
            Op::Scale(factor) => Work::Scale { factor: *factor, x: x(0)?, out: out()? },
            Op::Softcap(cap) => Work::Softcap { cap: *cap, x: x(0)?, out: out()? },
            Op::Select => Work::Select { x: x(0)?, out: out()? },
            Op::Sample => Work::Sample { logits: x(0)? },
            Op::Conv(_) | Op::Scan(_) | Op::Delta(_) => Work::Recur(self.recurrence(node)?),
            Op::Route(op) => {
                let bias = op.bias.map(|id| self.loaded.vector(id)).transpose()?;
                Work::Route { op: op.clone(), bias, logits: x(0)?, out: out()? }
            }
            Op::Experts(op) => {
                let mixture = Arc::new(self.mixture(op, [x(0)?, x(1)?, out()?])?);
                use Stage::*;
                let stages = [Sort, Up, Prepare, Down, Mix];
                work.extend(stages.map(|stage| Work::Experts(mixture.clone(), stage)));
                return Ok(());
            }
        };
        work.push(last);
        Ok(())
    }

    /// A matrix and its bias.
    pub fn matrix(&self, part: &tessera_graph::Part) -> Result<Matrix, BackendError> {
        Ok(Matrix {
            weight: *self.loaded.matrix(part.weight)?,
            bias: part.bias.map(|b| self.loaded.vector(b)).transpose()?,
        })
    }

    fn linear(
        &self,
        linear: &Linear,
        node: &Node,
        work: &mut Vec<Work>,
    ) -> Result<(), BackendError> {
        let x = self.slot(node.inputs[0])?;
        let gate = match linear.epilogue {
            Epilogue::Glu(unit) => Some(unit),
            _ => None,
        };
        let mut parts = Vec::with_capacity(linear.parts.len());
        for (i, part) in linear.parts.iter().enumerate() {
            parts.push(Part {
                matrix: self.matrix(part)?,
                out: self.slot(node.outputs[if gate.is_some() { 0 } else { i }])?,
            });
        }
        let residual = match linear.epilogue {
            Epilogue::Residual => Some(self.slot(node.inputs[1])?),
            _ => None,
        };
        let norm = linear.norm.as_ref().map(|n| self.norm(n, x.width)).transpose()?;
        let wants = Wants::of(parts.iter().map(|p| &p.matrix.weight), self.precise);
        work.push(Work::Prepare { x, norm, wants });
        work.push(Work::Product { parts, residual, gate, x });
        Ok(())
    }
}

pub(crate) fn unsupported(what: String) -> BackendError {
    BackendError::Unsupported { backend: "cpu", what }
}

/// How work is divided such that a thread has the same part of every value as wide.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Division {
    Rows(Rows),
    /// Channels of each run.
    Channels,
}

impl Work {
    /// For work that is so divided: how, the values read and the values written. `None` for work that divides
    /// itself otherwise.
    fn division(&self) -> Option<(Division, Vec<Slot>, Option<Slot>)> {
        let (rows, reads, write) = match self {
            Self::Recur(work) => {
                let x = work.by_channels()?;
                return Some((Division::Channels, vec![x], Some(work.out)));
            }
            Self::Embed { out, .. } | Self::RopeTable { out, .. } => (out.rows, vec![], Some(*out)),
            Self::Norm { x, out, .. }
            | Self::LayerNorm { x, out, .. }
            | Self::Scale { x, out, .. }
            | Self::Softcap { x, out, .. }
            | Self::Activate { x, out, .. } => (out.rows, vec![*x], Some(*out)),
            Self::Rope { x, table, out, .. } => (out.rows, vec![*x, *table], Some(*out)),
            Self::Keep { k, v, .. } => (k.rows, vec![*k, *v], None),
            Self::Prepare { x, .. } => (x.rows, vec![*x], None),
            Self::Glu { a, b, out, .. } | Self::Add { a, b, out } | Self::Mul { a, b, out } => {
                (out.rows, vec![*a, *b], Some(*out))
            }
            Self::Route { logits, out, .. } => (out.rows, vec![*logits], Some(*out)),
            Self::Experts(m, Stage::Mix) => (m.out.rows, vec![m.routes], Some(m.out)),
            Self::Experts(..)
            | Self::Attend { .. }
            | Self::Join { .. }
            | Self::Product { .. }
            | Self::Select { .. }
            | Self::Sample { .. } => return None,
        };
        Some((Division::Rows(rows), reads, write))
    }
}

impl Work {
    /// Whether it multiplies by matrices, and so waits for their weights.
    pub fn is_product(&self) -> bool {
        matches!(self, Self::Product { .. } | Self::Experts(_, Stage::Up | Stage::Down))
    }

    /// Whether it reads what others have made of its rows, though it treats rows one by one.
    fn gathers(&self) -> bool {
        matches!(self, Self::Experts(_, Stage::Mix))
    }
}

/// Decides where threads must meet: before all work that is not divided as the work before it, and where a
/// part of a result would land on what another thread may still be reading.
fn meet(work: Vec<Work>, limits: &Limits) -> Vec<Instruction> {
    let mut kind = None; // division of the work since the last meeting
    let mut touched: Vec<Slot> = Vec::new(); // values touched since then
    let mut out = Vec::with_capacity(work.len());
    // whether rows have been made since threads met; preparing them meets for that
    let mut rows_since = false;
    for work in work {
        let meet = match work.division() {
            None => {
                kind = None;
                touched.clear();
                true
            }
            Some((division, reads, write)) => {
                let clash = |slot: &Slot| {
                    let (a, z) = slot.span(limits);
                    touched.iter().any(|t| {
                        let (b, y) = t.span(limits);
                        a < y && b < z && (a, slot.width) != (b, t.width)
                    })
                };
                let meet = work.gathers()
                    || kind != Some(division)
                    || write.iter().chain(&reads).any(clash);
                if meet {
                    touched.clear();
                }
                kind = Some(division);
                touched.extend(reads);
                touched.extend(write);
                meet
            }
        };
        let meet_own = match &work {
            work if work.is_product() => false,
            Work::Prepare { .. } => meet || rows_since,
            _ => meet,
        };
        rows_since = work.division().is_some() && !matches!(work, Work::Prepare { .. });
        out.push(Instruction { work, meet, meet_own, product: None });
    }
    let mut product = None;
    for (index, instruction) in out.iter_mut().enumerate().rev() {
        instruction.product = product;
        if instruction.work.is_product() {
            product = Some(index);
        }
    }
    out
}
