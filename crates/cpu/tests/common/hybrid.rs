//! Small random models with recurrent layers.

use tessera_graph::{
    Activation, Attend, Batch, Builder, Conv, Decay, Delta, Executable, Graph, HeadOrder, RmsNorm,
    Save, Scan, StateId, ValueId, WeightId, Weights, testing::Storage,
};
use tessera_quant::{Float, Packing, encode::encode};

use super::Noise;

/// A layer between two norms.
#[derive(Debug, Clone, Copy)]
pub enum Layer {
    Scan {
        heads: usize,
        groups: usize,
        head_dim: usize,
        state: usize,
        log: bool,
    },
    Delta {
        heads: usize,
        key_heads: usize,
        order: HeadOrder,
        key_dim: usize,
        value_dim: usize,
        log: bool,
    },
    /// With this window.
    Attention(Option<usize>),
}

/// A model of such layers; recurrent ones begin with convolutions over `kernel` positions.
#[derive(Debug, Clone)]
pub struct Hybrid {
    pub hidden: usize,
    pub kernel: usize,
    pub layers: Vec<Layer>,
}

pub const VOCAB: usize = 40;

/// The model with random weights.
pub fn hybrid(shape: &Hybrid, seed: u64) -> (Graph, Weights) {
    let graph = Maker { b: Builder::new(), count: 0, hidden: shape.hidden }.graph(shape);
    let mut noise = Noise(seed);
    let weights = graph.weights.iter().map(|decl| {
        let [rows, cols] = decl.shape;
        let (middle, width) = match decl.name.split('.').next().unwrap() {
            "norm" => (1.0, 0.2),
            // decays of a few tokens and of many
            "rate" => (-1.5, 1.4),
            "log" => (0.0, 1.5),
            "step" => (-1.5, 2.0),
            "conv" => (0.0, 1.0),
            _ if rows == 1 => (0.0, 0.5),
            _ => (0.0, 1.5 / (cols as f32).sqrt()),
        };
        let values: Vec<f32> = (0..rows * cols).map(|_| middle + noise.next() * width).collect();
        encode(Packing::Dense(Float::F32), rows, cols, &values).unwrap()
    });
    let weights = Weights(weights.collect());
    (graph, weights)
}

struct Maker {
    b: Builder,
    count: usize,
    hidden: usize,
}

impl Maker {
    fn name(&mut self, kind: &str) -> String {
        self.count += 1;
        format!("{kind}.{}", self.count)
    }

    fn vector(&mut self, kind: &str, len: usize) -> WeightId {
        let name = self.name(kind);
        self.b.vector(name, len).unwrap()
    }

    fn linear(&mut self, x: ValueId, out: usize) -> ValueId {
        let (name, cols) = (self.name("matrix"), self.b.dims(x).1);
        let w = self.b.matrix(name, out, cols).unwrap();
        self.b.linear(x, w, None).unwrap()
    }

    fn norm(&mut self, x: ValueId) -> ValueId {
        let weight = self.vector("norm", self.hidden);
        self.b.rms_norm(x, RmsNorm { weight, eps: 1e-5, offset: 0.0, heads: 1 }).unwrap()
    }

    /// A projection, convolved; every other time with a bias.
    fn convolved(&mut self, x: ValueId, width: usize, kernel: usize) -> ValueId {
        let x = self.linear(x, width);
        let state = self.b.conv_state(width, kernel).unwrap();
        let name = self.name("conv");
        let weight = self.b.matrix(name, width, kernel).unwrap();
        let bias = self.count.is_multiple_of(2).then(|| self.vector("bias", width));
        let activation = Some(Activation::Silu).filter(|_| !self.count.is_multiple_of(3));
        self.b.conv(x, Conv { state, weight, bias, activation }).unwrap()
    }

    fn decay(&mut self, log: bool, heads: usize) -> Decay {
        match log {
            true => Decay::Log(self.vector("log", heads)),
            false => Decay::Rate(self.vector("rate", heads)),
        }
    }

