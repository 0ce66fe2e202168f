//! Whole models through Metal's device: the simulated device's logits, bit for bit, and the oracle's tokens. That the
//! simulated device gives the CPU backend's is tested in `tessera-models`.

mod common;

use std::{fs, path::Path, sync::Arc};

use common::{INDIRECT, aligned, clean};
use fake_metal::{
    Settings, World,
    spy::{Mistake, Spy},
};
use tempfile::TempDir;
use tessera_formats::Checkpoint;
use tessera_gpu::{Gpu, MetalOptions, Tuning};
use tessera_graph::{
    Backend, Batch, Executable, KvType, Limits, NO_SLOT, Sampling, Save, oracle::Oracle,
    testing::Storage, unwatched,
};
use tessera_models::{Bound, BuildOptions, open};
use tessera_tile::{ir::Elem, sim::Checks};

/// Tokens that are decoded.
const TOKENS: usize = 24;

const PROMPT: [u32; 7] = [3, 17, 5, 40, 9, 9, 31];

const LIMITS: Limits = Limits { tokens: 32, outputs: 32, runs: 1, context: 64, kv: KvType::F32 };

/// A tiny random checkpoint of those that `tessera-models` is tested with, its tensors where they need not be copied.
fn model(case: &str) -> Bound {
    let folder = TempDir::new().unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/fixtures");
    let own = fixtures.join(case);
    for source in [own.parent().unwrap(), &own] {
        for entry in fs::read_dir(source).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let to = folder.path().join(name);
            if !path.is_file() || name.starts_with("golden") || name.ends_with(".gguf") {
                continue;
            }
            match name.ends_with(".safetensors") {
                true => fs::write(to, aligned(&fs::read(path).unwrap())).unwrap(),
                false => drop(fs::copy(&path, to).unwrap()),
            }
        }
    }
    open(&Checkpoint::open(folder.path()).unwrap(), &BuildOptions { context: None }).unwrap()
}

/// After each of `steps` steps, the token that is drawn and the bits of the logits. The first step is the prompt's, each
/// next one that of the token before.
fn decode(
    backend: &dyn Backend,
    model: &Bound,
    steps: usize,
) -> Result<Vec<(u32, Vec<u32>)>, String> {
    let graph = &model.graph;
    let compiled = backend.compile(graph, model.weights.clone(), &LIMITS, &mut unwatched);
    let mut exe: Box<dyn Executable> = compiled.map_err(|error| error.to_string())?;
    let storage = Storage::of(graph);
    storage.grow(exe.as_mut(), 4, 2);
    let (mut batch, mut sampled) = (Batch::default(), Vec::new());
    let (mut tokens, mut position) = (PROMPT.to_vec(), 0);
    let (mut row, mut all) = (vec![0.0f32; graph.vocab()], Vec::new());
    for step in 0..steps {
        batch.clear();
        let slot = |step: usize| (step % 2) as u32;
        let from = if step == 0 { NO_SLOT } else { slot(step - 1) };
        let saves = [Save { after: tokens.len() as u32, slot: slot(step) }];
        storage.push(&mut batch, &tokens, position, (from, &saves), |page| page as u32);
        position += tokens.len();
        let last = tokens.len() - 1;
        batch.outputs[last].sampling = Some(Arc::new(Sampling::default()));
        exe.step(&batch, &mut sampled).map_err(|error| error.to_string())?;
        exe.read_logits(last, &mut row);
        tokens = vec![sampled[last].token];
        all.push((sampled[last].token, row.iter().map(|x| x.to_bits()).collect()));
    }
    Ok(all)
}

/// The backend under test, with a mistake.
fn metal(
    mistake: Option<Mistake>,
    options: MetalOptions,
) -> Gpu<impl Fn() -> Result<Spy, tessera_gpu::device::DeviceError>> {
    Gpu::new("metal", Tuning::new(Elem::F32), move || Spy::with(mistake, &options))
}

fn settings(seed: u64) -> Settings {
    Settings { seed, checks: Checks::Access, ..Settings::default() }
}

/// Compares a model on Metal's device with the other two. Whether any weight can stay where it lies.
fn check(case: &str, stay: bool) {
    let model = model(case);
    let world = World::enter(settings(1));
    let found = decode(&metal(None, MetalOptions::default()), &model, TOKENS).unwrap();
    assert_eq!(world.commits(), TOKENS as u64, "one commit a step");
    assert_eq!(world.texts(), 1, "nothing is compiled after the load");
    assert_eq!(world.indirect(), 0, "indirect commands are asked for");
    assert_eq!(world.unmapped() > 0, stay, "{case}: whether weights were mapped");
    clean(&world);
    for macos in [14, 15] {
        let world = World::enter(Settings { macos, ..settings(2) });
        let again = decode(&metal(None, INDIRECT), &model, TOKENS).unwrap();
        assert!(again == found, "{case}: other results of indirect commands");
        assert_eq!((world.commits(), world.texts()), (TOKENS as u64, 1));
        println!("{case}: {} of {TOKENS} steps are indirect commands", world.indirect());
        assert!(world.indirect() > 0, "{case}: no step came again");
        clean(&world);
    }
    let simulated = decode(&tessera_gpu::sim(Checks::Access), &model, TOKENS).unwrap();
    assert!(found == simulated, "{case}: other results than the simulated device's");
    let oracle = decode(&Oracle, &model, TOKENS).unwrap();
    let tokens = |all: &[(u32, Vec<u32>)]| all.iter().map(|(token, _)| *token).collect::<Vec<_>>();
    assert_eq!(tokens(&found), tokens(&oracle), "{case}: other tokens than the oracle's");
}

#[test]
fn attention() {
    check("llama/default", true);
}

#[test]
fn recurrence() {
    check("falcon_h1/default", true);
}

#[test]
fn experts() {
    // rows of 48 and 24 columns are padded
    check("granitemoe/default", false);
}

#[test]
fn packed_by_mlx() {
    check("qwen3_mlx/default", true);
}

#[test]
fn missing_barriers_show() {
    let model = model("llama/default");
    let right = decode(&tessera_gpu::sim(Checks::Access), &model, 1).unwrap();
    let wrong = |seed, mistake| {
        World::enter(settings(seed));
        decode(&metal(Some(mistake), MetalOptions::default()), &model, 1) != Ok(right.clone())
    };
    assert!(wrong(1, Mistake::NoBarriers) && wrong(2, Mistake::NoBarriers));
    let unseen: Vec<usize> = (0..12)
        .filter(|&barrier| !(1..=6).any(|seed| wrong(seed, Mistake::NoBarrier(barrier))))
        .collect();
    assert_eq!(unseen, [0; 0], "barriers that nobody would miss");
}
