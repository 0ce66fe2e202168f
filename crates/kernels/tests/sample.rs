//! Tokens drawn on the device against the oracle's.

mod common;
mod sampling;

use common::random;
use sampling::{Case, Row};
use tessera_graph::{Sampling, TokenCount};
use tessera_kernels::{
    sample::{
        SampleArgs,
        draw::Draw,
        report::{Report, ReportArgs},
        survey::Survey,
        weigh::Weigh,
    },
    tables::FAILED,
};
use tessera_tile::Spec;

/// Sizes around those of simdgroups, threadgroups and blocks.
const SIZES: [usize; 10] = [1, 2, 31, 33, 255, 257, 1023, 1024, 1025, 2100];

/// Kinds of logits: spread, with ties, all equal, partly impossible, far apart, of both zeros.
fn logits(kind: usize, seed: u64, len: usize) -> Vec<f32> {
    let x = random(seed, len);
    match kind {
        0 => x.iter().map(|x| x * 8.0).collect(),
        1 => x.iter().map(|x| (x * 4.0).round()).collect(),
        2 => vec![x[0]; len],
        3 => (0..len).map(|i| if i % 3 == 1 { f32::NEG_INFINITY } else { x[i] * 3.0 }).collect(),
        4 => x.iter().map(|x| x * 300.0).collect(),
        _ => x.iter().map(|x| if *x < 0.0 { -0.0 } else { 0.0 }).collect(),
    }
}

const KINDS: usize = 6;

fn at(temperature: f32) -> Sampling {
    Sampling { temperature, ..Sampling::default() }
}

/// A row that draws at a position of its own.
fn row(logits: Vec<f32>, sampling: Sampling, position: u32) -> Row {
    Row { logits, sampling, position, ..Row::default() }
}

#[test]
fn greedy() {
    for (i, &vocab) in SIZES.iter().enumerate() {
        let rows = (0..KINDS).map(|kind| row(logits(kind, i as u64, vocab), at(0.0), 0));
        Case::new(rows).check();
    }
}

#[test]
fn every_combination_of_settings() {
    let mut rows = Vec::new();
    let vocab = 300;
    for temperature in [0.3, 1.0, 20.0] {
        for top_k in [0, 1, 7, 299, 300, 1000] {
            for top_p in [0.0, 0.3, 0.9, 0.999_999, 1.0] {
                for min_p in [0.0, 0.05, 1.0] {
                    let n = rows.len();
                    let sampling = Sampling { top_k, top_p, min_p, seed: 5, ..at(temperature) };
                    rows.push(row(logits(n % KINDS, n as u64 / 5, vocab), sampling, n as u32));
                }
            }
        }
    }
    for few in rows.chunks(5) {
        Case::new(few.iter().cloned()).check();
    }
}

#[test]
fn every_kind_of_logits_at_every_size() {
    for (i, &vocab) in SIZES.iter().enumerate() {
        let rows = (0..KINDS).map(|kind| {
            let n = i * KINDS + kind;
            let sampling = match n % 4 {
                0 => at(1.0),
                1 => Sampling { top_k: 1 + n as u32 * 3, ..at(0.7) },
                2 => Sampling { top_p: 0.8, ..at(1.5) },
                _ => Sampling { min_p: 0.2, ..at(1.0) },
            };
            row(logits(kind, n as u64, vocab), sampling, n as u32)
        });
        Case::new(rows).check();
    }
}

/// Ties where each limit falls, so that ids decide: among one, some and all equals.
#[test]
fn ties_go_to_the_lowest_ids() {
    let equal = |len: usize| vec![0.5; len];
    let mut rows = Vec::new();
    for n in 0..12u32 {
        let top_p = [0.2, 0.5, 0.75, 0.3][n as usize % 4];
        rows.push(row(equal(1200), Sampling { top_k: 1 + n * 97, ..at(1.0) }, n));
        rows.push(row(equal(1200), Sampling { top_p, ..at(1.0) }, n));
        rows.push(row(equal(1200), Sampling { top_k: 1000, top_p, ..at(1.0) }, n));
        rows.push(row(logits(1, 3, 1200), Sampling { top_k: 160 + n * 30, ..at(2.0) }, n));
        rows.push(row(logits(1, 3, 1200), Sampling { top_p, min_p: 0.1, ..at(2.0) }, n));
    }
    for few in rows.chunks(5) {
        Case::new(few.iter().cloned()).check();
    }
}

