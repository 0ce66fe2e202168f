//! Small random models in any packing, and the oracle's word on them.

#![allow(dead_code)] // each test file uses a part

pub mod hybrid;
pub mod mixture;

use tessera_cpu::{Cpu, CpuOptions, Level};
use tessera_graph::{
    Activation, Attend, Backend, Builder, Executable, Graph, KvType, Limits, RmsNorm, RopeSpec,
    WeightDecl, WeightId, Weights, oracle::Oracle, testing::run_logits,
};
use tessera_quant::{Float, Packing, encode::encode};

/// Shape of a small model.
#[derive(Debug, Clone)]
pub struct Shape {
    pub hidden: usize,
    pub ffn: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub vocab: usize,
    pub layers: usize,
    pub window: Option<usize>,
    pub softcap: Option<f32>,
    pub head_norm: bool,
    pub bias: bool,
    pub sinks: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            hidden: 64,
            ffn: 96,
            heads: 4,
            kv_heads: 2,
            head_dim: 16,
            vocab: 50,
            layers: 2,
            window: None,
            softcap: None,
            head_norm: false,
            bias: false,
            sinks: false,
        }
    }
}

/// A repeatable stream of numbers in -1 .. 1.
pub struct Noise(pub u64);

impl Noise {
    pub fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as f32 / (1u64 << 30) as f32) - 1.0
    }

    pub fn tokens(&mut self, n: usize, vocab: usize) -> Vec<u32> {
        (0..n).map(|_| ((self.next() + 1.0) * 0.5 * vocab as f32) as u32 % vocab as u32).collect()
    }
}

/// A llama-like model with its weights in `packing`.
pub fn model(shape: &Shape, packing: Packing, seed: u64) -> (Graph, Weights) {
    let graph = graph(shape);
    let weights = weights(&graph, seed, |_| packing);
    (graph, weights)
}

/// Random weights, matrices as `packing` tells.
pub fn weights(graph: &Graph, seed: u64, packing: impl Fn(&WeightDecl) -> Packing) -> Weights {
    let mut noise = Noise(seed);
    let weights = graph.weights.iter().map(|decl| {
        let [rows, cols] = decl.shape;
        let vector = rows == 1;
        let scale = match vector {
            // from hardly anything to most of a softmax
            true if decl.name.contains("sinks") => 6.0,
            true => 0.2,
            false => 1.5 / (cols as f32).sqrt(),
        };
        let offset = if decl.name.contains("norm") { 1.0 } else { 0.0 };
        let values: Vec<f32> = (0..rows * cols).map(|_| noise.next() * scale + offset).collect();
        let packing = if vector { Packing::Dense(Float::F32) } else { packing(decl) };
        encode(packing, rows, cols, &values).unwrap()
    });
    Weights(weights.collect())
}

