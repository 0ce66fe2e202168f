//! What lies between products and attention is one launch wherever heads turn.

mod common;

use common::open;
use tessera_gpu::Checks;
use tessera_graph::{KvType, Limits, unwatched};

const LIMITS: Limits = Limits { tokens: 32, outputs: 32, runs: 1, context: 64, kv: KvType::F32 };

/// Names of a model's kernels.
fn kernels(case: &str) -> Vec<String> {
    let model = open(case);
    let backend = tessera_gpu::sim(Checks::Access);
    let made = backend.model(&model.graph, &model.weights, &LIMITS, &mut unwatched).unwrap();
    made.kernels().map(str::to_owned).collect()
}

/// The kernels whose names begin so.
fn of<'a>(kernels: &'a [String], family: &str) -> Vec<&'a str> {
    kernels.iter().map(String::as_str).filter(|name| name.starts_with(family)).collect()
}

#[test]
fn heads_turn_where_they_are_kept() {
    for case in ["llama/default", "qwen2/default", "gpt_oss/default"] {
        let kernels = kernels(case);
        let turns = of(&kernels, "turn_");
        assert!(turns.len() == 1 && !turns[0].contains("norm"), "{case}: {kernels:?}");
        let apart: Vec<_> = ["append_", "rope"].iter().flat_map(|it| of(&kernels, it)).collect();
        assert_eq!(apart, ["rope_table"], "{case}");
    }
}

#[test]
fn norms_of_heads_are_a_part_of_it() {
    let kernels = kernels("qwen3/default");
    assert!(of(&kernels, "turn_").iter().all(|name| name.contains("_norm")), "{kernels:?}");
    assert!(of(&kernels, "turn_").len() == 1 && of(&kernels, "append_").is_empty());
}

#[test]
fn heads_that_do_not_turn_are_only_kept() {
    // its attention has no positions
    let kernels = kernels("nemotron_h/default");
    assert!(of(&kernels, "turn_").is_empty(), "{kernels:?}");
    assert_eq!(of(&kernels, "append_").len(), 1, "{kernels:?}");
}
