//! Kernels are told apart by their names alone: caches of compiled kernels, and tables of choices, go by them.

use std::collections::HashMap;

use tessera_graph::{Activation, RouteGroups};
use tessera_kernels::{
    codes::Matrix,
    end::End,
    manifest,
    matvec::Matvec,
    route::{Route, Scores},
    unit::Unit,
};
use tessera_quant::{Float, Packing};
use tessera_tile::{Name, check::MAX_NAME};

#[test]
fn no_two_have_one() {
    let mut seen = HashMap::new();
    for program in manifest::programs().unwrap() {
        let name = program.name.clone();
        assert!(name.starts_with(|c: char| c.is_ascii_lowercase()) && name.len() <= MAX_NAME);
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
        assert!(seen.insert(name, program).is_none(), "a name is there twice");
    }
    assert!(seen.len() > 50);
}

#[test]
fn packings_have_names() {
    let name = |packing: Packing| Matrix { form: packing.form() }.name();
    let affine = |bits, group, scale| Packing::Affine { bits, group, scale };
    assert_eq!(name(affine(4, 64, Float::BF16)), "matrix_q4_bf16b_g64");
    let floats = [Float::F32, Float::F16, Float::BF16];
    let dense = floats.map(Packing::Dense);
    let affine = [2, 3, 4, 5, 6, 8].into_iter().flat_map(|bits| {
        let of = move |group| floats.map(|scale| affine(bits, group, scale));
        [32, 64, 128].into_iter().flat_map(of)
    });
    let all: Vec<_> =
        dense.into_iter().chain([Packing::Mxfp4, Packing::Nvfp4]).chain(affine).collect();
    let mut names: Vec<_> = all.iter().map(|&packing| name(packing)).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all.len());
}

#[test]
fn the_longest_is_short_enough() {
    let matvec = Matvec {
        matrix: Matrix { form: Packing::Affine { bits: 4, group: 128, scale: Float::BF16 }.form() },
        rows: 8,
        simdgroups: 8,
        batch: 4,
        split: 8,
        blocks: 128,
        turns: 100,
        ragged: true,
        norm: true,
        bias: true,
        end: End::Unit(Unit::Gated(Activation::GeluTanh)),
    };
    let geometry = "q4_bf16b_g128_r8_simdgroups8_batch4_split8_blocks128_t100";
    let expected = format!("matvec_{geometry}_ragged_norm_bias_unit_gated_gelu_tanh");
    assert_eq!(matvec.name(), expected);
    let route = Route {
        experts: 512,
        k: 32,
        scores: Scores::OneByOne,
        bias: true,
        groups: Some(RouteGroups { count: 64, kept: 32 }),
        normalise: true,
        simdgroups: 32,
    };
    assert_eq!(route.name(), "route_e512_k32_one_by_one_bias_32of64_normalise_s32");
    assert!(expected.len() <= MAX_NAME);
}