    fn layer(&mut self, h: ValueId, layer: Layer, kernel: usize) -> ValueId {
        match layer {
            Layer::Attention(window) => {
                let state: StateId = self.b.kv(2, 16, window).unwrap();
                let [q, k, v] = [64, 32, 32].map(|width| self.linear(h, width));
                let op = Attend { state, heads: 4, scale: 0.3, softcap: None, sinks: None };
                self.b.attend(q, k, v, op).unwrap()
            }
            Layer::Scan { heads, groups, head_dim, state: n, log } => {
                let x = self.convolved(h, heads * head_dim, kernel);
                let b = self.convolved(h, groups * n, kernel);
                let c = self.convolved(h, groups * n, kernel);
                let dt = self.linear(h, heads);
                let state = self.b.scan_state(heads, head_dim, n).unwrap();
                let (decay, dt_bias) = (self.decay(log, heads), self.vector("step", heads));
                let skip = log.then(|| self.vector("skip", heads));
                let op = Scan { state, groups, decay, dt_bias, skip, dt_limit: (0.01, 1.5) };
                self.b.scan(x, dt, b, c, op).unwrap()
            }
            Layer::Delta { heads, key_heads, order, key_dim, value_dim, log } => {
                let q = self.convolved(h, key_heads * key_dim, kernel);
                let k = self.convolved(h, key_heads * key_dim, kernel);
                let v = self.convolved(h, heads * value_dim, kernel);
                let (a, b) = (self.linear(h, heads), self.linear(h, heads));
                let state = self.b.delta_state(heads, key_dim, value_dim).unwrap();
                let (decay, dt_bias) = (self.decay(log, heads), self.vector("step", heads));
                let op = Delta { state, key_heads, order, decay, dt_bias, eps: 1e-6 };
                self.b.delta([q, k, v, a, b], op).unwrap()
            }
        }
    }

    fn graph(mut self, shape: &Hybrid) -> Graph {
        let table = self.b.matrix("embed", VOCAB, shape.hidden).unwrap();
        let mut x = self.b.embed(table, 1.0);
        for (i, &layer) in shape.layers.iter().enumerate() {
            self.b.at(format!("layers.{i}"));
            let h = self.norm(x);
            let y = self.layer(h, layer, shape.kernel);
            let y = self.linear(y, shape.hidden);
            x = self.b.add(x, y).unwrap();
        }
        let x = self.b.select(x).unwrap();
        let x = self.norm(x);
        let logits = self.linear(x, VOCAB);
        self.b.sample(logits).unwrap()
    }
}

/// A run of a step.
pub struct Part<'a> {
    pub tokens: &'a [u32],
    pub position: usize,
    /// Slot read.
    pub slot: u32,
    /// After how many tokens, and where.
    pub saves: &'a [(u32, u32)],
    /// Which sequence's pages.
    pub pages: u32,
}

/// A model that is told its slots.
pub struct Steps<'a> {
    pub exe: Box<dyn Executable>,
    graph: &'a Graph,
    pub storage: Storage,
}

impl<'a> Steps<'a> {
    pub fn new(mut exe: Box<dyn Executable>, graph: &'a Graph, slots: usize) -> Self {
        let storage = Storage::of(graph);
        storage.grow(&mut *exe, 64, slots);
        Self { exe, graph, storage }
    }

    /// Which group the slots are.
    pub fn slots(&self) -> usize {
        self.storage.windows.len()
    }

    /// All logits of each run.
    pub fn step(&mut self, parts: &[Part<'_>]) -> Vec<Vec<f32>> {
        let mut batch = Batch::default();
        for part in parts {
            let saves: Vec<Save> =
                part.saves.iter().map(|&(after, slot)| Save { after, slot }).collect();
            let states = (part.slot, &saves[..]);
            let page = |page: usize| part.pages * 8 + page as u32;
            self.storage.push(&mut batch, part.tokens, part.position, states, page);
        }
        self.exe.step(&batch, &mut Vec::new()).unwrap();
        let mut row = vec![0.0; self.graph.vocab()];
        let mut output = 0;
        let mut logits = |part: &Part<'_>| {
            let mut all = Vec::new();
            for _ in part.tokens {
                self.exe.read_logits(output, &mut row);
                all.extend_from_slice(&row);
                output += 1;
            }
            all
        };
        parts.iter().map(&mut logits).collect()
    }
}
