//! What is said about a model.

mod common;

use common::Case;
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
fn a_model_without_attention_has_no_heads_and_remembers_a_fixed_state() {
    let info = Case::new("mamba2/default").open(None).unwrap().info;
    assert_eq!((info.layers, info.hidden, info.vocab), (2, 36, 48));
    assert_eq!((info.heads, info.kv_heads, info.head_dim), (0, 0, 0));
    assert_eq!(
        (info.kv_elements, info.kv_bytes_per_token(KvType::F16)),
        (0, info.kv_bytes(100, KvType::F16))
    );
    // Three inputs of 72 + 2 * 32 convolved channels, and six heads of 12 by 16, in two layers.
    assert_eq!(info.recurrent_elements, 2 * (3 * (72 + 64) + 6 * 12 * 16));
    // Nothing bounds the context.
    assert_eq!(info.context, 1 << 20);
}

#[test]
fn hybrids_remember_both() {
    let info = Case::new("lfm2/default").open(None).unwrap().info;
    // One layer of attention with a head of 16; two of convolutions of 48 channels over three positions.
    assert_eq!((info.kv_elements, info.recurrent_elements), (2 * 16, 2 * 2 * 48));
    assert_eq!(info.kv_bytes(10, KvType::F16), 10 * 2 * 16 * 2 + 4 * 2 * 2 * 48);
}

#[test]
fn packings_are_listed_by_size() {
    let bound = Case::new("packings/mlx_g32").open(None).unwrap();
    let names: Vec<&str> = bound.info.packings.iter().map(|p| p.packing.as_str()).collect();
    assert!(names.contains(&"affine4/32") && names.contains(&"bf16"), "{names:?}");
    assert!(bound.info.packings.windows(2).all(|pair| pair[0].bytes >= pair[1].bytes));
    assert!(bound.info.bits_per_weight() < 8.0);
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
