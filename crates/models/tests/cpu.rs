//! Every family and packing on the CPU backend: near the reference, and the same bits in any company.

mod common;

use common::{Case, Golden, Runner, cases, relative_error, row_error};
use tessera_cpu::{Cpu, CpuOptions, Level};
use tessera_graph::{CHUNK, KvType, Node, Op};
use tessera_models::Bound;
use tessera_quant::{Packing, Weight};

/// Largest difference to the reference allowed with f32 activations, as a part of the largest logit.
const PRECISE: f32 = 2e-5;
/// The same where layers are recurrent: the error of a token stays with those after it.
const RECURRENT: f32 = 1e-3;
/// The same with int8 activations, which only packed weights meet. The fixtures' rows are of random
/// numbers and 64 to 256 long, so errors average out less than in a real model.
const FAST: f32 = 0.05;
/// The part of the rows that this is asked of where errors grow: a row near a tie between experts goes to the other,
/// and a delta rule of random numbers takes the rows after one along. (Median errors are 0.014 to 0.021 there, those
/// of other models 0.004 to 0.015.)
const TYPICAL: f64 = 0.5;

fn cpu(isa: Level, threads: usize, precise: bool) -> Cpu {
    Cpu::new(&CpuOptions { threads: Some(threads), precise, isa: Some(isa) }).unwrap()
}

/// Checks every fixture, in every format it is there in, on one instruction set.
fn check(level: Level, precise: bool, limit: impl Fn(&Bound) -> (f32, f64)) {
    let backend = cpu(level, 1, precise);
    let runner = Runner { backend: &backend, kv: KvType::F32 };
    for case in cases() {
        let golden = Golden::of(&case);
        for stored in Case::stored(&case) {
            let model = stored.open(None).unwrap();
            let (limit, part) = limit(&model);
            let found = runner.golden(&stored, &golden);
            let error = row_error(&found, &golden.logits, model.graph.vocab(), part);
            println!("{} on {level}: {error:.1e}", stored.name);
            assert!(error <= limit, "{} on {level}: {error}", stored.name);
        }
    }
}

/// What f32 activations allow.
fn precise(model: &Bound) -> f32 {
    if model.graph.is_recurrent() { RECURRENT } else { PRECISE }
}

#[test]
fn precise_gives_the_reference_logits_on_every_level() {
    for level in Level::available() {
        check(level, true, |model| (precise(model), 1.0));
    }
}

#[test]
fn int8_activations_stay_near_the_reference() {
    let packed = |weight: &Weight| !matches!(weight.packing, Packing::Dense(_));
    check(Level::best(), false, |model| {
        let grows = |node: &Node| matches!(node.op, Op::Route(_) | Op::Delta(_));
        let grows = model.graph.nodes.iter().any(grows);
        match model.weights.0.iter().any(packed) {
            true if grows => (FAST, TYPICAL),
            true => (FAST, 1.0),
            false => (precise(model), 1.0),
        }
    });
}

/// One case for each family, with windows where it has them, and the packings, which alone have an
/// int8 path.
const COMPANY: [&str; 13] = [
    "llama/default",
    "mistral/window",
    "qwen2/window",
    "qwen3/default",
    "gemma2/default",
    "gemma3/default",
    "phi3/window",
    "packings/mlx_derived",
    "packings/mlx_fp",
    "packings/mlx_g64",
    "packings/gguf_a",
    "packings/gguf_b",
    "packings/gguf_mxfp4",
];

#[test]
fn results_do_not_depend_on_company() {
    let bits = |logits: &[Vec<f32>]| -> Vec<Vec<u32>> {
        logits.iter().map(|row| row.iter().map(|x| x.to_bits()).collect()).collect()
    };
    for case in COMPANY {
        let stored = Case::stored(case).remove(0);
        let (model, golden) = (stored.open(None).unwrap(), Golden::of(case));
        let [short, long] = &golden.tokens[..] else { panic!("{case}: not two sequences") };
        for precise in [true, false] {
            let run = |threads: usize, sequences: &[&Vec<u32>], cuts: &[usize]| {
                let backend = cpu(Level::best(), threads, precise);
                let sequences: Vec<Vec<u32>> = sequences.iter().map(|&s| s.clone()).collect();
                let runner = Runner { backend: &backend, kv: KvType::F16 };
                bits(&runner.logits(&model.graph, &model.weights, &sequences, cuts))
            };
            let alone = [run(1, &[short], &[]).remove(0), run(1, &[long], &[]).remove(0)];
            // Chunks on several threads are tested with the backend: threads without a core of their
            // own make every step slow.
            let ways = [
                ("three threads", run(3, &[long], &[]), &alone[1..]),
                ("token by token", run(1, &[long], &[1]), &alone[1..]),
                ("in chunks", run(1, &[long], &[5, 1, 16, 3]), &alone[1..]),
                ("in a batch", run(1, &[short, long], &[]), &alone[..]),
                ("in a batch, in chunks", run(1, &[short, long], &[3, 7, 2, 9]), &alone[..]),
            ];
            for (way, found, expected) in ways {
                assert!(found == expected, "{case}, precise: {precise}: {way} differs");
            }
        }
    }
}

