//! Every family gives the logits of the reference implementation.

mod common;

use common::{Case, Golden, fixtures, logits, max_error};
use serde_json::json;
use tessera_formats::Checkpoint;
use tessera_graph::fuse;
use tessera_models::{Bound, BuildOptions, open};

/// Largest absolute difference allowed to transformers in f32.
const TOLERANCE: f32 = 2e-4;

/// All `family/case` folders with a golden.
fn cases() -> Vec<String> {
    let mut cases = Vec::new();
    for family in std::fs::read_dir(fixtures()).unwrap() {
        let family = family.unwrap();
        for case in std::fs::read_dir(family.path()).unwrap() {
            let case = case.unwrap();
            if case.path().join("golden.safetensors").exists() {
                let [family, case] = [&family, &case].map(|f| f.file_name().into_string().unwrap());
                cases.push(format!("{family}/{case}"));
            }
        }
    }
    cases.sort();
    assert!(cases.len() > 30, "fixtures are missing: {cases:?}");
    cases
}

/// The checkpoint of a case. One of them has packings that its configuration does not tell, and it
/// must be silent then: they follow from the shapes.
fn checkpoint(case: &str) -> Case {
    match case {
        "packings/mlx_derived" => {
            Case::new(case).with(json!({ "quantization": null, "quantization_config": null }))
        }
        _ => Case::new(case),
    }
}

/// The golden, and what each of its sequences gives on the oracle. A long-rope model is opened for each
/// sequence's length, as the reference chooses its frequencies by it.
fn run(case: &str, open: impl Fn(Option<usize>) -> Bound) -> (Golden, Vec<Vec<f32>>) {
    let golden = Golden::read(&fixtures().join(case).join("golden.safetensors"));
    if case.contains("longrope") {
        let found = golden.tokens.iter().map(|tokens| {
            let bound = open(Some(tokens.len()));
            logits(&bound.graph, &bound.weights, std::slice::from_ref(tokens), &[]).remove(0)
        });
        let found = found.collect();
        return (golden, found);
    }
    let bound = open(None);
    let found = logits(&bound.graph, &bound.weights, &golden.tokens, &[]);
    (golden, found)
}

#[test]
fn safetensors_give_the_reference_logits() {
    for case in cases().iter().filter(|case| !case.contains("gguf_")) {
        let folder = checkpoint(case);
        let (golden, found) =
            run(case, |context| folder.open(context).unwrap_or_else(|e| panic!("{case}: {e}")));
        let error = max_error(&found, &golden.logits);
        println!("{case}: {error:.1e}");
        assert!(error <= TOLERANCE, "{case}: {error}");
    }
}

#[test]
fn gguf_files_give_the_reference_logits() {
    let mut found_some = false;
    for case in cases() {
        let file = fixtures().join(&case).join("model.gguf");
        if file.exists() {
            let checkpoint = Checkpoint::open(&file).unwrap();
            let open = |context| {
                open(&checkpoint, &BuildOptions { context })
                    .unwrap_or_else(|e| panic!("{case}: {e}"))
            };
            let (golden, found) = run(&case, open);
            let error = max_error(&found, &golden.logits);
            println!("{case}, GGUF: {error:.1e}");
            assert!(error <= TOLERANCE, "{case}: {error}");
            found_some = true;
        }
    }
    assert!(found_some);
}

#[test]
fn fusion_changes_nothing() {
    for case in cases().iter().filter(|case| !case.contains("gguf_")) {
        let golden = Golden::read(&fixtures().join(case).join("golden.safetensors"));
        let bound = checkpoint(case).open(None).unwrap();
        let fused = fuse(&bound.graph);
        assert!(fused.nodes.len() < bound.graph.nodes.len(), "{case}: nothing was fused");
        let before = logits(&bound.graph, &bound.weights, &golden.tokens, &[]);
        let after = logits(&fused, &bound.weights, &golden.tokens, &[]);
        assert_eq!(before, after, "{case}");
    }
}

#[test]
fn cutting_a_prompt_changes_nothing() {
    for case in ["llama/default", "gemma3/default", "qwen2/window"] {
        let golden = Golden::read(&fixtures().join(case).join("golden.safetensors"));
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
