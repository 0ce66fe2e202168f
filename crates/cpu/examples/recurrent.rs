//! Speed of recurrent layers: `cargo run --release -p tessera-cpu --example recurrent -- [threads] [isa]`.
//!
//! The time of one layer is the difference between models of many and few layers, so that nothing else is in
//! it. Times are processor time of the calling thread, which is one of the step's threads, and the least of several
//! runs, since others' work can only add to them.

use tessera_cpu::{Cpu, CpuOptions, Level};
use tessera_graph::{
    Activation, Backend, Batch, Builder, Conv, Decay, Delta, Executable, GatedUnit, Graph,
    HeadOrder, KvType, Limits, NO_SLOT, RmsNorm, Save, Scan, ValueId, WeightId, Weights,
    random::uniform, testing::Storage, unwatched,
};
use tessera_quant::{Float, Packing, encode::encode};

const PROMPT: usize = 512;
const VOCAB: usize = 64;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Layer {
    Conv {
        channels: usize,
    },
    Scan {
        heads: usize,
        head_dim: usize,
        state: usize,
    },
    Delta {
        heads: usize,
        key_dim: usize,
        value_dim: usize,
    },
    /// All of a Mamba-2 layer.
    Mamba {
        hidden: usize,
        heads: usize,
        head_dim: usize,
        state: usize,
    },
}

struct Maker {
    b: Builder,
    count: usize,
}

impl Maker {
    fn vector(&mut self, kind: &str, len: usize) -> WeightId {
        self.count += 1;
        self.b.vector(format!("{kind}.{}", self.count), len).expect("vector")
    }

    fn linear(&mut self, x: ValueId, out: usize) -> ValueId {
        self.count += 1;
        let cols = self.b.dims(x).1;
        let w = self.b.matrix(format!("matrix.{}", self.count), out, cols).expect("matrix");
        self.b.linear(x, w, None).expect("product")
    }

    fn conv(&mut self, x: ValueId, channels: usize) -> ValueId {
        let state = self.b.conv_state(channels, 4).expect("state");
        self.count += 1;
        let weight = self.b.matrix(format!("conv.{}", self.count), channels, 4).expect("weight");
        let (bias, activation) = (Some(self.vector("bias", channels)), Some(Activation::Silu));
        self.b.conv(x, Conv { state, weight, bias, activation }).expect("convolution")
    }

    fn scan(
        &mut self,
        [x, dt, b, c]: [ValueId; 4],
        (heads, dim, n): (usize, usize, usize),
    ) -> ValueId {
        let state = self.b.scan_state(heads, dim, n).expect("state");
        let (decay, dt_bias) = (Decay::Log(self.vector("log", heads)), self.vector("step", heads));
        let skip = Some(self.vector("skip", heads));
        let dt_limit = (0.0, f32::INFINITY);
        let op = Scan { state, groups: 1, decay, dt_bias, skip, dt_limit };
        self.b.scan(x, dt, b, c, op).expect("scan")
    }

    fn norm(&mut self, x: ValueId) -> ValueId {
        let weight = self.vector("norm", self.b.dims(x).1);
        self.b.rms_norm(x, RmsNorm { weight, eps: 1e-5, offset: 0.0, heads: 1 }).expect("norm")
    }

    fn layers(&mut self, layer: Layer, layers: usize, mut x: ValueId) -> ValueId {
        match layer {
            Layer::Conv { channels } => {
                for _ in 0..layers {
                    x = self.conv(x, channels);
                }
            }
            Layer::Scan { heads, head_dim, state } => {
                let [dt, b, c] = [heads, state, state].map(|width| self.linear(x, width));
                for _ in 0..layers {
                    x = self.scan([x, dt, b, c], (heads, head_dim, state));
                }
            }
            Layer::Delta { heads, key_dim, value_dim } => {
                let keys = heads * key_dim;
                let [q, k, a, b] = [keys, keys, heads, heads].map(|width| self.linear(x, width));
                for _ in 0..layers {
                    let state = self.b.delta_state(heads, key_dim, value_dim).expect("state");
                    let decay = Decay::Log(self.vector("log", heads));
                    let dt_bias = self.vector("step", heads);
                    let op = Delta {
                        state,
                        key_heads: heads,
                        order: HeadOrder::Grouped,
                        decay,
                        dt_bias,
                        eps: 1e-6,
                    };
                    x = self.b.delta([q, k, x, a, b], op).expect("delta");
                }
            }
            Layer::Mamba { hidden, heads, head_dim, state } => {
                for _ in 0..layers {
                    let h = self.norm(x);
                    let inner = heads * head_dim;
                    let [z, y, b, c, dt] =
                        [inner, inner, state, state, heads].map(|width| self.linear(h, width));
                    let y = self.conv(y, inner);
                    let [b, c] = [b, c].map(|x| self.conv(x, state));
                    let y = self.scan([y, dt, b, c], (heads, head_dim, state));
                    let y = self.b.glu(GatedUnit::Of(Activation::Silu), z, y).expect("gate");
                    let y = self.norm(y);
                    let y = self.linear(y, hidden);
                    x = self.b.add(x, y).expect("sum");
                }
            }
        }
        x
    }
}

fn width(layer: Layer) -> usize {
    match layer {
        Layer::Conv { channels } => channels,
        Layer::Scan { heads, head_dim, .. } => heads * head_dim,
        Layer::Delta { heads, value_dim, .. } => heads * value_dim,
        Layer::Mamba { hidden, .. } => hidden,
    }
}

