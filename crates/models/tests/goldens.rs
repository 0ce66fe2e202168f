//! Every family gives the logits of the reference implementation.

mod common;

use common::{Case, Golden, ORACLE, cases, logits, max_error};
use serde_json::json;
use tessera_graph::fuse;

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
        assert!(fused.nodes.len() < bound.graph.nodes.len(), "{case}: nothing was fused");
        let before = logits(&bound.graph, &bound.weights, &golden.tokens, &[]);
        let after = logits(&fused, &bound.weights, &golden.tokens, &[]);
        assert_eq!(before, after, "{case}");
    }
}

#[test]
fn cutting_a_prompt_changes_nothing() {
    for case in
        ["llama/default", "gemma3/default", "qwen2/window", "gpt_oss/default", "qwen3_next/default"]
    {
        let golden = Golden::of(case);
        let bound = Case::new(case).open(None).unwrap();
        let whole = logits(&bound.graph, &bound.weights, &golden.tokens, &[]);
        for cuts in [&[1][..], &[5], &[16, 1], &[3, 7, 20]] {
            assert_eq!(
                whole,
                logits(&bound.graph, &bound.weights, &golden.tokens, cuts),
                "{case} {cuts:?}"
            );
        }
    }
}
