//! Routing against a sort.

mod common;

use common::{floats, random, read, result, run};
use tessera_graph::RouteGroups;
use tessera_kernels::route::{Route, RouteArgs, Scores};
use tessera_tile::Spec;

/// Indices of the `k` largest, ties to the lowest.
fn largest(values: &[f64], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    order.truncate(k);
    order
}

/// One row.
fn routed(k: &Route, scale: f32, logits: &[f32], bias: &[f32]) -> Vec<f32> {
    let logits: Vec<f64> = logits.iter().map(|&x| x.into()).collect();
    let scores: Vec<f64> = match k.scores {
        Scores::Sigmoid => logits.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect(),
        Scores::OneByOne => return one_by_one(k, scale, &logits),
        Scores::Softmax => {
            let most = logits.iter().fold(f64::MIN, |a, &b| a.max(b));
            let powers: Vec<f64> = logits.iter().map(|x| (x - most).exp()).collect();
            let sum: f64 = powers.iter().sum();
            powers.iter().map(|x| x / sum).collect()
        }
    };
    let mut choice = scores.clone();
    if k.bias {
        choice.iter_mut().zip(bias).for_each(|(c, &b)| *c += f64::from(b));
    }
    if let Some(RouteGroups { count, kept }) = k.groups {
        let size = choice.len() / count;
        let sum = |g: &[f64]| largest(g, 2).into_iter().map(|e| g[e]).sum::<f64>();
        let sums: Vec<f64> = choice.chunks(size).map(sum).collect();
        let kept = largest(&sums, kept);
        for (g, choice) in choice.chunks_mut(size).enumerate() {
            if !kept.contains(&g) {
                choice.fill(f64::NEG_INFINITY);
            }
        }
    }
    let chosen = largest(&choice, k.k as usize);
    let sum: f64 = chosen.iter().map(|&e| scores[e]).sum();
    let divisor = if k.normalise { sum.max(1e-20) } else { 1.0 };
    let ids = chosen.iter().map(|&e| e as f32);
    let shares = chosen.iter().map(|&e| (scores[e] / divisor * f64::from(scale)) as f32);
    ids.chain(shares).collect()
}

/// How far behind the largest a logit may be.
const REACH: f32 = 0.6;

/// One row, one expert after the other.
fn one_by_one(k: &Route, scale: f32, logits: &[f64]) -> Vec<f32> {
    let mut left = logits.to_vec();
    let (mut ids, mut shares) = (Vec::new(), Vec::new());
    for _ in 0..k.k {
        let best = largest(&left, 1)[0];
        let top = left[best];
        let near = |x: &&f64| x.is_finite() && (top - **x) / x.abs().max(top) <= f64::from(REACH);
        let sum: f64 = left.iter().filter(near).map(|x| (x - top).exp()).sum();
        ids.push(best as f32);
        shares.push((f64::from(scale) / sum) as f32);
        left[best] = f64::NEG_INFINITY;
    }
    [ids, shares].concat()
}

#[test]
fn one_after_the_other() {
    for (experts, k) in [(2, 1), (16, 2), (33, 3), (70, 8)] {
        let kernel = Route { scores: Scores::OneByOne, ..kernel(experts, k) };
        // positive and negative ones, and nearly equal ones
        let logits: Vec<f32> = random(3, 5 * experts as usize).iter().map(|x| x * 4.0).collect();
        check(&kernel, 5, 0.5, &logits);
    }
}

fn check(k: &Route, rows: usize, scale: f32, logits: &[f32]) {
    let experts = k.experts as usize;
    let bias = random(9, experts);
    let (given, added, routes) = (floats(logits), floats(&bias), result(rows * 2 * k.k as usize));
    let mut buffers = vec![&given];
    buffers.extend(k.bias.then_some(&added));
    buffers.push(&routes);
    run(k, &RouteArgs { rows: rows as u32, scale, reach: REACH }, &buffers);
    let wanted: Vec<f32> =
        logits.chunks(experts).flat_map(|row| routed(k, scale, row, &bias)).collect();
    for (i, (got, wanted)) in read(&routes).into_iter().zip(wanted).enumerate() {
        let limit =
            if (i / k.k as usize).is_multiple_of(2) { 0.0 } else { 1e-6 * wanted.abs() + 1e-30 };
        assert!((got - wanted).abs() <= limit, "{k:?}: element {i} is {got}, not {wanted}");
    }
}

