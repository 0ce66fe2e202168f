//! Recurrent and hybrid models: near the oracle on every instruction set, and the same bits however they are
//! run, but for cuts within a chunk.

mod common;

use common::{
    Noise, compile, cpu,
    hybrid::{Hybrid, Layer, Part, Steps, VOCAB, hybrid},
    logits, oracle, relative,
};
use proptest::{prelude::*, test_runner::RngSeed};
use tessera_cpu::Level;
use tessera_graph::{CHUNK, Graph, HeadOrder, KvType, NO_SLOT, Weights};

/// Largest difference to the oracle, as a part of the largest logit.
const NEAR: f32 = 2e-5;

fn scan(heads: usize, groups: usize, head_dim: usize, state: usize) -> Layer {
    Layer::Scan { heads, groups, head_dim, state, log: heads.is_multiple_of(2) }
}

fn delta(heads: usize, key_heads: usize, key_dim: usize, value_dim: usize) -> Layer {
    let (order, log) = (HeadOrder::Grouped, !heads.is_multiple_of(2));
    Layer::Delta { heads, key_heads, order, key_dim, value_dim, log }
}

fn tiled(heads: usize, key_heads: usize, key_dim: usize, value_dim: usize) -> Layer {
    Layer::Delta { heads, key_heads, order: HeadOrder::Tiled, key_dim, value_dim, log: true }
}

