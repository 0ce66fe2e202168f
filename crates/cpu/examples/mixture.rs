//! How fast mixtures of experts are: a prompt's rate beside that of a dense network of as many operations, and
//! the bytes of experts that decode reads beside what the machine can read.
//!
//! One thread is timed by its processor time, so that others' work on the machine hardly shows; several by the
//! clock.
//!
//! ```sh
//! cargo run --release -p tessera-cpu --example mixture -- [threads,...] [part of a shape's name]
//! ```

use tessera_cpu::{Cpu, CpuOptions};
use tessera_graph::{
    Activation, Backend, Batch, Builder, Executable, Expert, ExpertUnit, Experts, Graph, KvType,
    Limits, Part, RmsNorm, Router, Scoring, ValueId, Weights, random::uniform, testing::push,
};
use tessera_quant::{Float, Packing, Weight, encode::encode};

/// Prompts that are timed; of all times the median is told, and the range.
const REPEATS: usize = 5;
/// Steps of decode that are timed.
const STEPS: usize = 200;
/// Tokens of a prompt.
const PROMPT: usize = 512;
const VOCAB: usize = 512;

#[derive(Clone, Copy)]
struct Shape {
    name: &'static str,
    hidden: usize,
    /// Width of an expert.
    width: usize,
    experts: usize,
    k: usize,
}

const SHAPES: [Shape; 3] = [
    Shape { name: "large", hidden: 2048, width: 768, experts: 64, k: 8 },
    Shape { name: "small", hidden: 1024, width: 512, experts: 32, k: 4 },
    Shape { name: "many", hidden: 1024, width: 256, experts: 128, k: 8 },
];

const Q4: Packing = Packing::Affine { bits: 4, group: 64, scale: Float::F16 };
const Q8: Packing = Packing::Affine { bits: 8, group: 64, scale: Float::F16 };
const PACKINGS: [(&str, Packing); 3] = [("4 bits", Q4), ("8 bits", Q8), ("mxfp4", Packing::Mxfp4)];

fn main() {
    let mut args = std::env::args().skip(1);
    let threads: Vec<usize> = match args.next() {
        Some(list) => list.split(',').map(|n| n.parse().expect("numbers of threads")).collect(),
        None => vec![1, 2],
    };
    let only = args.next().unwrap_or_default();
    for threads in threads {
        let cpu = Cpu::new(&CpuOptions { threads: Some(threads), ..CpuOptions::default() })
            .unwrap_or_else(|error| panic!("{error}"));
        for shape in SHAPES {
            for (name, packing) in PACKINGS {
                if format!("{} {name}", shape.name).contains(&only) {
                    println!("{} {name}, {threads} threads, {}", shape.name, cpu.level());
                    measure(&cpu, &shape, packing);
                }
            }
        }
    }
}

/// Multiplications and additions that a row's experts take.
fn operations(shape: &Shape) -> f64 {
    2.0 * 3.0 * (shape.hidden * shape.width * shape.k) as f64
}

fn measure(cpu: &Cpu, shape: &Shape, packing: Packing) {
    let (mixture, dense) = (graph(shape, true), graph(shape, false));
    let expert_bytes: usize = {
        let weights = weights(&mixture, packing);
        let of_experts = mixture.weights.iter().zip(&weights.0);
        of_experts.filter(|(decl, _)| decl.name.contains('.')).map(|(_, w)| w.bytes()).sum()
    };
    let mut mixture = Model::new(cpu, mixture, packing);
    let mut dense = Model::new(cpu, dense, packing);
    let prompt: Vec<u32> = (0..PROMPT as u32).map(|i| i * 7 % VOCAB as u32).collect();
    let (mut rates, mut dense_rates) = (Vec::new(), Vec::new());
    for repeat in 0..=REPEATS {
        let work = operations(shape) * PROMPT as f64 / 1e9;
        let (d, m) = (work / dense.step(&prompt), work / mixture.step(&prompt));
        if repeat > 0 {
            dense_rates.push(d);
            rates.push(m);
        }
    }
    let best = |rates: &[f64]| rates.iter().copied().fold(0.0, f64::max);
    let of_best = best(&rates) / best(&dense_rates);
    let (m, d) = (Spread::of(rates), Spread::of(dense_rates));
    let ratio = m.median / d.median;
    println!("  prompt  {m} of {d} GOP/s dense: {ratio:.2}; of the best {of_best:.2}");

    let bytes = (expert_bytes / shape.experts * shape.k) as f64;
    for rows in [1, 4, 16] {
        let mut token = 0;
        // single steps: a step is short enough to fit between the turns of others on a busy machine
        let times = (0..STEPS).map(|_| {
            let tokens: Vec<u32> = (0..rows).map(|i| (token + i * 37) % VOCAB as u32).collect();
            token += 11;
            mixture.step(&tokens) * 1e6
        });
        let times = Spread::of(times.collect());
        print!("  {rows:2} rows {times} us a step");
        if rows == 1 {
            let limits = (0..3).filter_map(|_| cpu.measure(expert_bytes).ok());
            let mut limit = limits.map(|limits| limits.read / 1e9).fold(0.0, f64::max);
            if cpu.threads() == 1 {
                limit = limit.max(read_alone(expert_bytes) / 1e9);
            }
            let rate = |us: f64| bytes / us / 1e3;
            let (median, best) = (rate(times.median), rate(times.least));
            print!(", {median:.1} GB/s (best {best:.1}) of {limit:.1}");
            print!(": {:.2} (best {:.2})", median / limit, best / limit);
        }
        println!();
    }
}

