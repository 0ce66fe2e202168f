//! The search for geometries on the simulated GPU, and models that run with what it chose.

use std::{fs, ops::ControlFlow, path::Path};

use tempfile::TempDir;
use tessera_formats::Checkpoint;
use tessera_gpu::tune::{Choice, Folder, Key, Outcome, Report, Table};
use tessera_graph::{
    Backend, BackendError, Executable, KvType, Limits, testing::run_logits, unwatched,
};
use tessera_models::{Bound, BuildOptions};
use tessera_tile::sim::Checks;

/// What models are compiled for.
const LIMITS: Limits = Limits { tokens: 128, outputs: 128, runs: 2, context: 128, kv: KvType::F32 };

/// Largest difference of logits, as a part of the largest, when sums are added up in another order.
const ROUNDING: f32 = 1e-5;

/// The model of tests that are not about kernels.
const CASE: &str = "llama/default";

/// A tiny random checkpoint of those that `tessera-models` is tested with.
fn open(case: &str) -> Bound {
    let folder = TempDir::new().unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/fixtures");
    let own = fixtures.join(case);
    for source in [own.parent().unwrap(), &own] {
        for name in ["config.json", "model.safetensors"] {
            if source.join(name).exists() {
                fs::copy(source.join(name), folder.path().join(name)).unwrap();
            }
        }
    }
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    tessera_models::open(&checkpoint, &BuildOptions { context: None }).unwrap()
}

fn watched(_: usize, _: usize, _: &Key) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn search(model: &Bound, tables: &Folder, rows: &[u32], save: bool) -> Report {
    let backend = tessera_gpu::sim(Checks::Access).with_tables(Some(tables.clone()));
    backend.tune(&model.graph, &model.weights, KvType::F32, rows, save, &mut watched).unwrap()
}

/// Logits of two sequences, a long one and a short one, with a folder's tables: in chunks, then token by token.
fn logits(model: &Bound, tables: Option<Folder>) -> Vec<Vec<f32>> {
    let backend = tessera_gpu::sim(Checks::Access).with_tables(tables);
    let mut exe = compile(&backend, model);
    let vocab = model.graph.vocab() as u32;
    let token = |i: u32| (i * 31 + 5) % vocab;
    let sequences: [Vec<u32>; 2] = [(0..75).map(token).collect(), (3..9).map(token).collect()];
    let sequences: Vec<_> = sequences.iter().map(Vec::as_slice).collect();
    run_logits(&mut *exe, &model.graph, &sequences, &[66, 5, 1])
}

fn compile(backend: &dyn Backend, model: &Bound) -> Box<dyn Executable> {
    backend.compile(&model.graph, model.weights.clone(), &LIMITS, &mut unwatched).unwrap()
}

/// Largest difference, as a part of the largest logit.
fn difference(found: &[Vec<f32>], wanted: &[Vec<f32>]) -> f32 {
    let (found, wanted) = (found.concat(), wanted.concat());
    assert_eq!(found.len(), wanted.len());
    let largest = wanted.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    let pairs = found.iter().zip(&wanted).map(|(a, b)| (a - b).abs());
    pairs.fold(0.0, |most: f32, d| if d.is_nan() { f32::NAN } else { most.max(d) }) / largest
}

#[test]
fn a_search_is_deterministic_and_its_choices_are_kept() {
    let folder = TempDir::new().unwrap();
    let tables = Folder::new(folder.path());
    let model = open(CASE);
    let dry = search(&model, &tables, &[1, 16], false);
    assert_eq!((&dry.saved, fs::read_dir(folder.path()).unwrap().count()), (&None, 0));
    let report = search(&model, &tables, &[1, 16], true);
    assert_eq!(report.outcomes, dry.outcomes);
    assert_eq!(report.saved, Some(tables.path(&report.device)));
    let (kept, note) = tables.load(&report.device);
    assert_eq!((&kept, note), (&report.table, None));
    for outcome in &report.outcomes {
        let Outcome { key, times, best, .. } = outcome;
        let fastest = times.iter().map(|(_, seconds)| *seconds).fold(f64::INFINITY, f64::min);
        assert_eq!(times[0].0, key.kernel(), "the default comes first");
        match kept.get(key) {
            Some(choice) => {
                let wanted = Choice::new(times[*best].0.clone(), times[0].1, fastest, 0);
                assert_eq!(*choice, wanted, "{key}");
                assert!(fastest <= 0.97 * times[0].1, "{key}: {choice:?}");
            }
            None => assert!(*best == 0 && fastest > 0.97 * times[0].1, "{key}: {times:?}"),
        }
    }
    let names: Vec<_> = report.outcomes.iter().map(|outcome| outcome.key.kernel()).collect();
    for family in ["matvec", "matmul", "attend", "rms_norm"] {
        assert!(names.iter().any(|name| name.starts_with(family)), "{family}: {names:?}");
    }
    assert!(!kept.is_empty(), "some default can be beaten in the cost model");
    // what is searched again is compared with the same defaults, and found again
    let again = search(&model, &tables, &[1, 16], true);
    assert_eq!(again.outcomes, report.outcomes);
    assert_eq!(again.table.len(), kept.len());
}

