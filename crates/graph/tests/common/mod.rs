//! Random small graphs with random weights.
#![allow(dead_code)] // each test uses its part

use proptest::prelude::*;
use tessera_formats::Bytes;
use tessera_graph::{
    Activation, Attend, Batch, Builder, Conv, Decay, Delta, Expert, ExpertUnit, Experts, GatedUnit,
    Graph, HeadOrder, KvType, LayerNorm, Limits, NO_SLOT, Part, RmsNorm, RopeSpec, Router, Sampled,
    Save, Scan, Scoring, ValueId, WeightId, Weights,
    oracle::{Interpreter, Oracle},
    random::uniform,
    testing,
};
use tessera_quant::{Float, Packing, RowOrder, Weight};

pub const VOCAB: usize = 11;
/// Width of most values: 2 query heads of 4.
const WIDTH: usize = 8;
const KV_WIDTH: usize = 4;

pub const LIMITS: Limits =
    Limits { tokens: 96, outputs: 96, runs: 4, context: 256, kv: KvType::F32 };

/// A dense f32 weight.
pub fn weight(rows: usize, cols: usize, values: &[f32]) -> Weight {
    assert_eq!(values.len(), rows * cols);
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    Weight {
        packing: Packing::Dense(Float::F32),
        rows,
        cols,
        codes: Bytes::from(bytes),
        scales: None,
        biases: None,
        order: RowOrder::Plain,
    }
}

/// Random weights for all declarations.
pub fn weights(graph: &Graph) -> Weights {
    let weight = |(seed, [rows, cols]): (usize, [usize; 2])| {
        let values: Vec<f32> =
            (0..rows * cols).map(|i| uniform(seed as u64, i as u32) * 2.0 - 1.0).collect();
        weight(rows, cols, &values)
    };
    Weights(graph.weights.iter().map(|decl| decl.shape).enumerate().map(weight).collect())
}