fn kernel(experts: u32, k: u32) -> Route {
    let scores = Scores::Softmax;
    Route { experts, k, scores, bias: false, groups: None, normalise: false, simdgroups: 2 }
}

#[test]
fn every_kind() {
    for (experts, k) in [(1, 1), (8, 2), (31, 4), (33, 5), (64, 8), (100, 32), (512, 10)] {
        for scores in [Scores::Softmax, Scores::Sigmoid] {
            for (bias, normalise) in [(false, false), (true, true), (true, false), (false, true)] {
                let rows = 3;
                let logits: Vec<f32> = random(experts.into(), rows * experts as usize)
                    .iter()
                    .map(|x| x * 6.0)
                    .collect();
                let k = Route { scores, bias, normalise, ..kernel(experts, k) };
                check(&k, rows, 2.5, &logits);
            }
        }
    }
}

#[test]
fn groups_come_first() {
    for (experts, count, kept, k) in
        [(6, 2, 1, 2), (6, 6, 3, 3), (64, 8, 4, 6), (256, 8, 4, 8), (90, 45, 33, 20)]
    {
        for (bias, scores) in [(true, Scores::Sigmoid), (false, Scores::Softmax)] {
            let groups = Some(RouteGroups { count, kept });
            let k = Route { groups, bias, scores, normalise: true, ..kernel(experts, k) };
            let logits: Vec<f32> =
                random(3, 5 * experts as usize).iter().map(|x| x * 4.0).collect();
            check(&k, 5, 1.0, &logits);
        }
    }
}

#[test]
fn ties_go_to_the_lowest() {
    let k = Route { normalise: true, ..kernel(70, 6) };
    check(&k, 1, 1.0, &[0.5; 70]);
    let mut logits = vec![0.0; 70];
    (logits[69], logits[33], logits[32], logits[5]) = (1.0, 1.0, 1.0, 1.0);
    check(&k, 1, 1.0, &logits);
    let groups = Some(RouteGroups { count: 7, kept: 3 });
    check(&Route { groups, ..k }, 1, 1.0, &[0.5; 70]);
}

#[test]
fn large_logits_and_what_is_no_number() {
    let k = Route { normalise: true, ..kernel(40, 4) };
    let logits: Vec<f32> = random(1, 40).iter().map(|x| x * 300.0).collect();
    check(&k, 1, 1.0, &logits);
    for scores in [Scores::Softmax, Scores::Sigmoid] {
        let k = Route { scores, ..k };
        let routes = result(8);
        run(
            &k,
            &RouteArgs { rows: 1, scale: 1.0, reach: REACH },
            &[&floats(&[f32::NAN; 40]), &routes],
        );
        assert!(read(&routes)[..4].iter().all(|&id| (0.0..40.0).contains(&id)));
    }
}

#[test]
fn what_it_cannot_do_is_refused() {
    let args = RouteArgs { rows: 1, scale: 1.0, reach: REACH };
    assert!(kernel(8, 2).check(&args).is_ok());
    for k in [kernel(0, 1), kernel(513, 1), kernel(8, 0), kernel(8, 9), kernel(64, 33)] {
        assert!(k.check(&args).is_err(), "{k:?}");
    }
    for (count, kept) in [(3, 1), (0, 0), (4, 5), (4, 1)] {
        let groups = Some(RouteGroups { count, kept });
        let k = Route { groups, ..kernel(8, 3) };
        assert!(k.check(&args).is_err(), "{k:?}");
    }
}