/// A table that makes each kernel take one of its other geometries, whatever that costs.
fn any_choice(outcomes: &[Outcome], seed: usize, only: impl Fn(&Outcome) -> bool) -> Table {
    let mut table = Table::new();
    for (i, Outcome { key, times, .. }) in outcomes.iter().enumerate().filter(|(_, it)| only(it)) {
        let others = &times[1..];
        if let Some((kernel, seconds)) = others.get((seed * 7 + i * 5) % others.len().max(1)) {
            let choice = Choice::new(kernel.clone(), times[0].1, *seconds, 0);
            table.set(key, Some(choice));
        }
    }
    table
}

/// Whether a model computes the same in all geometries that `seed` takes of those for steps of these rows.
fn computes_the_same(case: &str, rows: &[u32], seed: usize) {
    let folder = TempDir::new().unwrap();
    let tables = Folder::new(folder.path());
    let model = open(case);
    let report = search(&model, &tables, rows, false);
    let plain = logits(&model, None);
    let table = any_choice(&report.outcomes, seed, |_| true);
    tables.save(&report.device, &table).unwrap();
    let backend = tessera_gpu::sim(Checks::Access).with_tables(Some(tables.clone()));
    let made = backend.model(&model.graph, &model.weights, &LIMITS, &mut unwatched).unwrap();
    let kernels: Vec<_> = made.kernels().collect();
    for choice in report.outcomes.iter().filter_map(|outcome| table.get(&outcome.key)) {
        assert!(kernels.contains(&&*choice.kernel), "{case}: {}", choice.kernel);
    }
    let error = difference(&logits(&model, Some(tables.clone())), &plain);
    assert!(error <= ROUNDING, "{case}: {error}");
    // the same bits where that is promised
    let table = any_choice(&report.outcomes, seed, |outcome| outcome.same_bits);
    assert!(!table.is_empty());
    tables.save(&report.device, &table).unwrap();
    assert_eq!(difference(&logits(&model, Some(tables)), &plain), 0.0, "{case}");
}

#[test]
fn attention_computes_the_same() {
    computes_the_same("llama/default", &[1, 4, 64], 1);
}

#[test]
fn a_mixture_computes_the_same() {
    computes_the_same("qwen3_moe/default", &[1, 8], 2);
}

#[test]
fn state_spaces_compute_the_same() {
    computes_the_same("falcon_h1/default", &[1, 16], 3);
}

#[test]
fn delta_rules_compute_the_same() {
    computes_the_same("qwen3_next/default", &[1, 16], 4);
}

#[test]
fn a_damaged_table_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let tables = Folder::new(folder.path());
    let model = open(CASE);
    let report = search(&model, &tables, &[1], true);
    let plain = logits(&model, None);
    fs::write(tables.path(&report.device), "{\"format\": \"tessera tuning\", ").unwrap();
    assert_eq!(difference(&logits(&model, Some(tables.clone())), &plain), 0.0);
    // names of kernels that there are not are no choices
    let mut table = Table::new();
    for outcome in &report.outcomes {
        let kernel = "matvec_of_another_version".to_owned();
        let choice = Choice::new(kernel, 2.0, 1.0, 0);
        table.set(&outcome.key, Some(choice));
    }
    tables.save(&report.device, &table).unwrap();
    assert_eq!(difference(&logits(&model, Some(tables.clone())), &plain), 0.0);
    // a search over a damaged file tells, and replaces it
    fs::write(tables.path(&report.device), "no table").unwrap();
    let repaired = search(&model, &tables, &[1], true);
    assert!(repaired.note.is_some_and(|note| note.contains("ignored")));
    assert_eq!(tables.load(&report.device), (report.table, None));
}

#[test]
fn a_search_can_be_given_up() {
    let folder = TempDir::new().unwrap();
    let model = open(CASE);
    let backend = tessera_gpu::sim(Checks::Access).with_tables(Some(Folder::new(folder.path())));
    let mut seen = 0;
    let mut watch = |done: usize, total: usize, _: &Key| {
        assert!(done < total);
        seen = done;
        if done == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let ended = backend.tune(&model.graph, &model.weights, KvType::F32, &[1], true, &mut watch);
    assert!(matches!(ended, Err(BackendError::Cancelled)), "{ended:?}");
    assert_eq!((seen, fs::read_dir(folder.path()).unwrap().count()), (2, 0));
    let refused = backend.tune(&model.graph, &model.weights, KvType::F32, &[3], true, &mut watched);
    assert!(refused.unwrap_err().to_string().contains("3 rows"));
}
