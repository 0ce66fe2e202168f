use serde_json::{Value as Json, json};
use tessera_formats::{
    Bytes, Dtype, Tensor,
    gguf::{Array, Gguf, Metadata, Value},
};

use super::config;

/// A file with these metadata pairs (below the architecture's name, unless they have a dot-free
/// prefix of their own) and f32 tensors of these lengths.
fn file(arch: &str, pairs: &[(&str, Value)], tensors: &[(&str, Vec<f32>)]) -> Gguf {
    let own = ("general.architecture".to_string(), Value::String(arch.into()));
    let key = |key: &str| {
        if key.starts_with("tokenizer.") { key.into() } else { format!("{arch}.{key}") }
    };
    let pairs = pairs.iter().map(|(name, value)| (key(name), value.clone()));
    let tensors = tensors.iter().map(|(name, values)| Tensor {
        name: name.to_string(),
        dtype: Dtype::F32,
        shape: vec![values.len()],
        bytes: Bytes::from(values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>()),
    });
    Gguf {
        version: 3,
        metadata: Metadata::new(std::iter::once(own).chain(pairs).collect(), "test.gguf"),
        tensors: tensors.collect(),
    }
}

fn fields(arch: &str, pairs: &[(&str, Value)]) -> serde_json::Map<String, Json> {
    config(&file(arch, pairs, &[]), "test.gguf").unwrap().raw().clone()
}

fn refused(arch: &str, pairs: &[(&str, Value)]) -> String {
    config(&file(arch, pairs, &[]), "test.gguf").unwrap_err().to_string()
}

#[test]
fn sizes_and_stops_are_renamed() {
    let fields = fields(
        "llama",
        &[
            ("embedding_length", Value::U32(64)),
            ("attention.head_count", Value::U32(4)),
            // One number for each layer is what some files have.
            ("feed_forward_length", Value::Array(Array::I32(vec![96, 96]))),
            ("rope.dimension_count", Value::U32(8)),
            ("tokenizer.ggml.eos_token_id", Value::U32(2)),
            ("tokenizer.ggml.eot_token_id", Value::U32(7)),
        ],
    );
    assert_eq!(fields["model_type"], "llama");
    assert_eq!((&fields["hidden_size"], &fields["intermediate_size"]), (&json!(64), &json!(96)));
    assert_eq!(fields["partial_rotary_factor"], 0.5);
    assert_eq!(fields["eos_token_id"], json!([2, 7]));
    assert_eq!(fields["tie_word_embeddings"], true);
    assert!(!fields.contains_key("rope_theta"));
}

#[test]
fn layers_that_differ_are_refused() {
    let heads = Value::Array(Array::U32(vec![4, 8]));
    let text = refused("llama", &[("attention.head_count", heads)]);
    assert!(text.contains("llama.attention.head_count") && text.contains("layer"), "{text}");
    let lengths =
        [("attention.key_length", Value::U32(64)), ("attention.value_length", Value::U32(128))];
    assert!(refused("llama", &lengths).contains("128 differs from key_length, 64"));
    let text = refused("llama", &[("block_count", Value::String("many".into()))]);
    assert!(text.contains("llama.block_count"), "{text}");
}

