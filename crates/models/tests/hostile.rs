//! Configurations that must be refused, with an error that names what is wrong.

mod common;

use common::Case;
use serde_json::{Value, json};
use tessera_formats::{Checkpoint, Dtype};
use tessera_models::{BuildOptions, Error};

/// The error of a family's case with some fields changed.
fn refused(case: &str, fields: Value) -> String {
    let error = Case::new(case).with(fields.clone()).open(None);
    let error = error.err().unwrap_or_else(|| panic!("{case} with {fields} was accepted"));
    let text = error.to_string();
    println!("{text}");
    text
}

/// Refused, and the message names file and field.
fn refused_field(case: &str, fields: Value) {
    let field = fields.as_object().unwrap().keys().next().unwrap().clone();
    let text = refused(case, fields);
    assert!(text.contains("config.json") && text.contains(&field), "{text}");
}

#[test]
fn sizes_are_bounded() {
    for field in [
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "intermediate_size",
        "vocab_size",
        "max_position_embeddings",
    ] {
        for value in [json!(0), json!(-1), json!(1_000_000_000_000u64), json!(1.5), json!("8")] {
            refused_field("llama/default", json!({ field: value }));
        }
    }
    for field in ["hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"] {
        refused_field("llama/default", json!({ field: null }));
    }
    refused_field("llama/default", json!({ "num_hidden_layers": 1_000_000_000 }));
    refused_field("llama/default", json!({ "num_key_value_heads": 3 }));
    let text = refused("llama/default", json!({ "num_attention_heads": 4096, "head_dim": 4096 }));
    assert!(text.contains("4096 heads of 4096 are more than 1048576"), "{text}");
    refused_field("llama/default", json!({ "rms_norm_eps": -1.0 }));
}

#[test]
fn odd_heads_are_refused() {
    // Three heads of a row of 64.
    let text =
        refused("llama/default", json!({ "num_attention_heads": 3, "num_key_value_heads": 3 }));
    assert!(text.contains("head_dim") && text.contains("64 is not 3 heads"), "{text}");
    let text = refused("llama/default", json!({ "head_dim": 15 }));
    assert!(text.contains("15 elements; an even number"), "{text}");
}

#[test]
fn rope_settings_are_bounded() {
    let scaling = |scaling: Value| json!({ "rope_scaling": scaling });
    for (case, fields) in [
        ("llama/default", json!({ "rope_theta": 0.0 })),
        ("llama/default", json!({ "rope_theta": 1e30 })),
        ("llama/default", json!({ "partial_rotary_factor": 0.0 })),
        ("llama/default", json!({ "partial_rotary_factor": 2.0 })),
        ("llama/default", scaling(json!({ "type": "linear" }))),
        ("llama/default", scaling(json!({ "type": "linear", "factor": 0.0 }))),
        ("llama/default", scaling(json!({ "type": "linear", "factor": 1e20 }))),
        ("llama/default", scaling(json!({ "type": "dynamic", "factor": 2.0 }))),
        ("llama/default", scaling(json!({ "type": 7 }))),
        ("llama/default", scaling(json!("linear"))),
        ("llama/default", scaling(json!({ "rope_type": "llama3", "factor": 8.0 }))),
        (
            "llama/default",
            scaling(json!({
                "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0, "high_freq_factor": 4.0
            })),
        ),
        ("llama/default", scaling(json!({ "type": "yarn", "factor": 4.0, "beta_fast": -1.0 }))),
        (
            "llama/default",
            scaling(json!({ "type": "yarn", "original_max_position_embeddings": 0 })),
        ),
        (
            "phi3/default",
            scaling(json!({ "type": "longrope", "short_factor": [1.0], "long_factor": [1.0] })),
        ),
        (
            "phi3/default",
            scaling(
                json!({ "type": "su", "short_factor": vec![0.0; 8], "long_factor": vec![1.0; 8] }),
            ),
        ),
        ("phi3/default", scaling(json!({ "type": "longrope" }))),
    ] {
        refused_field(case, fields);
    }
}

#[test]
fn a_missing_base_is_an_error_where_there_is_no_default() {
    refused_field("qwen2/default", json!({ "rope_theta": null }));
    Case::new("llama/default").with(json!({ "rope_theta": null })).open(None).unwrap();
}

#[test]
fn windows_and_layer_types_are_checked() {
    refused_field("mistral/window", json!({ "sliding_window": 0 }));
    refused_field("gemma3/types_v5", json!({ "layer_types": ["full_attention"] }));
    let kinds = ["sliding_attention", "linear_attention", "full_attention"];
    refused_field("gemma3/types_v5", json!({ "layer_types": kinds }));
    let text = refused(
        "qwen2/window",
        json!({ "sliding_window": null, "layer_types": ["full_attention", "sliding_attention"] }),
    );
    assert!(text.contains("\"sliding_window\": missing"), "{text}");
}

