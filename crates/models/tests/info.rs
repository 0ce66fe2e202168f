//! What is said about a model, and multimodal checkpoints.

mod common;

use common::{Case, Golden, fixtures, logits, max_error};
use serde_json::{Value, json};
use tessera_graph::KvType;

#[test]
fn figures_of_a_model() {
    let info = Case::new("llama/default").open(None).unwrap().info;
    assert_eq!(info.family, "llama");
    assert_eq!(
        (info.layers, info.hidden, info.heads, info.kv_heads, info.head_dim),
        (2, 64, 4, 2, 16)
    );
    assert_eq!((info.vocab, info.context), (96, 256));
    // Embedding; per layer q and o, k and v, three of the network, two norms; the last norm.
    let layer = 2 * 64 * 64 + 2 * 32 * 64 + 3 * 64 * 96 + 2 * 64;
    assert_eq!(info.parameters, 96 * 64 + 2 * layer + 64);
    assert_eq!(info.bytes, 2 * info.parameters);
    assert_eq!(info.bits_per_weight(), 16.0);
    assert_eq!(info.quantization(), "16.00 bits a weight: bf16");
    assert_eq!(info.stop_ids, [2]);
    // Keys and values of two heads of 16 in two layers.
    assert_eq!(info.kv_bytes_per_token(KvType::F16), 2 * 2 * 32 * 2);
    assert_eq!(info.kv_bytes(100, KvType::F32), 100 * 2 * 2 * 32 * 4);
}

#[test]
fn windows_bound_what_is_remembered() {
    let info = Case::new("gemma3/default").open(None).unwrap().info;
    // Two layers with a window of 8, one without; two heads of 24.
    assert_eq!(info.kv_windows, [(8, 2 * 2 * 48)]);
    assert_eq!(info.kv_bytes(100, KvType::F16), (100 * 96 + 8 * 192) * 2);
}

#[test]
fn packings_are_listed_by_size() {
    let bound = Case::new("packings/mlx_g32").open(None).unwrap();
    let names: Vec<&str> = bound.info.packings.iter().map(|p| p.packing.as_str()).collect();
    assert!(names.contains(&"affine4/32") && names.contains(&"bf16"), "{names:?}");
    assert!(bound.info.packings.windows(2).all(|pair| pair[0].bytes >= pair[1].bytes));
    assert!(bound.info.bits_per_weight() < 8.0);
}

/// A Gemma 3 checkpoint as the multimodal ones are: the configuration inside `text_config`, names
/// below a prefix, and a vision tower beside.
#[test]
fn the_text_part_of_a_multimodal_checkpoint() {
    let golden = Golden::read(&fixtures().join("gemma3/default/golden.safetensors"));
    for prefix in ["language_model.model.", "model.language_model."] {
        let case = Case::new("gemma3/default").with_tensors(|tensors| {
            for tensor in tensors.iter_mut() {
                tensor.name = tensor.name.replacen("model.", prefix, 1);
            }
            let mut vision = tensors[0].clone();
            vision.name = "vision_tower.vision_model.post_layernorm.weight".into();
            tensors.push(vision);
        });
        let config = case.folder.path().join("config.json");
        let text: Value = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
        let outer = json!({
            "model_type": "gemma3",
            "architectures": ["Gemma3ForConditionalGeneration"],
            "eos_token_id": [1, 106],
            "text_config": text,
        });
        std::fs::write(&config, outer.to_string()).unwrap();
        let bound = case.open(None).unwrap();
        assert_eq!(bound.info.stop_ids, [1, 106]);
        let found = logits(&bound.graph, &bound.weights, &golden.tokens, &[]);
        assert!(max_error(&found, &golden.logits) <= 2e-4);
    }
}

#[test]
fn long_rope_is_chosen_by_the_context() {
    let case = Case::new("phi3/longrope");
    let graph = |context| format!("{:?}", case.open(context).unwrap().graph.nodes);
    // The original context is 16 positions, the trained one 256.
    assert_eq!(graph(Some(1)), graph(Some(16)));
    assert_ne!(graph(Some(16)), graph(Some(17)));
    assert_eq!(graph(Some(17)), graph(None));
}