/// Any graph of up to 24 pieces, each of an operation or a few that often stand together.
pub fn graph() -> impl Strategy<Value = Graph> {
    prop::collection::vec(
        (0..18u8, any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        1..24,
    )
    .prop_map(|pieces| {
        let mut grower = Grower::new();
        for (kind, a, b) in pieces {
            let near = grower.recent(&a);
            let far = grower.values[b.index(grower.values.len())];
            grower.piece(kind, near, far);
        }
        grower.finish()
    })
}

struct Grower {
    b: Builder,
    /// All of `WIDTH` and `Tokens`.
    values: Vec<ValueId>,
    rope: ValueId,
    count: usize,
}

impl Grower {
    fn new() -> Self {
        let mut b = Builder::new();
        let table = b.matrix("embed", VOCAB, WIDTH).unwrap();
        let x = b.embed(table, 1.5);
        let rope = b.rope_table(RopeSpec { frequencies: vec![1.0], scale: 1.0 });
        Self { b, values: vec![x], rope, count: 0 }
    }

    /// One of the last values, so that chains form.
    fn recent(&self, index: &prop::sample::Index) -> ValueId {
        let last = self.values.len().min(3);
        self.values[self.values.len() - 1 - index.index(last)]
    }

    fn linear(&mut self, x: ValueId, out: usize) -> ValueId {
        self.count += 1;
        let cols = self.b.dims(x).1;
        let matrix = self.b.matrix(format!("matrix{}", self.count), out, cols).unwrap();
        let bias = self
            .count
            .is_multiple_of(2)
            .then(|| self.b.vector(format!("bias{}", self.count), out).unwrap());
        self.b.linear(x, matrix, bias).unwrap()
    }

    fn norm(&mut self, x: ValueId, heads: usize) -> ValueId {
        self.count += 1;
        let weight = self.b.vector(format!("norm{}", self.count), WIDTH / heads).unwrap();
        self.b.rms_norm(x, RmsNorm { weight, eps: 1e-5, offset: 0.5, heads }).unwrap()
    }

    fn piece(&mut self, kind: u8, x: ValueId, other: ValueId) {
        let y = match kind {
            0 => self.norm(x, 1),
            1 => self.norm(x, 2),
            2 => self.linear(x, WIDTH),
            3 => self.b.add(x, other).unwrap(),
            4 => self.b.scale(x, 0.5),
            5 => self.b.softcap(x, 2.0),
            6 => self.b.rope(x, self.rope, 2).unwrap(),
            7 => {
                let (gate, up) = (self.linear(x, WIDTH), self.linear(x, WIDTH));
                // Sometimes the other way round.
                let (gate, up) = if self.count.is_multiple_of(3) { (up, gate) } else { (gate, up) };
                let h = self.b.glu(Activation::Silu, gate, up).unwrap();
                // Products of products would soon be infinite.
                self.b.softcap(h, 3.0)
            }
            8 => {
                let h = self.linear(x, WIDTH);
                self.b.add(other, h).unwrap()
            }
            9 => self.attend(x),
            10 => {
                let x = self.small(x);
                self.b.activate(Activation::Relu2, x)
            }
            11 => {
                let gate = self.linear(x, 1);
                let gate = self.b.activate(Activation::Sigmoid, gate);
                self.b.mul(other, gate).unwrap()
            }
            12 => self.whole_norm(x),
            13 => self.conv(x),
            14 => self.scan(x),
            15 => self.delta(x),
            16 => {
                let (weight, bias) = (self.vector(WIDTH), self.vector(WIDTH));
                self.b.layer_norm(x, LayerNorm { weight, bias, eps: 1e-5 }).unwrap()
            }
            _ => self.experts(x),
        };
        self.values.push(y);
    }

    fn attend(&mut self, x: ValueId) -> ValueId {
        let (q, k) = (self.linear(x, WIDTH), self.linear(x, KV_WIDTH));
        let v = self.linear(x, KV_WIDTH);
        let window = self.count.is_multiple_of(2).then_some(5);
        let state = self.b.kv(1, 4, window).unwrap();
        self.b
            .attend(q, k, v, Attend { state, heads: 2, scale: 0.5, softcap: None, sinks: None })
            .unwrap()
    }

    /// Squares of squares would soon be infinite.
    fn small(&mut self, x: ValueId) -> ValueId {
        self.b.softcap(x, 3.0)
    }

    fn vector(&mut self, len: usize) -> WeightId {
        self.count += 1;
        self.b.vector(format!("vector{}", self.count), len).unwrap()
    }

    /// Two halves, each with its own weights.
    fn whole_norm(&mut self, x: ValueId) -> ValueId {
        let weight = self.vector(WIDTH);
        self.b.rms_norm(x, RmsNorm { weight, eps: 1e-5, offset: 0.0, heads: 2 }).unwrap()
    }

    fn conv(&mut self, x: ValueId) -> ValueId {
        self.count += 1;
        let state = self.b.conv_state(WIDTH, 3).unwrap();
        let weight = self.b.matrix(format!("conv{}", self.count), WIDTH, 3).unwrap();
        let bias = Some(self.vector(WIDTH));
        let activation = self.count.is_multiple_of(2).then_some(Activation::Silu);
        self.b.conv(x, Conv { state, weight, bias, activation }).unwrap()
    }

    fn scan(&mut self, x: ValueId) -> ValueId {
        let state = self.b.scan_state(4, 2, 3).unwrap();
        let (dt, b, c) = (self.linear(x, 4), self.linear(x, 6), self.linear(x, 6));
        let (decay, dt_bias) = (Decay::Log(self.vector(4)), self.vector(4));
        let skip = self.count.is_multiple_of(2).then(|| self.vector(4));
        let op = Scan { state, groups: 2, decay, dt_bias, skip, dt_limit: (0.0, 2.0) };
        let y = self.b.scan(x, dt, b, c, op).unwrap();
        self.small(y)
    }

    fn delta(&mut self, x: ValueId) -> ValueId {
        let state = self.b.delta_state(2, 3, 4).unwrap();
        let [q, k, a, b] = [3, 3, 2, 2].map(|width| self.linear(x, width));
        let (decay, dt_bias) = (Decay::Log(self.vector(2)), self.vector(2));
        let op =
            Delta { state, key_heads: 1, order: HeadOrder::Grouped, decay, dt_bias, eps: 1e-6 };
        self.b.delta([q, k, x, a, b], op).unwrap()
    }

    fn experts(&mut self, x: ValueId) -> ValueId {
        const COUNT: usize = 4;
        let logits = self.linear(x, COUNT);
        let one_by_one = self.count.is_multiple_of(3);
        let bias = (!one_by_one).then(|| self.vector(COUNT));
        let gated = self.count.is_multiple_of(2);
        let scoring = match gated {
            _ if one_by_one => Scoring::OneByOne { reach: 0.5 },
            true => Scoring::Softmax,
            false => Scoring::Sigmoid,
        };
        let normalise = !one_by_one;
        let router = Router { k: 2, scoring, bias, groups: None, normalise, scale: 0.5 };
        let routes = self.b.route(logits, router).unwrap();
        let unit = match gated {
            true => ExpertUnit::Gated(GatedUnit::Clipped { alpha: 1.7, limit: 2.0 }),
            false => ExpertUnit::Plain(Activation::Relu2),
        };
        let mut part = |out: usize, inner: usize| {
            self.count += 1;
            let name = format!("expert{}", self.count);
            let bias = Some(self.b.vector(format!("{name}.bias"), out).unwrap());
            Part { weight: self.b.matrix(name, out, inner).unwrap(), bias }
        };
        let mut expert = |_| {
            let gate = gated.then(|| part(5, WIDTH));
            Expert { gate, up: part(5, WIDTH), down: part(WIDTH, 5) }
        };
        let experts = (0..COUNT).map(&mut expert).collect();
        let x = self.small(x);
        self.b.experts(x, routes, Experts { unit, experts, k: 2 }).unwrap()
    }

    fn finish(mut self) -> Graph {
        let x = self.b.select(self.values[self.values.len() - 1]).unwrap();
        let logits = self.linear(x, VOCAB);
        self.b.sample(logits).unwrap()
    }
}

/// Two sequences, the second longer than a page.
pub fn sequences() -> [Vec<u32>; 2] {
    [7, 70].map(|n| (0..n).map(|i| (i * 7 + n) % VOCAB as u32).collect())
}

/// The interpreter after one step over [`sequences`].
pub fn run(graph: &Graph, weights: Weights) -> Interpreter {
    use tessera_graph::Executable;
    let mut exe = Oracle.interpreter(graph, weights, &LIMITS).unwrap();
    let storage = testing::Storage::of(graph);
    let mut batch = Batch::default();
    for (i, tokens) in sequences().iter().enumerate() {
        let saves = [Save { after: tokens.len() as u32, slot: i as u32 }];
        storage.push(&mut batch, tokens, 0, (NO_SLOT, &saves), |page| (2 * page + i) as u32);
    }
    // Not all rows are wanted.
    batch.outputs.retain(|output| output.row % 3 == 1);
    storage.grow(&mut exe, 4, 2);
    let mut sampled: Vec<Sampled> = Vec::new();
    exe.step(&batch, &mut sampled).unwrap();
    exe
}