#[test]
fn yarn_and_linear_scaling() {
    let scaling = |kind: &str, more: &[(&'static str, Value)]| {
        let mut pairs = vec![
            ("rope.scaling.type", Value::String(kind.into())),
            ("rope.scaling.factor", Value::F32(4.0)),
            ("rope.scaling.original_context_length", Value::U32(32768)),
        ];
        pairs.extend_from_slice(more);
        fields("qwen2", &pairs)["rope_scaling"].clone()
    };
    let yarn = scaling("yarn", &[("rope.scaling.yarn_beta_fast", Value::F32(16.0))]);
    assert_eq!(yarn["rope_type"], "yarn");
    assert_eq!(yarn["original_max_position_embeddings"], 32768);
    assert_eq!((&yarn["factor"], &yarn["beta_fast"]), (&json!(4.0), &json!(16.0)));
    assert_eq!(yarn["attention_factor"], Json::Null);
    let yarn = scaling("yarn", &[("rope.scaling.attn_factor", Value::F32(2.0))]);
    let factor = yarn["attention_factor"].as_f64().unwrap();
    assert!((factor - 2.0 * (1.0 + 0.1 * 4.0f64.ln())).abs() < 1e-6);
    assert_eq!(scaling("linear", &[])["rope_type"], "linear");
    assert_eq!(scaling("none", &[])["rope_type"], "default");
}

#[test]
fn divisors_become_scaling() {
    let tensors = [("rope_freqs.weight", vec![1.0, 2.0, 8.0])];
    let config = config(&file("llama", &[], &tensors), "test.gguf").unwrap();
    let expected = json!({ "rope_type": "divided", "divisors": [1.0, 2.0, 8.0] });
    assert_eq!(config.raw()["rope_scaling"], expected);
    let many = [("rope_freqs.weight", vec![1.0; 5000])];
    let text = super::config(&file("llama", &[], &many), "test.gguf").unwrap_err().to_string();
    assert!(text.contains("rope_freqs.weight") && text.contains("5000"), "{text}");
}

#[test]
fn gemma_gets_what_its_files_leave_out() {
    let large = |arch, layers| {
        fields(
            arch,
            &[
                ("block_count", Value::U32(layers)),
                ("embedding_length", Value::U32(4608)),
                ("attention.head_count", Value::U32(32)),
                ("attention.key_length", Value::U32(128)),
            ],
        )
    };
    let gemma2 = large("gemma2", 42);
    assert_eq!(gemma2["query_pre_attn_scalar"], 128);
    assert_eq!(gemma2["attn_logit_softcapping"], 50.0);
    assert_eq!(gemma2["final_logit_softcapping"], 30.0);
    // The 27B models divide by the width for each head.
    assert_eq!(large("gemma2", 46)["query_pre_attn_scalar"], 144);
    assert_eq!(large("gemma3", 62)["query_pre_attn_scalar"], 144);
    let gemma3 = large("gemma3", 26);
    assert_eq!(gemma3["model_type"], "gemma3_text");
    assert_eq!(gemma3["final_logit_softcapping"], Json::Null);
    // No window: every layer sees everything.
    assert_eq!(gemma3["sliding_window_pattern"], 1);
}

#[test]
fn window_patterns() {
    let pattern = |value: Option<Value>| {
        let mut pairs = vec![("attention.sliding_window", Value::U32(512))];
        pairs.extend(value.map(|value| ("attention.sliding_window_pattern", value)));
        fields("gemma3", &pairs)
    };
    assert_eq!(pattern(None)["sliding_window"], 512);
    assert!(!pattern(None).contains_key("sliding_window_pattern"));
    assert_eq!(pattern(Some(Value::U32(4)))["sliding_window_pattern"], 4);
    let layers = Value::Array(Array::Bool(vec![true, false]));
    let expected = json!(["sliding_attention", "full_attention"]);
    assert_eq!(pattern(Some(layers))["layer_types"], expected);
    // Zero is how a phi3 file says that there is none.
    let none = fields("phi3", &[("attention.sliding_window", Value::U32(0))]);
    assert_eq!(none["sliding_window"], Json::Null);
}

#[test]
fn only_what_the_converter_writes_is_taken() {
    // Mistral's files say `llama`; rows of one that does not could be in either order.
    let text = refused("mistral", &[]);
    assert!(text.starts_with("test.gguf: architecture \"mistral\", which"), "{text}");
    assert!(text.contains("supported are llama, qwen2, qwen3, "), "{text}");
    assert!(!text.contains("mistral,") && text.contains("falcon-h1"), "{text}");
    let text = refused("gemma3_text", &[]);
    assert!(text.contains("\"gemma3_text\", which llama.cpp's converter never writes"), "{text}");
    let text = refused("mamba9", &[]);
    assert!(text.contains("\"mamba9\" is not supported"), "{text}");
}

#[test]
fn layers_that_do_not_attend_have_no_heads() {
    let sizes = [
        ("block_count", Value::U32(3)),
        ("attention.head_count", Value::U32(4)),
        ("attention.head_count_kv", Value::Array(Array::I32(vec![0, 2, 0]))),
        ("ssm.time_step_rank", Value::U32(6)),
        ("ssm.inner_size", Value::U32(96)),
        ("ssm.group_count", Value::U32(2)),
        ("logit_scale", Value::F32(8.0)),
        ("rope.scaling.finetuned", Value::Bool(false)),
    ];
    let granite = fields("granitehybrid", &sizes);
    assert_eq!(granite["model_type"], "granitemoehybrid");
    assert_eq!(granite["layer_types"], json!(["mamba", "attention", "mamba"]));
    assert_eq!(
        (&granite["num_key_value_heads"], &granite["logits_scaling"]),
        (&json!(2), &json!(8.0))
    );
    assert_eq!((&granite["mamba_n_heads"], &granite["mamba_d_head"]), (&json!(6), &json!(16)));
    assert_eq!(granite["position_embedding_type"], "nope");
    let lfm2 = fields("lfm2", &sizes);
    assert_eq!(lfm2["layer_types"], json!(["conv", "full_attention", "conv"]));
    let text = refused("granitehybrid", &[("block_count", Value::U32(2)), sizes[2].clone()]);
    assert!(text.contains("head_count_kv") && text.contains("3 entries for 2 layers"), "{text}");
    let text = refused("mamba2", &[("ssm.time_step_rank", Value::U32(5)), sizes[4].clone()]);
    assert!(text.contains("ssm.inner_size") && text.contains("96 is not 5 heads"), "{text}");
    let text = refused("lfm2", &[("block_count", Value::U64(u64::MAX))]);
    assert!(text.contains("block_count"), "{text}");
}

#[test]
fn nemotron_layers_are_what_they_hold() {
    let pairs =
        [("block_count", Value::U32(4)), ("attention.layer_norm_epsilon", Value::F32(1e-5))];
    let tensors = ["blk.0.attn_q.weight", "blk.1.ffn_gate_inp.weight", "blk.2.ffn_up.weight"];
    let tensors = tensors.map(|name| (name, vec![0.0]));
    let config = config(&file("nemotron_h_moe", &pairs, &tensors), "test.gguf").unwrap();
    let kinds = json!(["full_attention", "moe", "mlp", "linear_attention"]);
    assert_eq!(config.raw()["layers_block_type"], kinds);
    assert_eq!(config.raw()["model_type"], "nemotron_h");
    assert_eq!(config.f32("layer_norm_epsilon").unwrap(), 1e-5);
    // A layer that guesses further tokens is counted among the blocks, and is none of the model's.
    let further = |n: u32| [&pairs[..], &[("nextn_predict_layers", Value::U32(n))]].concat();
    let config =
        super::config(&file("nemotron_h_moe", &further(1), &tensors), "test.gguf").unwrap();
    assert_eq!(config.raw()["layers_block_type"], json!(["full_attention", "moe", "mlp"]));
    assert_eq!(config.raw()["num_hidden_layers"], 3);
    for all in [4, 5, u32::MAX] {
        let text = refused("nemotron_h_moe", &further(all));
        assert!(text.contains("nextn_predict_layers") && text.contains("of 4 layers"), "{text}");
    }
}