fn model(layer: Layer, layers: usize, vocab: usize, packing: Packing) -> (Graph, Weights) {
    let mut m = Maker { b: Builder::new(), count: 0 };
    let table = m.b.matrix("embed", vocab, width(layer)).expect("table");
    let x = m.b.embed(table, 1.0);
    let x = m.layers(layer, layers, x);
    let x = m.b.select(x).expect("rows");
    let logits = m.b.linear(x, table, None).expect("logits");
    let graph = m.b.sample(logits).expect("graph");
    let mut encoded: Vec<([usize; 2], bool, tessera_quant::Weight)> = Vec::new();
    let weights = graph.weights.iter().enumerate().map(|(seed, decl)| {
        let [rows, cols] = decl.shape;
        let dense = rows == 1 || cols < 64;
        if let Some((.., weight)) = encoded.iter().find(|e| (e.0, e.1) == (decl.shape, dense)) {
            return weight.clone();
        }
        let size = 1.7 / (cols as f32).sqrt();
        let values: Vec<f32> =
            (0..rows * cols).map(|i| (uniform(seed as u64, i as u32) * 2.0 - 1.0) * size).collect();
        let packing = if dense { Packing::Dense(Float::F32) } else { packing };
        let weight = encode(packing, rows, cols, &values).expect("packing");
        encoded.push((decl.shape, dense, weight.clone()));
        weight
    });
    let weights = Weights(weights.collect());
    (graph, weights)
}

/// Processor time of this thread; where it is not to be had, any time.
#[cfg(not(unix))]
fn processor_seconds() -> f64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed().as_secs_f64()
}

/// Processor time of this thread.
#[cfg(unix)]
fn processor_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills the structure.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Least seconds of a prompt and of a token after it.
fn seconds(cpu: &Cpu, (graph, weights): &(Graph, Weights), tries: usize) -> (f64, f64) {
    let limits = Limits { tokens: PROMPT, outputs: 1, runs: 1, context: 1 << 20, kv: KvType::F16 };
    let mut exe = cpu.compile(graph, weights.clone(), &limits, &mut unwatched).expect("compiled");
    let storage = Storage::of(graph);
    storage.grow(&mut *exe, 1, 1);
    let step = |exe: &mut Box<dyn Executable>, len: usize, position: usize| {
        let tokens: Vec<u32> = (0..len).map(|i| (i * 7 % 50) as u32).collect();
        let mut batch = Batch::default();
        let slot = if position == 0 { NO_SLOT } else { 0 };
        let saves = [Save { after: len as u32, slot: 0 }];
        storage.push(&mut batch, &tokens, position, (slot, &saves), |_| 0);
        batch.outputs.drain(..len - 1);
        let start = processor_seconds();
        exe.step(&batch, &mut Vec::new()).expect("step");
        processor_seconds() - start
    };
    let least = |times: Vec<f64>| times.into_iter().fold(f64::INFINITY, f64::min);
    let prompt = least((0..tries).map(|_| step(&mut exe, PROMPT, 0)).collect());
    let token = least((0..20 * tries).map(|i| step(&mut exe, 1, PROMPT + i)).collect());
    (prompt, token)
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let threads = arguments.next().map_or(1, |n| n.parse().expect("a number of threads"));
    let isa = arguments.next().map(|name| name.parse::<Level>().expect("an instruction set"));
    let options = CpuOptions { threads: Some(threads), isa, precise: false };
    let cpu = Cpu::new(&options).expect("backend");
    let [state, weights] = [20, 300].map(|mb: usize| cpu.measure(mb << 20).expect("limits"));
    println!(
        "{} on {threads} threads: reads {:.1} GB/s of 20 MB, {:.1} of 300 MB; int8 {:.0} GOP/s",
        cpu.level(),
        state.read / 1e9,
        weights.read / 1e9,
        weights.int8 / 1e9
    );
    let dense = Packing::Dense(Float::F32);
    let one = [
        Layer::Conv { channels: 1536 },
        Layer::Scan { heads: 24, head_dim: 64, state: 128 },
        Layer::Delta { heads: 16, key_dim: 128, value_dim: 128 },
    ];
    for layer in one {
        let (few, many) = (
            seconds(&cpu, &model(layer, 1, VOCAB, dense), 5),
            seconds(&cpu, &model(layer, 24, VOCAB, dense), 5),
        );
        let prompt = (many.0 - few.0) / 23.0 / PROMPT as f64;
        let token = (many.1 - few.1) / 23.0;
        // products of chunks, without what heads share; bytes read and written
        let (macs, bytes) = match layer {
            Layer::Conv { channels } => (4 * channels, 2 * 4 * 4 * channels),
            Layer::Scan { heads, head_dim, state } => {
                (heads * head_dim * (2 * state + 34), 8 * heads * head_dim * state)
            }
            Layer::Delta { heads, key_dim, value_dim } => {
                let own = value_dim * (3 * key_dim + 64) + 2 * key_dim * 34;
                (heads * own, 8 * heads * key_dim * value_dim)
            }
            _ => (0, 0),
        };
        println!(
            "{layer:?}: prompt {:.0} ns a token, {:.1} GFLOP/s; decode {:.0} ns, {:.1} GB/s",
            prompt * 1e9,
            2.0 * macs as f64 / prompt / 1e9,
            token * 1e9,
            bytes as f64 / token / 1e9
        );
    }
    let mamba = Layer::Mamba { hidden: 768, heads: 24, head_dim: 64, state: 128 };
    let four = Packing::Affine { bits: 4, group: 64, scale: Float::F16 };
    for packing in [four, Packing::Dense(Float::BF16)] {
        let (prompt, token) = seconds(&cpu, &model(mamba, 24, 50288, packing), 3);
        println!(
            "Mamba-2 130M {packing:?}: prompt {:.0} tokens/s, decode {:.1} tokens/s",
            PROMPT as f64 / prompt,
            1.0 / token
        );
    }
}