#[test]
fn bias_penalties_and_masks() {
    for vocab in [1, 40, 1030, 2100] {
        let rows = (0..5usize).map(|n| {
            let token = |i: usize| ((i * 7 + n) % vocab) as u32;
            let some = 1 + vocab / 7 % 90;
            let mut seen: Vec<_> = (0..some).map(token).collect();
            seen.sort_unstable();
            seen.dedup();
            let counts = seen.iter().enumerate();
            let history =
                counts.map(|(i, &token)| TokenCount { token, generated: i as u32 % 3 }).collect();
            let bias = seen.iter().rev().step_by(2).map(|&token| (token, 2.5 - n as f32)).collect();
            let sampling = Sampling {
                bias,
                repetition_penalty: 1.5,
                presence_penalty: 0.25,
                frequency_penalty: 0.5,
                top_k: [0, 20][n % 2],
                ..at([0.0, 0.8, 1.3][n % 3])
            };
            let allowed = |i: usize| i.is_multiple_of(n + 1);
            let mask = (n > 1).then(|| (0..vocab).map(allowed).collect());
            let logits = logits(n % KINDS, n as u64, vocab);
            Row { logits, sampling, history, mask, position: n as u32 }
        });
        Case::new(rows).check();
    }
}

/// Settings of each kind side by side, one row drawn from twice.
#[test]
fn rows_do_not_mind_each_other() {
    let base = logits(0, 1, 1500);
    let settings = [
        at(0.0),
        at(1.0),
        Sampling { top_k: 50, seed: 3, ..at(1.0) },
        Sampling { top_p: 0.9, min_p: 0.01, ..at(0.9) },
        Sampling { logprobs: true, top_logprobs: 4, ..at(2.0) },
    ];
    let rows: Vec<_> = settings.map(|sampling| row(base.clone(), sampling, 9)).into();
    for n in 1..=rows.len() {
        Case::new(rows[..n].iter().cloned()).check();
    }
    let mut twice = Case::new(rows.into_iter());
    twice.share_logits();
    twice.check();
}

#[test]
fn what_is_not_finite_fails_its_row_alone() {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    for (place, x) in [(0, nan), (700, -nan), (1099, nan), (3, inf), (1050, inf)] {
        for temperature in [0.0, 1.0] {
            let mut bad = logits(0, 8, 1100);
            bad[place] = x;
            let sampling = Sampling { logprobs: true, top_logprobs: 2, ..at(temperature) };
            let good = row(logits(0, 9, 1100), sampling.clone(), 1);
            let masked = Row {
                mask: Some((0..1100).map(|i| i != place).collect()),
                ..row(bad.clone(), sampling.clone(), 2)
            };
            let rows = [good.clone(), row(bad, sampling, 1), good, masked];
            let tokens = Case::new(rows.into_iter()).check();
            let failed: Vec<_> = tokens.iter().map(|&token| token == FAILED).collect();
            assert_eq!(failed, [false, true, false, true]);
        }
    }
}

#[test]
fn nothing_possible_fails_and_little_does_not() {
    let none = vec![f32::NEG_INFINITY; 70];
    let mut one = none.clone();
    one[69] = -3e38;
    let forbidden = Row { mask: Some(vec![false; 70]), ..row(logits(0, 2, 70), at(1.0), 0) };
    let allowed = Row { mask: Some((0..70).map(|i| i == 33).collect()), ..forbidden.clone() };
    for temperature in [0.0, 0.01, 1.0] {
        let set = |row: &Row| Row { sampling: at(temperature), ..row.clone() };
        let rows =
            [&row(none.clone(), at(1.0), 0), &row(one.clone(), at(1.0), 0), &forbidden, &allowed];
        let tokens = Case::new(rows.into_iter().map(set)).check();
        assert_eq!(tokens, [FAILED, 69, FAILED, 33]);
    }
}