/// Both recurrences and attention, in shapes that fill no vector.
fn mixed() -> (Graph, Weights) {
    let layers = vec![
        scan(6, 2, 24, 17),
        Layer::Attention(Some(70)),
        delta(4, 2, 20, 40),
        scan(3, 1, 80, 5),
    ];
    hybrid(&Hybrid { hidden: 48, kernel: 4, layers }, 3)
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// Checks that two results are the same bits, and numbers.
#[track_caller]
fn same(got: &[f32], want: &[f32], what: &str) {
    assert!(got.iter().all(|x| x.is_finite()) && !got.is_empty(), "{what}");
    let first = got.iter().zip(want).position(|(a, b)| a.to_bits() != b.to_bits());
    assert!(bits(got) == bits(want), "{what}: row {:?}", first.map(|i| i / VOCAB));
}

#[test]
fn precise_matches_the_oracle_on_every_level() {
    let shapes = [
        vec![scan(24, 1, 64, 128)],
        vec![scan(5, 5, 16, 16), scan(8, 4, 64, 1)],
        vec![scan(3, 1, 7, 130), scan(2, 2, 130, 6)],
        vec![delta(4, 4, 128, 128)],
        vec![delta(6, 3, 33, 17), delta(3, 1, 7, 100)],
        vec![tiled(6, 2, 20, 24), tiled(6, 3, 16, 16)],
        vec![Layer::Attention(None), scan(4, 2, 32, 8), delta(2, 1, 16, 16), scan(4, 1, 8, 3)],
    ];
    for (i, layers) in shapes.into_iter().enumerate() {
        let shape = Hybrid { hidden: 40, kernel: 2 + i % 4, layers };
        let model = hybrid(&shape, i as u64 + 1);
        // two whole chunks and a rest
        let tokens = Noise(i as u64).tokens(150, VOCAB);
        let want = oracle(&model, &tokens);
        for level in Level::available() {
            for cuts in [&[][..], &[1], &[70, 3, 1]] {
                let backend = cpu(level, 1 + i % 3, true);
                let got = logits(&backend, &model, &[&tokens], cuts).remove(0);
                let error = relative(&got, &want);
                assert!(error < NEAR, "{shape:?} on {level}, cut at {cuts:?}: {error}");
            }
        }
    }
}

#[test]
fn strong_and_weak_decays_stay_near_the_oracle() {
    // steps as large and as small as softplus makes them: states that vanish at once, and that stay
    for (log, factor) in [(true, 12.0), (true, 0.05), (false, 40.0)] {
        let layers = vec![
            Layer::Scan { heads: 3, groups: 1, head_dim: 16, state: 16, log },
            Layer::Delta {
                heads: 2,
                key_heads: 2,
                order: HeadOrder::Grouped,
                key_dim: 16,
                value_dim: 16,
                log,
            },
        ];
        let (graph, mut weights) = hybrid(&Hybrid { hidden: 32, kernel: 4, layers }, 9);
        for (decl, weight) in graph.weights.iter().zip(&mut weights.0) {
            if ["log", "rate", "step"].iter().any(|kind| decl.name.starts_with(kind)) {
                let mut row = vec![0.0; weight.cols];
                weight.decode_row(0, &mut row);
                row.iter_mut().for_each(|x| *x *= factor);
                let dense = tessera_quant::Packing::Dense(tessera_quant::Float::F32);
                *weight = tessera_quant::encode::encode(dense, 1, row.len(), &row).unwrap();
            }
        }
        let model = (graph, weights);
        let tokens = Noise(5).tokens(200, VOCAB);
        let want = oracle(&model, &tokens);
        for level in Level::available() {
            let got = logits(&cpu(level, 2, true), &model, &[&tokens], &[]).remove(0);
            let error = relative(&got, &want);
            assert!(error < NEAR, "{factor} on {level}: {error}");
        }
    }
}

fn any_layer() -> impl Strategy<Value = Layer> {
    let scan = (1..5usize, 1..4usize, 1..70usize, 1..131usize, any::<bool>());
    // a key of one element is divided by its own size: near zero that tells nothing of it but rounding
    let delta = (1..4usize, 1..4usize, 4..70usize, 1..70usize, any::<(bool, bool)>());
    prop_oneof![
        scan.prop_map(|(groups, share, head_dim, state, log)| Layer::Scan {
            heads: groups * share,
            groups,
            head_dim,
            state,
            log
        }),
        delta.prop_map(|(key_heads, share, key_dim, value_dim, (tiled, log))| Layer::Delta {
            heads: key_heads * share,
            key_heads,
            order: if tiled { HeadOrder::Tiled } else { HeadOrder::Grouped },
            key_dim,
            value_dim,
            log
        }),
        prop_oneof![Just(None), Just(Some(9))].prop_map(Layer::Attention),
    ]
}

proptest! {
    // the same cases on every push: how near is near enough was found with many more
    #![proptest_config(ProptestConfig {
        cases: 48,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    /// Any shape, any lengths, any cuts, several sequences.
    #[test]
    fn any_model_is_near_the_oracle(
        layers in prop::collection::vec(any_layer(), 1..3),
        kernel in 2..6usize,
        lengths in prop::collection::vec(1..140usize, 1..4),
        cuts in prop::collection::vec(1..140usize, 0..4),
        threads in 1..4usize,
        level in any::<prop::sample::Index>(),
    ) {
        let levels = Level::available();
        let level = levels[level.index(levels.len())];
        let model = hybrid(&Hybrid { hidden: 32, kernel, layers }, 2);
        let mut noise = Noise(lengths[0] as u64);
        let sequences: Vec<Vec<u32>> = lengths.iter().map(|&n| noise.tokens(n, VOCAB)).collect();
        let all: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
        let got = logits(&cpu(level, threads, true), &model, &all, &cuts);
        for (tokens, got) in all.iter().zip(got) {
            let error = relative(&got, &oracle(&model, tokens));
            prop_assert!(error < NEAR, "{level}, {} tokens: {error}", tokens.len());
        }
    }
}

#[test]
fn results_do_not_depend_on_company() {
    let model = mixed();
    let mut noise = Noise(11);
    let sequences: Vec<Vec<u32>> = [300, 7, 130, 64].map(|n| noise.tokens(n, VOCAB)).to_vec();
    let all: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
    for level in Level::available() {
        let run = |threads: usize, sequences: &[&[u32]], cuts: &[usize]| {
            logits(&cpu(level, threads, true), &model, sequences, cuts)
        };
        let whole: Vec<Vec<f32>> = all.iter().map(|s| run(1, &[s], &[]).remove(0)).collect();
        let steps: Vec<Vec<f32>> = all.iter().map(|s| run(1, &[s], &[1]).remove(0)).collect();
        let check = |what: &str, got: Vec<Vec<f32>>, want: &[Vec<f32>]| {
            for (i, (got, want)) in got.iter().zip(want).enumerate() {
                same(got, want, &format!("{level}, sequence {i}, {what}"));
            }
        };
        for threads in 1..=3 {
            check("in a batch", run(threads, &all, &[]), &whole);
            check("in a batch, token by token", run(threads, &all, &[1]), &steps);
        }
        check("cut at chunks", run(2, &all, &[CHUNK, 2 * CHUNK, CHUNK]), &whole);
        // shorter runs hold no whole chunk
        check("a few at a time", run(2, &all, &[5, 60, 3, 40, 23, 7]), &steps);
        for (i, (whole, steps)) in whole.iter().zip(&steps).enumerate() {
            assert!(relative(steps, whole) < NEAR, "{level}, sequence {i}");
        }
        for cuts in [&[63, 1, 65, 100][..], &[100, 1, 7, 32], &[65, 127]] {
            for (got, want) in run(3, &all, cuts).iter().zip(&whole) {
                assert!(relative(got, want) < NEAR, "{level}, cut at {cuts:?}");
            }
        }
    }
}

/// A prompt; then tokens in the ways that decoding, drafting and going back feed them.
#[test]
fn saves_are_the_states_of_their_places() {
    let model = mixed();
    let tokens = Noise(21).tokens(90, VOCAB);
    let (prompt, rest) = tokens.split_at(70);
    for (level, threads) in Level::available().into_iter().flat_map(|l| [(l, 1), (l, 2)]) {
        let backend = cpu(level, threads, true);
        let mut steps = Steps::new(compile(&backend, &model, KvType::F32), &model.0, 16);
        let first =
            Part { tokens: prompt, position: 0, slot: NO_SLOT, saves: &[(70, 0)], pages: 0 };
        let prompted = steps.step(&[first]).remove(0);

        // decode in place, in a copy of the slot
        let slots = steps.slots();
        steps.exe.copy(slots, 0, 1).unwrap();
        let mut one_by_one = Vec::new();
        for (i, token) in rest.iter().enumerate() {
            let tokens = std::slice::from_ref(token);
            let part = Part { tokens, position: 70 + i, slot: 1, saves: &[(1, 1)], pages: 0 };
            one_by_one.push(steps.step(&[part]).remove(0));
        }

        // the same as a few runs with a save after each token, the last in place; drafts that
        // part after their second token, and go back
        let wrong = [rest[0], rest[1], (rest[2] + 1) % VOCAB as u32, 3];
        let saves = [(1, 2), (2, 3), (3, 4), (4, 5)];
        let draft = Part { tokens: &wrong, position: 70, slot: 0, saves: &saves, pages: 0 };
        let drafted = steps.step(&[draft]).remove(0);
        same(&drafted[..2 * VOCAB], &one_by_one[..2].concat(), &format!("{level}: draft"));
        let saves: Vec<(u32, u32)> = (1..=8).map(|i| (i, if i == 8 { 3 } else { 5 + i })).collect();
        let run = &rest[2..10];
        let again = Part { tokens: run, position: 72, slot: 3, saves: &saves, pages: 0 };
        let again = steps.step(&[again]).remove(0);
        same(&again, &one_by_one[2..10].concat(), &format!("{level}: after going back"));
        // on from the save in the middle, and from that in place
        for (slot, done) in [(5 + 3, 5), (3, 10)] {
            let next = &rest[done..done + 1];
            let saves = &[(1, 14)];
            let part = Part { tokens: next, position: 70 + done, slot, saves, pages: 0 };
            let got = steps.step(&[part]).remove(0);
            same(&got, &one_by_one[done], &format!("{level}: on from slot {slot}"));
        }

        // checkpoints within a prompt: at a multiple of the chunk they change nothing, elsewhere hardly
        for (saves, exact) in [(vec![(64, 9), (70, 10)], true), (vec![(3, 8), (70, 10)], false)] {
            let part = Part { tokens: prompt, position: 0, slot: NO_SLOT, saves: &saves, pages: 1 };
            let got = steps.step(&[part]).remove(0);
            if exact {
                same(&got, &prompted, &format!("{level}: checkpoint"));
                let part = Part {
                    tokens: &prompt[64..],
                    position: 64,
                    slot: 9,
                    saves: &[(6, 9)],
                    pages: 1,
                };
                let got = steps.step(&[part]).remove(0);
                same(&got, &prompted[64 * VOCAB..], &format!("{level}: from a checkpoint"));
            } else {
                assert!(relative(&got, &prompted) < NEAR, "{level}: {saves:?}");
                let part = Part {
                    tokens: &prompt[3..9],
                    position: 3,
                    slot: 8,
                    saves: &[(6, 8)],
                    pages: 1,
                };
                let onward = steps.step(&[part]).remove(0);
                same(&onward, &got[3 * VOCAB..9 * VOCAB], &format!("{level}: from a save"));
            }
        }
    }
}

/// Several runs in one step, each with its slots, some fresh and some far on.
#[test]
fn runs_of_a_step_keep_to_their_slots() {
    let model = mixed();
    let mut noise = Noise(31);
    let a = noise.tokens(75, VOCAB);
    let b = noise.tokens(130, VOCAB);
    let c = noise.tokens(2, VOCAB);
    let parts = |slots: [u32; 3]| {
        let [x, y, z] = slots;
        [(&a[70..], 70, x, x, 0u32), (&b[..], 0, NO_SLOT, y, 1), (&c[..], 0, NO_SLOT, z, 2)]
    };
    for threads in 1..=3 {
        let backend = cpu(Level::best(), threads, true);
        let mut steps = Steps::new(compile(&backend, &model, KvType::F32), &model.0, 8);
        let first = |slot: &[(u32, u32)], steps: &mut Steps<'_>| {
            steps.step(&[Part {
                tokens: &a[..70],
                position: 0,
                slot: NO_SLOT,
                saves: slot,
                pages: 0,
            }]);
        };
        let mut alone = Vec::new();
        first(&[(70, 0)], &mut steps);
        for (tokens, position, slot, to, pages) in parts([0, 1, 2]) {
            let saves = &[(tokens.len() as u32, to)];
            let part = Part { tokens, position, slot, saves, pages };
            alone.push(steps.step(&[part]).remove(0));
        }
        first(&[(70, 5)], &mut steps);
        let saves: Vec<[(u32, u32); 1]> =
            parts([5, 6, 7]).iter().map(|p| [(p.0.len() as u32, p.3)]).collect();
        let together: Vec<Part<'_>> = parts([5, 6, 7])
            .into_iter()
            .zip(&saves)
            .map(|((tokens, position, slot, _, pages), saves)| Part {
                tokens,
                position,
                slot,
                saves,
                pages,
            })
            .collect();
        for (i, (got, want)) in steps.step(&together).iter().zip(&alone).enumerate() {
            same(got, want, &format!("{threads} threads, run {i}"));
        }
    }
}