/// One case of each family with recurrent layers.
const RECURRENT_COMPANY: [&str; 7] = [
    "mamba2/default",
    "falcon_h1/default",
    "lfm2/default",
    "nemotron_h/default",
    "granitemoehybrid/default",
    "qwen3_next/default",
    "qwen3_5/default",
];

/// Alone, in a batch, on other threads, and cut where chunks end, the same bits.
#[test]
fn recurrent_results_do_not_depend_on_company() {
    for case in RECURRENT_COMPANY {
        let (model, golden) = (Case::new(case).open(None).unwrap(), Golden::of(case));
        let [short, long] = &golden.tokens[..] else { panic!("{case}: not two sequences") };
        let run = |threads: usize, sequences: &[&Vec<u32>], cuts: &[usize]| {
            let backend = cpu(Level::best(), threads, true);
            let sequences: Vec<Vec<u32>> = sequences.iter().map(|&s| s.clone()).collect();
            let runner = Runner { backend: &backend, kv: KvType::F16 };
            runner.logits(&model.graph, &model.weights, &sequences, cuts)
        };
        let alone = [run(1, &[short], &[]).remove(0), run(1, &[long], &[]).remove(0)];
        for (way, found, expected) in [
            ("three threads", run(3, &[long], &[]), &alone[1..]),
            ("cut at chunks", run(1, &[long], &[CHUNK, 2 * CHUNK]), &alone[1..]),
            ("in a batch", run(1, &[short, long], &[]), &alone[..]),
        ] {
            assert!(found == expected, "{case}: {way} differs");
        }
        let tokens = run(1, &[long], &[1]);
        let error = relative_error(&tokens, &alone[1..]);
        assert!(error <= RECURRENT, "{case}, token by token: {error}");
    }
}

/// What the backend says it will hold is what it holds, for every family and packing.
#[test]
fn the_footprint_is_what_is_held() {
    use tessera_graph::{Backend, Footprint, Limits, MemoryReport, fuse, oracle::Oracle, plan};
    let fast = cpu(Level::best(), 2, false);
    let backends: [&dyn Backend; 3] = [&fast, &cpu(Level::best(), 1, true), &Oracle];
    for stored in cases().iter().flat_map(|case| Case::stored(case)) {
        let (case, bound) = (&stored.name, stored.open(None).unwrap());
        for (backend, context, kv) in
            backends.iter().flat_map(|b| [(b, 100, KvType::F32), (b, 5000, KvType::F16)])
        {
            let limits = Limits { tokens: 37, outputs: 3, runs: 2, context, kv };
            let told = backend.footprint(&bound.graph, &bound.weights, &limits).unwrap();
            let exec = backend
                .compile(
                    &bound.graph,
                    bound.weights.clone(),
                    &limits,
                    &mut tessera_graph::unwatched,
                )
                .unwrap();
            let held = exec.memory();
            let blocks = (0..told.blocks.len()).map(|group| exec.block_bytes(group)).collect();
            let MemoryReport { weights, mapped, arena, .. } = held;
            let held = Footprint { weights, mapped, arena, blocks };
            assert_eq!(told, held, "{case} on {} for {context}", backend.name());
            assert_eq!(told.blocks.len(), bound.graph.groups().len());
        }
        // The processor computes in more than the plan's intermediates: what `show` used to leave out.
        let limits = Limits { tokens: 37, outputs: 3, runs: 2, context: 5000, kv: KvType::F16 };
        let told = fast.footprint(&bound.graph, &bound.weights, &limits).unwrap();
        assert!(told.arena > plan(&fuse(&bound.graph), &limits).bytes, "{case}");
    }
}
