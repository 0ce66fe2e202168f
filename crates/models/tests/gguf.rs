//! A GGUF file and the safetensors it was made from are the same model.

mod common;

use common::{Case, Golden, fixtures, logits, max_error};
use tessera_formats::Checkpoint;
use tessera_graph::Graph;
use tessera_models::{Bound, BuildOptions, open};

const CASES: [&str; 7] = [
    "llama_untied/llama3_v5",
    "llama_bias/default",
    "qwen2/default",
    "qwen3/default",
    "gemma2/default",
    "gemma3_deep/default",
    "phi3/longrope",
];

fn both(case: &str) -> [Bound; 2] {
    let file = Checkpoint::open(&fixtures().join(case).join("model.gguf")).unwrap();
    let gguf = open(&file, &BuildOptions::default()).unwrap_or_else(|e| panic!("{case}: {e}"));
    [Case::new(case).open(None).unwrap(), gguf]
}

#[test]
fn logits_are_the_same() {
    for case in CASES {
        let golden = Golden::read(&fixtures().join(case).join("golden.safetensors"));
        let [a, b] = both(case).map(|m| logits(&m.graph, &m.weights, &golden.tokens, &[]));
        // Norm weights with one added, and frequencies divided beforehand, are rounded once more.
        let rounded = case.starts_with("gemma") || case.contains("llama3");
        let error = max_error(&a, &b);
        assert!(error <= if rounded { 2e-5 } else { 0.0 }, "{case}: {error}");
    }
}

/// What guesses further tokens lies in blocks behind the model's. It is passed over and told of; other blocks are not.
#[test]
fn further_layers_are_passed_over() {
    let case = Case::gguf("qwen3_5_gguf/default");
    let info = case.open(None).unwrap().info;
    assert_eq!((info.layers, info.guessing_tensors), (3, 12));
    let plain = Case::new("qwen3_5/default").open(None).unwrap().info;
    assert_eq!((plain.parameters, plain.guessing_tensors), (info.parameters, 0));
    // The same file, without the count of what is behind: its blocks are the model's, or too many.
    let path = case.folder.path().join("model.gguf");
    let mut bytes = std::fs::read(&path).unwrap();
    let key = b"qwen35.nextn_predict_layers";
    let at = bytes.windows(key.len()).position(|window| window == key).unwrap();
    bytes[at + key.len() - 1] = b'z';
    std::fs::write(&path, bytes).unwrap();
    let error = case.open(None).err().unwrap().to_string();
    assert!(error.contains("blk.3."), "{error}");
}

#[test]
fn graphs_differ_only_where_the_format_does() {
    for case in CASES {
        let describe = |graph: &Graph| {
            let nodes: Vec<String> =
                graph.nodes.iter().map(|n| format!("{} {:?}", n.label, n.inputs)).collect();
            (nodes, graph.weights.clone(), graph.states.clone())
        };
        let [a, b] = both(case);
        assert_eq!(describe(&a.graph), describe(&b.graph), "{case}");
        assert_eq!(a.info.parameters, b.info.parameters, "{case}");
        assert_eq!(
            (&a.info.family, a.info.layers, a.info.context, a.info.vocab, &a.info.stop_ids),
            (&b.info.family, b.info.layers, b.info.context, b.info.vocab, &b.info.stop_ids),
            "{case}"
        );
    }
}