#[test]
fn slots_are_copied_exported_and_imported() {
    let model = mixed();
    let tokens = Noise(41).tokens(80, VOCAB);
    let backend = cpu(Level::best(), 2, true);
    let mut steps = Steps::new(compile(&backend, &model, KvType::F32), &model.0, 4);
    let first =
        Part { tokens: &tokens[..75], position: 0, slot: NO_SLOT, saves: &[(75, 0)], pages: 0 };
    steps.step(&[first]);
    let group = steps.slots();
    let mut bytes = vec![7];
    steps.exe.export(group, 0, &mut bytes).unwrap();
    assert_eq!(bytes.len(), 1 + steps.exe.block_bytes(group));
    steps.exe.copy(group, 0, 1).unwrap();
    let on = |slot: u32, steps: &mut Steps<'_>| {
        let saves = &[(5, slot)];
        steps.step(&[Part { tokens: &tokens[75..], position: 75, slot, saves, pages: 0 }]).remove(0)
    };
    let want = on(0, &mut steps);
    same(&on(1, &mut steps), &want, "copied");
    assert!(steps.exe.import(group, 2, &bytes).is_err(), "a byte too many");
    assert!(steps.exe.import(group, 9, &bytes[1..]).is_err(), "no such slot");
    steps.exe.import(group, 2, &bytes[1..]).unwrap();
    same(&on(2, &mut steps), &want, "imported");
    // what has been read in place has been overwritten
    assert!(bits(&on(2, &mut steps)) != bits(&want));
}

