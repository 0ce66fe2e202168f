//! Random small graphs with random weights.
#![allow(dead_code)] // each test uses its part

use proptest::prelude::*;
use tessera_formats::Bytes;
use tessera_graph::{
    Activation, Attend, Batch, Builder, Graph, KvType, Limits, RmsNorm, RopeSpec, Sampled, ValueId,
    Weights,
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
        (0..10u8, any::<prop::sample::Index>(), any::<prop::sample::Index>()),
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
            _ => self.attend(x),
        };
        self.values.push(y);
    }

    fn attend(&mut self, x: ValueId) -> ValueId {
        let (q, k) = (self.linear(x, WIDTH), self.linear(x, KV_WIDTH));
        let v = self.linear(x, KV_WIDTH);
        let window = self.count.is_multiple_of(2).then_some(5);
        let state = self.b.kv(1, 4, window).unwrap();
        self.b.attend(q, k, v, Attend { state, heads: 2, scale: 0.5, softcap: None }).unwrap()
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
    let windows: Vec<_> = graph.windows().collect();
    let mut batch = Batch::default();
    for (i, tokens) in sequences().iter().enumerate() {
        testing::push(&mut batch, tokens, 0, &windows, |page| (2 * page + i) as u32);
    }
    // Not all rows are wanted.
    batch.outputs.retain(|output| output.row % 3 == 1);
    for group in 0..windows.len() {
        exe.grow(group, 4).unwrap();
    }
    let mut sampled: Vec<Sampled> = Vec::new();
    exe.step(&batch, &mut sampled).unwrap();
    exe
}