#[test]
fn what_a_family_does_not_do_is_refused() {
    refused_field("llama/default", json!({ "hidden_act": "relu2" }));
    refused_field("gemma3/default", json!({ "use_bidirectional_attention": true }));
    refused_field("gemma3/default", json!({ "attn_logit_softcapping": 50.0 }));
    refused_field("gemma2/default", json!({ "final_logit_softcapping": 0.0 }));
    refused_field("gemma2/default", json!({ "query_pre_attn_scalar": 0 }));
}

#[test]
fn recurrent_layers_are_bounded() {
    for (case, field) in [
        ("mamba2/default", "num_heads"),
        ("mamba2/default", "head_dim"),
        ("mamba2/default", "n_groups"),
        ("mamba2/default", "state_size"),
        ("mamba2/default", "conv_kernel"),
        ("mamba2/default", "expand"),
        ("mamba2/default", "layer_norm_epsilon"),
        ("falcon_h1/default", "mamba_n_heads"),
        ("falcon_h1/default", "mamba_n_groups"),
        ("falcon_h1/default", "mamba_d_ssm"),
        ("falcon_h1/default", "max_position_embeddings"),
        ("lfm2/default", "conv_L_cache"),
        ("lfm2/default", "intermediate_size"),
        ("lfm2/default", "block_multiple_of"),
        ("lfm2/default", "norm_eps"),
    ] {
        for value in [json!(-1), json!(1_000_000_000_000u64), json!("8")] {
            refused_field(case, json!({ field: value }));
        }
    }
    refused_field("mamba2/default", json!({ "n_groups": 4 }));
    let heads = json!({ "mamba_n_heads": 7, "mamba_n_groups": 7 });
    let text = refused("falcon_h1_tied/default", heads);
    assert!(text.contains("\"mamba_n_heads\": 96 elements are not 7 heads"), "{text}");
    let text = refused("mamba2/default", json!({ "num_heads": 4096, "head_dim": 4096 }));
    assert!(text.contains("4096 heads of 4096 by 16 are more than"), "{text}");
    let inf = json!({ "__float__": "Infinity" });
    for limit in [json!([0.1]), json!([0.2, 0.1]), json!([-1.0, 1.0]), json!([inf, inf]), json!(1)]
    {
        refused_field("mamba2/default", json!({ "time_step_limit": limit }));
    }
    refused_field("mamba2/default", json!({ "hidden_act": "tanh" }));
    refused_field("falcon_h1/default", json!({ "ssm_multipliers": [1.0, 2.0] }));
    refused_field("falcon_h1/default", json!({ "mlp_multipliers": [1.0] }));
    refused_field("lfm2/default", json!({ "layer_types": ["conv", "mamba", "conv"] }));
    refused_field("lfm2/indices", json!({ "full_attn_idxs": [3] }));
    refused_field("lfm2/default", json!({ "block_ffn_dim_multiplier": 0.0 }));
}

#[test]
fn what_hybrids_do_not_do_is_refused() {
    let default = "nemotron_h/default";
    for pattern in ["ME*XM", "", "mE*EM"] {
        refused_field(default, json!({ "hybrid_override_pattern": pattern }));
    }
    refused_field(default, json!({ "hybrid_override_pattern": "M".repeat(5000) }));
    refused_field(default, json!({ "hybrid_override_pattern": null }));
    let kinds = ["linear_attention", "sliding_attention"];
    refused_field("nemotron_h/ungrouped_v5", json!({ "layers_block_type": kinds }));
    refused_field(default, json!({ "moe_latent_size": 16 }));
    refused_field(default, json!({ "sliding_window": 16 }));
    refused_field(default, json!({ "mlp_hidden_act": "silu" }));
    refused_field(default, json!({ "mamba_hidden_act": "relu2" }));
    refused_field(default, json!({ "n_routed_experts": 0 }));
    refused_field(default, json!({ "num_experts_per_tok": 9 }));
    refused_field(default, json!({ "n_group": 3 }));
    refused_field(default, json!({ "topk_group": 5 }));
    let text = refused(default, json!({ "mamba_num_heads": 5 }));
    assert!(text.contains("\"n_groups\": 2 does not divide the 5 heads"), "{text}");
    // Three experts of one group of two.
    let text = refused(default, json!({ "topk_group": 1 }));
    assert!(text.contains("3 experts from 1 of 4 groups"), "{text}");
    let default = "granitemoehybrid/default";
    refused_field(default, json!({ "position_embedding_type": "alibi" }));
    refused_field(default, json!({ "layer_types": ["mamba", "attention", "conv"] }));
    refused_field(default, json!({ "layer_types": ["mamba"] }));
    refused_field(default, json!({ "hidden_act": "relu2" }));
    refused_field(default, json!({ "logits_scaling": 0 }));
    refused_field(default, json!({ "num_local_experts": -1 }));
    refused_field(default, json!({ "num_experts_per_tok": 6 }));
    refused_field(default, json!({ "shared_intermediate_size": 0 }));
}

