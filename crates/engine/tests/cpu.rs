//! The engine over the CPU backend: results do not depend on company.

mod common;

use common::{assert_empty, ids, load, options, prompt, request};
use tessera_engine::{BackendChoice, CpuChoice, LoadOptions, SamplingOptions};

fn cpu(threads: usize, precise: bool) -> LoadOptions {
    let backend = BackendChoice::Cpu(CpuChoice { threads: Some(threads), precise });
    LoadOptions { backend, ..options() }
}

#[test]
fn a_batch_of_n_is_n_batches_of_one_for_any_cut_and_any_threads() {
    let cases: Vec<_> =
        (0..6).map(|i| request(prompt(5 + 41 * i as usize, i), 40, u64::from(i))).collect();
    for precise in [false, true] {
        let alone = load(LoadOptions { prefill_chunk: 512, max_sequences: 1, ..cpu(1, precise) });
        let expected: Vec<_> =
            cases.iter().map(|r| ids(&alone.generate(r.clone()).collect().unwrap())).collect();
        for (threads, chunk) in [(1, 7), (2, 48), (2, 1)] {
            let options = LoadOptions { prefill_chunk: chunk, ..cpu(threads, precise) };
            let model = load(LoadOptions { max_sequences: 4, ..options });
            let running: Vec<_> = cases.iter().map(|r| model.generate(r.clone())).collect();
            for (generation, expected) in running.into_iter().zip(&expected) {
                assert_eq!(ids(&generation.collect().unwrap()), *expected);
            }
            assert_empty(&model);
        }
    }
}

#[test]
fn the_oracle_agrees_with_the_precise_path() {
    let kv = Some(tessera_engine::KvType::F32);
    let oracle = load(LoadOptions { kv, ..options() });
    let cpu = load(LoadOptions { kv, ..cpu(2, true) });
    let tokens = prompt(150, 3);
    let a = oracle.inspect_logits(tokens.clone(), 300, 0).wait().unwrap();
    let b = cpu.inspect_logits(tokens, 300, 0).wait().unwrap();
    for (a, b) in a.positions.iter().zip(&b.positions) {
        assert!(
            (a.log_sum_exp - b.log_sum_exp).abs() < 2e-3,
            "{} {}",
            a.log_sum_exp,
            b.log_sum_exp
        );
        let mut logits = [vec![0.0; 300], vec![0.0; 300]];
        for (logits, position) in logits.iter_mut().zip([a, b]) {
            position.top.iter().for_each(|&(id, logit)| logits[id as usize] = logit);
        }
        let [a, b] = logits;
        let worst = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 5e-3, "{worst}");
    }
}

#[test]
fn sessions_reuse_bit_for_bit() {
    let model = load(cpu(2, false));
    let session = model.session();
    let mut history = prompt(120, 1);
    for round in 0..3 {
        let request = request(history.clone(), 30, 5);
        let fresh = model.generate(request.clone()).collect().unwrap();
        let reused = model.generate(request.in_session(&session)).collect().unwrap();
        assert_eq!(ids(&fresh), ids(&reused));
        assert!(round == 0 || reused.started.cached_tokens > history.len() - 30);
        history.extend(ids(&fresh));
        history.extend(prompt(10, 9 + round));
    }
    drop(session);
    assert_empty(&model);
}

#[test]
fn bench_measures_what_it_is_asked_for() {
    let model = load(cpu(1, false));
    let case =
        tessera_engine::BenchCase { prompt: 100, generate: 5, depth: 300, streams: 2, repeats: 3 };
    let report = model.bench(case).wait().unwrap();
    assert_eq!((report.prefill.len(), report.decode.len()), (3, 3));
    assert!(report.prefill_rate().unwrap().0 > 0.0 && report.decode_rate().unwrap().0 > 0.0);
    let nothing = tessera_engine::BenchCase { prompt: 0, generate: 0, ..case };
    assert!(model.bench(nothing).wait().is_err());
    let too_deep = tessera_engine::BenchCase { depth: 1 << 40, ..case };
    assert!(model.bench(too_deep).wait().is_err());
    let greedy = SamplingOptions::greedy();
    let request = tessera_engine::Request { sampling: greedy, ..request(prompt(9, 1), 3, 0) };
    assert!(model.generate(request).collect().is_ok());
    assert_empty(&model);
}
