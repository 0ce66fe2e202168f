//! The search for geometries on the simulated GPU, and models that run with what it chose.

mod common;

use std::{fs, ops::ControlFlow, time::Duration};

use common::open;
use tempfile::TempDir;
use tessera_gpu::tune::{Choice, Ended, Folder, Outcome, Reached, Report, Search, Table};
use tessera_graph::{Backend, Executable, KvType, Limits, testing::run_logits, unwatched};
use tessera_models::Bound;
use tessera_tile::sim::Checks;

/// What models are compiled for.
const LIMITS: Limits = Limits { tokens: 128, outputs: 128, runs: 2, context: 128, kv: KvType::F32 };

/// Largest difference of logits, as a part of the largest, when sums are added up in another order.
const ROUNDING: f32 = 1e-5;

/// The model of tests that are not about kernels.
const CASE: &str = "llama/default";

fn watched(_: Reached<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn search(model: &Bound, tables: &Folder, rows: &[u32], save: bool) -> Report {
    let backend = tessera_gpu::sim(Checks::Access).with_tables(Some(tables.clone()));
    backend.tune(&model.graph, &model.weights, &wanted(rows, save), &mut watched).unwrap()
}

fn wanted(rows: &[u32], save: bool) -> Search {
    Search { kv: KvType::F32, rows: rows.to_vec(), save, limit: None }
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
fn a_search_that_is_stopped_keeps_what_it_found() {
    let folder = TempDir::new().unwrap();
    let tables = Folder::new(folder.path());
    let model = open(CASE);
    let backend = tessera_gpu::sim(Checks::Access).with_tables(Some(tables.clone()));
    let tune = |search: &Search, last: usize| {
        let mut watch = |at: Reached<'_>| {
            assert!(at.done < at.total);
            assert_eq!(
                at.left.is_some(),
                at.done > 0,
                "how long it takes is known from the first on"
            );
            if at.done == last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        backend.tune(&model.graph, &model.weights, search, &mut watch)
    };
    // nothing is found, nothing is kept
    let none = tune(&wanted(&[1], true), 0).unwrap();
    assert_eq!((none.ended, none.outcomes.len(), &none.saved), (Ended::Stopped, 0, &None));
    let all = tune(&wanted(&[1], false), usize::MAX).unwrap();
    assert_eq!((all.ended, all.missed, all.outcomes.len()), (Ended::Done, 0, none.missed));
    let some = tune(&wanted(&[1], true), 2).unwrap();
    assert_eq!((some.ended, some.outcomes.len()), (Ended::Stopped, 2));
    assert_eq!((some.missed, &some.outcomes[..]), (all.outcomes.len() - 2, &all.outcomes[..2]));
    assert_eq!(tables.load(&some.device), (some.table, None));
    let refused = tune(&wanted(&[3], true), 0);
    assert!(refused.unwrap_err().to_string().contains("3 rows"));
}

#[test]
fn what_takes_most_of_a_step_comes_first() {
    let model = open(CASE);
    let tune = |seconds: u64| {
        let limit = Some(Duration::from_secs(seconds));
        let search = Search { limit, ..wanted(&[1, 64], false) };
        let backend = tessera_gpu::sim(Checks::Access);
        backend.tune(&model.graph, &model.weights, &search, &mut watched).unwrap()
    };
    let found = tune(1000);
    assert_eq!((found.ended, found.missed), (Ended::Done, 0));
    let cost = |it: &Outcome| it.times[0].1 * it.sites as f64;
    let step = |rows: &str| {
        let own = found.outcomes.iter().filter(|it| it.key.rows() == rows);
        own.map(cost).sum::<f64>()
    };
    let parts: Vec<_> = found.outcomes.iter().map(|it| cost(it) / step(it.key.rows())).collect();
    assert!(parts.is_sorted_by(|a, b| a >= b), "{parts:?}");
    assert!(parts[0] > 2.0 * parts[parts.len() - 1]);
    // the same are found, whatever the order
    let folder = TempDir::new().unwrap();
    let mut plain = search(&model, &Folder::new(folder.path()), &[1, 64], false).outcomes;
    let mut sorted = found.outcomes;
    for all in [&mut plain, &mut sorted] {
        all.sort_by(|a, b| a.key.cmp(&b.key));
    }
    assert_eq!(plain, sorted);
    // without any time nothing is found
    let none = tune(0);
    assert_eq!((none.ended, none.outcomes.len(), none.missed), (Ended::Limit, 0, plain.len()));
}
