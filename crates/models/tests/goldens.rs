//! Every family gives the logits of the reference implementation.

mod common;

use common::{Case, Golden, ORACLE, cases, logits, max_error};
use serde_json::json;
use tessera_graph::{Graph, fuse};

/// Largest absolute difference allowed to transformers in f32.
const TOLERANCE: f32 = 2e-4;

#[test]
fn logits_are_the_references() {
    for case in cases() {
        let golden = Golden::of(&case);
        for stored in Case::stored(&case) {
            let error = max_error(&ORACLE.golden(&stored, &golden), &golden.logits);
            println!("{}: {error:.1e}", stored.name);
            assert!(error <= TOLERANCE, "{}: {error}", stored.name);
        }
    }
}

/// The fixture's configuration states a default that few of its tensors have. One that says nothing
/// must do as well: packings follow from shapes.
#[test]
fn a_configuration_may_be_silent_about_packings() {
    let case = Case::new("packings/mlx_derived");
    let stated = case.open(None).unwrap().info.packings;
    let case = case.with(json!({ "quantization": null, "quantization_config": null }));
    assert_eq!(case.open(None).unwrap().info.packings, stated);
    assert!(stated.len() > 3, "{stated:?}");
}

#[test]
fn fusion_changes_nothing() {
    for case in cases().iter().filter(|case| !case.contains("gguf_")) {
        let golden = Golden::of(case);
        let bound = Case::stored(case).remove(0).open(None).unwrap();
        let fused = fuse(&bound.graph);
        let nodes = |graph: &Graph| format!("{:?}", graph.nodes);
        assert_ne!(nodes(&fused), nodes(&bound.graph), "{case}: nothing was fused");
        let before = logits(&bound.graph, &bound.weights, &golden.tokens, &[]);
        let after = logits(&fused, &bound.weights, &golden.tokens, &[]);
        assert_eq!(before, after, "{case}");
    }
}

#[test]
fn cutting_a_prompt_changes_nothing() {
    for case in ["llama/default", "gemma3/default", "qwen2/window", "gpt_oss/default"] {
        assert_eq!(cut(case), 0.0, "{case}");
    }
    // A recurrent state is rounded where it is kept.
    for case in [
        "mamba2/default",
        "falcon_h1/default",
        "lfm2/default",
        "granitemoehybrid/default",
        "nemotron_h/default",
        "qwen3_next/default",
    ] {
        let error = cut(case);
        assert!(error <= TOLERANCE, "{case}: {error}");
    }
}

/// By how much logits change when a prompt is cut in several ways.
fn cut(case: &str) -> f32 {
    let golden = Golden::of(case);
    let bound = Case::new(case).open(None).unwrap();
    let run = |cuts| logits(&bound.graph, &bound.weights, &golden.tokens, cuts);
    let whole = run(&[]);
    let ways = [&[1][..], &[5], &[16, 1], &[3, 7, 20]];
    ways.into_iter().map(|cuts| max_error(&whole, &run(cuts))).fold(0.0, f32::max)
}