/// A median, and the least and greatest.
struct Spread {
    median: f64,
    least: f64,
    greatest: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let [least, .., greatest] = values[..] else { panic!("too few repeats") };
        Self { median: values[values.len() / 2], least, greatest }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0} ({:.0}-{:.0})", self.median, self.least, self.greatest)
    }
}

struct Model {
    exe: Box<dyn Executable>,
    batch: Batch,
    threads: usize,
}

impl Model {
    fn new(cpu: &Cpu, graph: Graph, packing: Packing) -> Self {
        let limits =
            Limits { tokens: PROMPT, outputs: PROMPT, runs: 1, context: PROMPT, kv: KvType::F16 };
        let weights = weights(&graph, packing);
        let exe = cpu.compile(&graph, weights, &limits, &mut tessera_graph::unwatched);
        Self {
            exe: exe.unwrap_or_else(|error| panic!("{error}")),
            batch: Batch::default(),
            threads: cpu.threads(),
        }
    }

    /// Seconds of a step of these tokens.
    fn step(&mut self, tokens: &[u32]) -> f64 {
        self.batch.clear();
        push(&mut self.batch, tokens, 0, &[], |_| 0);
        let mut sampled = Vec::new();
        let start = seconds(self.threads);
        self.exe.step(&self.batch, &mut sampled).unwrap_or_else(|error| panic!("{error}"));
        seconds(self.threads) - start
    }
}

/// Processor time of this thread if it is alone, else the time of day.
fn seconds(threads: usize) -> f64 {
    let clock = if threads == 1 { libc::CLOCK_THREAD_CPUTIME_ID } else { libc::CLOCK_MONOTONIC };
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is ours, and both clocks are there on every system this runs on.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Bytes a second of a plain loop over `bytes` bytes, on one thread; the best of a few.
fn read_alone(bytes: usize) -> f64 {
    let words = vec![1u64; bytes / 8];
    let best = (0..8).map(|_| {
        let start = seconds(1);
        std::hint::black_box(words.iter().fold(0u64, |sum, &word| sum ^ word));
        (words.len() * 8) as f64 / (seconds(1) - start)
    });
    best.fold(0.0, f64::max)
}

/// Random weights. Experts have all the same: they are laid out one by one, so the machine cannot tell.
fn weights(graph: &Graph, packing: Packing) -> Weights {
    let mut known: Vec<Weight> = Vec::new();
    let weights = graph.weights.iter().map(|decl| {
        let [rows, cols] = decl.shape;
        let large = decl.name.contains('.');
        let same = |w: &&Weight| large && (w.rows, w.cols, w.packing) == (rows, cols, packing);
        if let Some(weight) = known.iter().find(same) {
            return weight.clone();
        }
        let packing = if large { packing } else { Packing::Dense(Float::F32) };
        let scale = 2.0 / (cols as f32).sqrt();
        let values: Vec<f32> =
            (0..rows * cols).map(|i| (uniform(rows as u64, i as u32) - 0.5) * scale).collect();
        let weight = encode(packing, rows, cols, &values).unwrap_or_else(|e| panic!("{e}"));
        known.push(weight.clone());
        weight
    });
    Weights(weights.collect())
}

/// An embedding, a mixture or a dense network as wide as a row's experts together, and a small head.
fn graph(shape: &Shape, mixture: bool) -> Graph {
    let build = || -> Result<Graph, tessera_graph::GraphError> {
        let mut b = Builder::new();
        let table = b.matrix("embed", VOCAB, shape.hidden)?;
        let x = b.embed(table, 1.0);
        let weight = b.vector("norm", shape.hidden)?;
        let h = b.rms_norm(x, RmsNorm { weight, eps: 1e-5, offset: 1.0, heads: 1 })?;
        let y = if mixture { experts(&mut b, shape, h)? } else { dense(&mut b, shape, h)? };
        let y = b.add(x, y)?;
        let y = b.select(y)?;
        let head = b.matrix("head", 16, shape.hidden)?;
        let logits = b.linear(y, head, None)?;
        b.sample(logits)
    };
    build().unwrap_or_else(|error| panic!("{error}"))
}

fn experts(
    b: &mut Builder,
    shape: &Shape,
    x: ValueId,
) -> Result<ValueId, tessera_graph::GraphError> {
    let router = b.matrix("router", shape.experts, shape.hidden)?;
    let logits = b.linear(x, router, None)?;
    let routes = b.route(
        logits,
        Router {
            k: shape.k,
            scoring: Scoring::Softmax,
            bias: None,
            groups: None,
            normalise: true,
            scale: 1.0,
        },
    )?;
    let mut all = Vec::new();
    for e in 0..shape.experts {
        let mut part = |name: &str, rows: usize, cols: usize| {
            let weight = b.matrix(format!("experts.{e}.{name}"), rows, cols)?;
            Ok::<_, tessera_graph::GraphError>(Part { weight, bias: None })
        };
        all.push(Expert {
            gate: Some(part("gate", shape.width, shape.hidden)?),
            up: part("up", shape.width, shape.hidden)?,
            down: part("down", shape.hidden, shape.width)?,
        });
    }
    let unit = ExpertUnit::Gated(Activation::Silu.into());
    b.experts(x, routes, Experts { unit, experts: all, k: shape.k })
}

fn dense(b: &mut Builder, shape: &Shape, x: ValueId) -> Result<ValueId, tessera_graph::GraphError> {
    let width = shape.width * shape.k;
    let gate = b.matrix("dense.gate", width, shape.hidden)?;
    let up = b.matrix("dense.up", width, shape.hidden)?;
    let down = b.matrix("dense.down", shape.hidden, width)?;
    let (gate, up) = (b.linear(x, gate, None)?, b.linear(x, up, None)?);
    let h = b.glu(Activation::Silu, gate, up)?;
    b.linear(h, down, None)
}