#[test]
fn the_footprint_is_what_is_held() {
    use tessera_graph::{Backend, Footprint, Limits, MemoryReport, unwatched};
    let (graph, weights) = mixed();
    for threads in 1..=3 {
        let backend = cpu(Level::best(), threads, threads == 1);
        let limits = Limits { tokens: 70, outputs: 3, runs: 2, context: 300, kv: KvType::F16 };
        let told = backend.footprint(&graph, &weights, &limits).unwrap();
        let mut exe = backend.compile(&graph, weights.clone(), &limits, &mut unwatched).unwrap();
        let held = exe.memory();
        let blocks = (0..told.blocks.len()).map(|group| exe.block_bytes(group)).collect();
        let MemoryReport { weights, mapped, arena, .. } = held;
        let held = Footprint { weights, mapped, arena, blocks };
        assert_eq!(told, held);
        let slots = told.blocks.len() - 1;
        exe.grow(slots, 3).unwrap();
        assert_eq!(exe.memory().state, 3 * told.blocks[slots]);
    }
}

#[test]
fn a_slot_that_is_not_there_is_an_error() {
    let model = mixed();
    let backend = cpu(Level::best(), 1, true);
    let mut steps = Steps::new(compile(&backend, &model, KvType::F32), &model.0, 2);
    let mut batch = tessera_graph::Batch::default();
    let saves = [tessera_graph::Save { after: 2, slot: 2 }];
    steps.storage.push(&mut batch, &[1, 2], 0, (NO_SLOT, &saves), |page| page as u32);
    let error = steps.exe.step(&batch, &mut Vec::new()).unwrap_err().to_string();
    assert!(error.contains("slot 2 of 2"), "{error}");
}