#[test]
fn unknown_architectures_are_named() {
    let text = refused("llama/default", json!({ "model_type": "mamba9" }));
    assert!(text.contains("\"mamba9\" is not supported") && text.contains("qwen3"), "{text}");
    let text =
        refused("llama/default", json!({ "architectures": ["LlamaForSequenceClassification"] }));
    assert!(text.contains("LlamaForSequenceClassification"), "{text}");
    refused_field("llama/default", json!({ "model_type": null }));
}

#[test]
fn tensors_must_have_the_configured_shape() {
    // The configuration asks for more, or less, than there is.
    for (field, value, tensor) in [
        ("vocab_size", 97, "model.embed_tokens.weight"),
        ("intermediate_size", 95, "model.layers.0.mlp.gate_proj.weight"),
        ("hidden_size", 128, "model.embed_tokens.weight"),
        ("num_key_value_heads", 1, "model.layers.0.self_attn.k_proj.weight"),
    ] {
        let text = refused("llama/default", json!({ field: value }));
        assert!(text.contains(tensor) && text.contains("asks for"), "{text}");
    }
    let text = refused("phi3/default", json!({ "num_key_value_heads": 4 }));
    assert!(text.contains("model.layers.0.self_attn.qkv_proj.weight is [128, 64]"), "{text}");
}

#[test]
fn tensors_must_be_there_and_be_used() {
    let text = refused("llama/default", json!({ "num_hidden_layers": 3 }));
    assert!(text.contains("model.layers.2.input_layernorm.weight is missing"), "{text}");
    let text = refused("llama/default", json!({ "num_hidden_layers": 1 }));
    assert!(text.contains("9 tensors are not used") && text.contains("model.layers.1."), "{text}");
    let text = refused("llama/default", json!({ "tie_word_embeddings": false }));
    assert!(text.contains("lm_head.weight is missing"), "{text}");
    let text = refused("llama_bias/default", json!({ "attention_bias": false }));
    assert!(text.contains("8 tensors") && text.contains("k_proj.bias"), "{text}");
    // A copy of a tied embedding is what some tools write.
    Case::new("llama_untied/default")
        .with(json!({ "tie_word_embeddings": true }))
        .open(None)
        .unwrap();
}

#[test]
fn a_weight_of_integers_is_refused() {
    let case = Case::new("llama_bias/default").with_tensors(|tensors| {
        let norm = tensors.iter_mut().find(|t| t.name == "model.norm.weight").unwrap();
        norm.dtype = Dtype::I16;
    });
    let error = case.open(None).unwrap_err();
    assert!(matches!(error, Error::Quant { .. }), "{error}");
    assert!(error.to_string().contains("model.norm.weight"), "{error}");
}

/// Every field of every family's configuration, and of the objects inside it, set to what nobody
/// expects: an error or a model, never a panic.
#[test]
fn no_configuration_panics() {
    let nasty = [
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(-1),
        json!(3),
        json!(u64::MAX),
        json!(1e300),
        json!(1e-300),
        json!(""),
        json!("default"),
        json!([]),
        json!([1e30, -1e30]),
        json!({}),
        json!({ "rope_type": "yarn", "type": "longrope", "factor": 1e6 }),
    ];
    for case in [
        "llama/llama3",
        "llama/yarn_factor",
        "mistral/window",
        "qwen2/yarn_v5",
        "qwen3/window_v5",
        "gemma2/default",
        "gemma3/types_v5",
        "phi3_partial/longrope_v5",
        "packings/mlx_g32",
        "mamba2/default",
        "falcon_h1_tied/default",
        "lfm2/indices",
        "lfm2_moe/default",
        "qwen3_moe_steps/default",
        "gpt_oss/default",
        "qwen3_next/unnormalised_v5",
        "qwen3_5_moe_mlx/default",
        "olmo2_tied/default_v5",
        "granitemoehybrid/rope_v5",
        "nemotron_h/default",
        "nemotron_h/ungrouped_v5",
    ] {
        let folder = Case::new(case);
        let path = folder.folder.path().join("config.json");
        let original = common::json(&path);
        for pointer in pointers(&original) {
            for value in &nasty {
                let mut config = original.clone();
                *config.pointer_mut(&pointer).unwrap() = value.clone();
                std::fs::write(&path, config.to_string()).unwrap();
                if let Ok(checkpoint) = Checkpoint::open(folder.folder.path()) {
                    let _ = tessera_models::open(&checkpoint, &BuildOptions::default());
                }
            }
        }
    }
}

/// Paths of all fields, those of objects inside included.
fn pointers(config: &Value) -> Vec<String> {
    let inner = |(key, value): (&String, &Value)| {
        let mut paths = vec![format!("/{}", key.replace('/', "~1"))];
        if value.is_object() {
            let below = pointers(value).into_iter().map(|rest| format!("{}{rest}", paths[0]));
            paths.extend(below.collect::<Vec<_>>());
        }
        paths
    };
    config.as_object().into_iter().flatten().flat_map(inner).collect()
}