fn graph(s: &Shape) -> Graph {
    let mut b = Builder::new();
    let norm = |weight: WeightId, heads: usize| RmsNorm { weight, eps: 1e-5, offset: 0.0, heads };
    let table = b.matrix("embed", s.vocab, s.hidden).unwrap();
    let mut x = b.embed(table, 1.0);
    let frequencies = (0..s.head_dim / 2).map(|i| 0.5f32.powi(i as i32)).collect();
    let rope = b.rope_table(RopeSpec { frequencies, scale: 1.0 });
    for layer in 0..s.layers {
        b.at(format!("layers.{layer}"));
        let name = |part: &str| format!("layers.{layer}.{part}");
        let state =
            b.kv(s.kv_heads, s.head_dim, if layer % 2 == 0 { s.window } else { None }).unwrap();
        let w = b.vector(name("norm1"), s.hidden).unwrap();
        let h = b.rms_norm(x, norm(w, 1)).unwrap();
        let project = |b: &mut Builder, part: &str, heads: usize| {
            let w = b.matrix(name(part), heads * s.head_dim, s.hidden).unwrap();
            let bias = s
                .bias
                .then(|| b.vector(name(&format!("{part}.bias")), heads * s.head_dim).unwrap());
            b.linear(h, w, bias).unwrap()
        };
        let (mut q, mut k) = (project(&mut b, "q", s.heads), project(&mut b, "k", s.kv_heads));
        let v = project(&mut b, "v", s.kv_heads);
        if s.head_norm {
            let w = b.vector(name("qnorm"), s.head_dim).unwrap();
            q = b.rms_norm(q, norm(w, s.heads)).unwrap();
            k = b.rms_norm(k, norm(w, s.kv_heads)).unwrap();
        }
        let q = b.rope(q, rope, s.heads).unwrap();
        let k = b.rope(k, rope, s.kv_heads).unwrap();
        let scale = (s.head_dim as f32).powf(-0.5) * 2.0;
        let sinks = s.sinks.then(|| b.vector(name("sinks"), s.heads).unwrap());
        let op = Attend { state, heads: s.heads, scale, softcap: s.softcap, sinks };
        let a = b.attend(q, k, v, op).unwrap();
        let w = b.matrix(name("o"), s.hidden, s.heads * s.head_dim).unwrap();
        let a = b.linear(a, w, None).unwrap();
        x = b.add(x, a).unwrap();
        let w = b.vector(name("norm2"), s.hidden).unwrap();
        let h = b.rms_norm(x, norm(w, 1)).unwrap();
        let w = b.matrix(name("gate"), s.ffn, s.hidden).unwrap();
        let gate = b.linear(h, w, None).unwrap();
        let w = b.matrix(name("up"), s.ffn, s.hidden).unwrap();
        let up = b.linear(h, w, None).unwrap();
        let f = if layer % 2 == 0 { Activation::Silu } else { Activation::GeluTanh };
        let h = b.glu(f, gate, up).unwrap();
        let w = b.matrix(name("down"), s.hidden, s.ffn).unwrap();
        let h = b.linear(h, w, None).unwrap();
        x = b.add(x, h).unwrap();
    }
    b.at("head");
    let x = b.select(x).unwrap();
    let w = b.vector("norm", s.hidden).unwrap();
    let x = b.rms_norm(x, norm(w, 1)).unwrap();
    let w = b.matrix("head", s.vocab, s.hidden).unwrap();
    let logits = b.linear(x, w, None).unwrap();
    b.sample(logits).unwrap()
}

pub fn limits(kv: KvType) -> Limits {
    Limits { tokens: 700, outputs: 700, runs: 8, context: 1024, kv }
}

/// The CPU backend with these options.
pub fn cpu(level: Level, threads: usize, precise: bool) -> Cpu {
    Cpu::new(&CpuOptions { threads: Some(threads), precise, isa: Some(level) }).unwrap()
}

pub fn compile(
    backend: &dyn Backend,
    (graph, weights): &(Graph, Weights),
    kv: KvType,
) -> Box<dyn Executable> {
    backend.compile(graph, weights.clone(), &limits(kv), &mut tessera_graph::unwatched).unwrap()
}

/// All logits of `sequences`, cut as told.
pub fn logits(
    backend: &dyn Backend,
    model: &(Graph, Weights),
    sequences: &[&[u32]],
    cuts: &[usize],
) -> Vec<Vec<f32>> {
    run_logits(&mut *compile(backend, model, KvType::F32), &model.0, sequences, cuts)
}

pub fn oracle(model: &(Graph, Weights), tokens: &[u32]) -> Vec<f32> {
    logits(&Oracle, model, &[tokens], &[]).remove(0)
}

/// Largest difference, as a fraction of the largest expected value.
pub fn relative(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len());
    let size = want.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    let worst = got
        .iter()
        .zip(want)
        .fold(0.0f32, |m, (a, b)| if (a - b).abs() >= m { (a - b).abs() } else { m });
    assert!(got.iter().all(|x| x.is_finite()));
    worst / size
}

pub fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// Every packing, with groups that make tiles of full, partial and several chunks.
pub fn packings() -> Vec<Packing> {
    use tessera_formats::GgmlType::*;
    let mut all: Vec<Packing> = [Float::F32, Float::F16, Float::BF16].map(Packing::Dense).to_vec();
    for (i, bits) in [2, 3, 4, 5, 6, 8].into_iter().enumerate() {
        for group in [32, 64, 128] {
            let scale = [Float::F16, Float::BF16, Float::F32][(i + group as usize / 32) % 3];
            all.push(Packing::Affine { bits, group, scale });
        }
    }
    all.extend([Packing::Mxfp4, Packing::Nvfp4, Packing::Mxfp8]);
    let blocks =
        [Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS, MXFP4];
    all.extend(blocks.map(Packing::Ggml));
    all
}