/// A bias, or a penalty, of a finite logit beyond all floats.
#[test]
fn what_overflows_fails() {
    let sampling = Sampling { bias: vec![(3, f32::INFINITY)], ..at(1.0) };
    assert_eq!(Case::new([row(logits(0, 2, 70), sampling, 0)].into_iter()).check(), [FAILED]);
    let banned = Sampling { bias: vec![(3, f32::NEG_INFINITY)], ..at(1.0) };
    Case::new([row(logits(0, 2, 70), banned, 0)].into_iter()).check();
}

#[test]
fn log_probabilities() {
    for (i, vocab) in [1, 5, 300, 1025, 2100].into_iter().enumerate() {
        let rows = (0..KINDS).map(|kind| {
            let sampling = Sampling {
                logprobs: kind % 2 == 0,
                top_logprobs: [0, 1, 5, 20, 256, 3][(kind + i) % KINDS].min(vocab as u32),
                bias: vec![(0, 1.0)],
                ..at([0.0, 1.0][kind % 2])
            };
            row(logits(kind, i as u64, vocab), sampling, kind as u32)
        });
        Case::new(rows).check();
    }
}

/// More tokens than a list takes are kept, few of very many, and about as many as a list takes.
#[test]
fn a_large_vocabulary() {
    let vocab = 50_000;
    let wide = Sampling { top_p: 0.95, ..at(30.0) };
    let narrow = Sampling { top_k: 40, top_p: 0.9, min_p: 0.01, ..at(0.8) };
    let rows = [
        row(logits(0, 1, vocab), wide, 1),
        row(logits(0, 2, vocab), narrow, 2),
        row(logits(2, 3, vocab), Sampling { top_k: 20_000, top_p: 0.5, ..at(1.0) }, 3),
        row(logits(0, 4, vocab), at(1.0), 4),
        row(logits(0, 5, vocab), Sampling { top_k: 1950, top_p: 0.8, ..at(1.0) }, 5),
    ];
    let mut case = Case::new(rows.into_iter());
    case.threads = [256, 1024];
    case.check();
}

#[test]
fn many_draws_of_few_tokens() {
    let logits = vec![1.0, 3.0, f32::NEG_INFINITY, 2.0, 3.0, -1.0];
    let sampling = Sampling { seed: 3, ..at(2.0) };
    let rows = (0..60).map(|position| row(logits.clone(), sampling.clone(), position));
    let mut case = Case::new(rows);
    case.threads = [32, 32];
    let tokens = case.check();
    let drawn = |token: u32| tokens.contains(&token);
    assert!([0, 1, 3, 4, 5].into_iter().all(drawn) && !drawn(2), "{tokens:?}");
}

#[test]
fn preconditions() {
    let args = |vocab| SampleArgs { vocab, draws: 1 };
    let report = |vocab, top| ReportArgs { vocab, draws: 1, top };
    for threads in [0, 16, 33, 96, 2048] {
        assert!(Survey { adjust: false, greedy: true, threads }.check(&args(9)).is_err());
        assert!(Weigh { adjusted: false, threads }.check(&args(9)).is_err());
        assert!(Draw { greedy: true, threads }.check(&args(9)).is_err());
        assert!(Report { top: true, threads }.check(&report(9, 0)).is_err());
    }
    for vocab in [0, 1 << 20] {
        assert!(Survey { adjust: false, greedy: true, threads: 32 }.check(&args(vocab)).is_err());
        assert!(Weigh { adjusted: false, threads: 32 }.check(&args(vocab)).is_err());
        assert!(Draw { greedy: false, threads: 32 }.check(&args(vocab)).is_err());
        assert!(Report { top: false, threads: 32 }.check(&report(vocab, 0)).is_err());
    }
    assert!(Report { top: true, threads: 32 }.check(&report(9, 1025)).is_err());
    assert!(Report { top: true, threads: 32 }.check(&report((1 << 20) - 1, 1024)).is_ok());
}
