//! What kernels say of their geometries: candidates are kernels, each once, within what devices have.

use tessera_graph::Activation;
use tessera_kernels::{
    attend::{Attend, SPLIT},
    attend_tile::AttendTile,
    cache::Cache,
    codes::Matrix,
    delta::{Delta, DeltaArgs},
    end::End,
    experts::{matmul::ExpertMatmul, product::ExpertProduct, sum::ExpertSum},
    matmul::Matmul,
    matvec::{Matvec, MatvecArgs},
    rms_norm::RmsNorm,
    scan::Scan,
    sight::Sight,
    tune::{Tunable, allowed},
    unit::Unit,
};
use tessera_quant::{Float, Packing};
use tessera_tile::{
    check::{MAX_SHARED, MAX_THREADS},
    ir::Elem,
};

const PACKING: Packing = Packing::Affine { bits: 4, group: 64, scale: Float::F16 };

fn matrix() -> Matrix {
    Matrix { form: PACKING.form() }
}

fn gated() -> Unit {
    Unit::Gated(Activation::Silu)
}

/// Checks what holds for all; gives how many there are.
fn check<T: Tunable>(kernel: T) -> usize {
    let all = kernel.candidates();
    assert!(all[0] == kernel, "{}: it comes first", kernel.name());
    let mut names = std::collections::HashSet::new();
    let first = kernel.record().unwrap();
    for candidate in &all {
        let name = candidate.name();
        assert!(names.insert(name.clone()), "{name} is there twice");
        let program = candidate.record().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(program.shared_bytes() <= MAX_SHARED && program.threads <= MAX_THREADS, "{name}");
        // they take the place of each other
        let bound = |program: &tessera_tile::Program| {
            program.buffers.iter().map(|buffer| (buffer.elem, buffer.access)).collect::<Vec<_>>()
        };
        assert_eq!(
            (bound(&program), program.fields),
            (bound(&first), first.fields.clone()),
            "{name}"
        );
    }
    all.len()
}

fn matvec(end: End, batch: u32) -> Matvec {
    let (matrix, ragged, norm, bias) = (matrix(), false, true, false);
    Matvec {
        matrix,
        rows: 2,
        simdgroups: 4,
        batch,
        split: 1,
        blocks: 32,
        turns: 1,
        ragged,
        norm,
        bias,
        end,
    }
}

fn matmul(stage: Elem, end: End) -> Matmul {
    let (matrix, ragged, bias) = (matrix(), false, false);
    Matmul {
        matrix,
        vectors: 32,
        rows: 32,
        down: 1,
        across: 2,
        steps: 1,
        depth: 1,
        stage,
        ragged,
        bias,
        end,
    }
}

fn attend_tile(stage: Elem, head_dim: u32) -> AttendTile {
    let cache = Cache { elem: Elem::F16, head_dim };
    let sight = Sight::default();
    let (softcap, sinks) = (false, false);
    AttendTile {
        cache,
        group: 4,
        rows: 16,
        bands: 1,
        dims: 16,
        depth: 1,
        stage,
        sight,
        softcap,
        sinks,
    }
}

#[test]
fn candidates_are_kernels() {
    assert!(check(matvec(End::Parts(1), 1)) >= 16);
    assert!(check(matvec(End::Unit(gated()), 4)) >= 8);
    for end in [End::Parts(3), End::Unit(gated())] {
        assert!(check(matmul(Elem::F16, end)) > 10);
    }
    let cache = Cache { elem: Elem::F16, head_dim: 128 };
    for group in [1, 3, 8] {
        let (share, sight, softcap) = (group.min(8), Sight::default(), false);
        let attend = Attend { cache, group, share, split: SPLIT, threads: 128, sight, softcap };
        assert!(check(attend) >= 3);
    }
    assert!(check(attend_tile(Elem::F16, 128)) > 2);
    let (matrix, unit) = (matrix(), gated());
    let (k, bias, ragged, rows, simdgroups) = (4, true, false, 2, 4);
    check(ExpertProduct { matrix, unit, k, bias, ragged, rows, simdgroups });
    check(ExpertSum { matrix, k, bias, ragged, rows, simdgroups });
    let product = matmul(Elem::F16, End::Unit(unit));
    assert!(check(ExpertMatmul { product, shared: k }) > 3);
    assert_eq!(check(RmsNorm { per_head: false, threads: 256 }), 5);
    assert_eq!(check(RmsNorm { per_head: true, threads: 96 }), 6);
    for chunked in [false, true] {
        let scan = Scan { state: 128, log_decay: true, skip: true, chunked, simdgroups: 4 };
        assert_eq!(check(scan), 3);
        let (log_decay, interleaved) = (true, false);
        check(Delta { key_dim: 128, log_decay, interleaved, chunked, simdgroups: 8 });
    }
}

#[test]
fn limits_leave_fewer() {
    // f32 takes twice the shared memory
    let of = |stage| matmul(stage, End::Unit(gated())).candidates().len();
    assert!(of(Elem::F32) < of(Elem::F16));
    let of = |stage| attend_tile(stage, 256).candidates().len();
    assert!(of(Elem::F32) < of(Elem::F16));
    // sums of many vectors take registers
    let of = |batch| matvec(End::Unit(gated()), batch).candidates().len();
    assert!(of(4) < of(1));
    // simdgroups divide the rows of a state, and are no more than a kernel takes
    let delta =
        Delta { key_dim: 12, log_decay: true, interleaved: false, chunked: false, simdgroups: 6 };
    let found: Vec<_> = delta.candidates().iter().map(|k| k.simdgroups).collect();
    assert_eq!(found, [6, 1, 2, 4]);
}

#[test]
fn conditions_leave_fewer() {
    let args = DeltaArgs { heads: 4, key_heads: 3, value_dim: 64, runs: 1, eps: 0.0 };
    let delta =
        Delta { key_dim: 12, log_decay: true, interleaved: false, chunked: false, simdgroups: 6 };
    assert_eq!(allowed(&delta, &args), [delta], "what it refuses in any geometry");
    let args = MatvecArgs { rows: 64, cols: 64, vectors: 1, ..MatvecArgs::default() };
    let kernel = matvec(End::Parts(1), 1);
    assert_eq!(allowed(&kernel, &args), kernel.candidates());
}
