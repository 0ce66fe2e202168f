//! How mixtures of experts are read and bound: what is refused, what is passed over, and how long it takes.

mod common;

use std::time::Instant;

use common::{Case, Golden, logits, max_error};
use serde_json::{Value, json};
use tessera_formats::{Dtype, Tensor};
use tessera_models::{Bound, Error};

fn refused(case: Case, fields: Value) -> Error {
    let error = case.with(fields.clone()).open(None);
    let error = error.err().unwrap_or_else(|| panic!("{fields} was accepted"));
    println!("{error}");
    error
}

#[test]
fn fields_are_bounded() {
    for (case, fields) in [
        ("qwen3_moe/default", json!({ "num_experts": 0 })),
        ("qwen3_moe/default", json!({ "num_experts": 1_000_000 })),
        ("qwen3_moe/default", json!({ "num_experts_per_tok": 7 })),
        ("qwen3_moe/default", json!({ "num_experts_per_tok": null })),
        ("qwen3_moe/default", json!({ "moe_intermediate_size": 0 })),
        ("qwen3_moe/default", json!({ "decoder_sparse_step": 0 })),
        ("qwen3_moe/default", json!({ "mlp_only_layers": [-1] })),
        ("qwen3_moe/default", json!({ "hidden_act": "relu2" })),
        ("qwen3_moe/default", json!({ "scoring_func": "sparsemax" })),
        ("mixtral/default", json!({ "scoring_func": "sigmoid" })),
        ("mixtral/default", json!({ "num_local_experts": 1e9 })),
        ("phimoe/default", json!({ "num_experts_per_tok": 3 })),
        ("phimoe/default", json!({ "router_jitter_noise": -0.1 })),
        ("phimoe/default", json!({ "rope_scaling": { "type": "linear", "factor": 2.0 } })),
        ("gpt_oss/default", json!({ "hidden_act": "gelu" })),
        ("gpt_oss/default", json!({ "swiglu_limit": 0.0 })),
        ("gpt_oss/default", json!({ "swiglu_alpha": -1.0 })),
        ("gpt_oss/default", json!({ "layer_types": ["full_attention", "linear_attention"] })),
        ("qwen3_next/default", json!({ "linear_num_key_heads": 4 })),
        ("qwen3_next/default", json!({ "linear_num_value_heads": 4097 })),
        ("qwen3_next/default", json!({ "linear_key_head_dim": 0 })),
        ("qwen3_next/default", json!({ "linear_value_head_dim": 1e9 })),
        ("qwen3_next/default", json!({ "linear_conv_kernel_dim": 1 })),
        ("qwen3_next/default", json!({ "shared_expert_intermediate_size": null })),
        ("qwen3_next/default", json!({ "full_attention_interval": 0 })),
        ("qwen3_5/default", json!({ "layer_types": ["mamba", "mamba", "mamba"] })),
    ] {
        let field = fields.as_object().unwrap().keys().next().unwrap().clone();
        let text = refused(Case::new(case), fields).to_string();
        assert!(text.contains("config.json") && text.contains(&field), "{text}");
    }
    let huge = json!({ "num_experts": 4096, "num_hidden_layers": 1024 });
    let text = refused(Case::new("qwen3_moe/default"), huge).to_string();
    assert!(text.contains("4096 in each of 1024 layers"), "{text}");
}

/// Stacks with more or fewer experts than the configuration, or of another size, are refused; as are missing
/// and superfluous experts where each is by itself.
#[test]
fn experts_are_counted() {
    for case in ["qwen3_5_moe/default", "qwen3_moe_mlx/default", "gpt_oss/default"] {
        for wrong in [2, 100] {
            let key = if case.starts_with("gpt") { "num_local_experts" } else { "num_experts" };
            // the router is met first: make it fit
            let stored = Case::new(case).with_tensors(|tensors| {
                for tensor in tensors.iter_mut().filter(|t| router(&t.name)) {
                    resize(tensor, wrong);
                }
            });
            let error = refused(stored, json!({ key: wrong }));
            assert!(
                matches!(error, Error::Experts { expected, .. } if expected == wrong),
                "{error}"
            );
        }
    }
    let error = refused(Case::new("qwen3_5_moe/default"), json!({ "moe_intermediate_size": 15 }));
    assert!(
        matches!(&error, Error::Shape { tensor, .. } if tensor.ends_with("gate_up_proj")),
        "{error}"
    );
    let one_less = |name: &'static str| {
        Case::new("qwen3_moe/default").with_tensors(|t| t.retain(|t| !t.name.contains(name)))
    };
    let error = refused(one_less(".1.mlp.experts.4.up_proj"), json!({}));
    let text = "model.layers.1.mlp.experts.4.up_proj.weight is missing";
    assert!(error.to_string().contains(text), "{error}");
    let case = Case::new("qwen3_moe/default").with_tensors(|tensors| {
        for tensor in tensors.iter_mut().filter(|t| router(&t.name)) {
            resize(tensor, 5);
        }
    });
    let error = refused(case, json!({ "num_experts": 5 }));
    assert!(matches!(error, Error::UnusedTensors { count: 6, .. }), "{error}");
}

fn router(name: &str) -> bool {
    let name = name.rsplit_once('.').map_or(name, |(module, _)| module);
    name.ends_with(".gate") || name.ends_with(".router")
}

/// The first dimension made another, with as many bytes as that takes.
fn resize(tensor: &mut Tensor, first: usize) {
    tensor.shape[0] = first;
    let bytes = vec![0; tensor.dtype.bytes(&tensor.shape).unwrap()];
    tensor.bytes = bytes.into();
}

#[test]
fn blocks_of_another_shape_are_refused() {
    for edit in [
        |t: &mut Tensor| t.shape = vec![t.shape[0], t.shape[1], t.shape[2] * 16],
        |t: &mut Tensor| t.dtype = Dtype::I8,
    ] {
        let case = Case::new("gpt_oss/default").with_tensors(|tensors| {
            let name = "model.layers.0.mlp.experts.gate_up_proj_blocks";
            edit(tensors.iter_mut().find(|t| t.name == name).unwrap());
        });
        let error = refused(case, json!({}));
        assert!(matches!(error, Error::Blocks { .. }), "{error}");
    }
}

/// What guesses further tokens is passed over; what merely looks like it is not.
#[test]
fn further_heads_are_passed_over() {
    let with = |name: &str| {
        Case::new("qwen3_next/default").with_tensors(|tensors| {
            tensors.push(Tensor { name: name.into(), ..tensors[0].clone() });
        })
    };
    for prefix in ["mtp.", "model.mtp.", "language_model.mtp."] {
        let name = format!("{prefix}layers.0.mlp.experts.0.up_proj.weight");
        let info = with(&name).open(None).unwrap().info;
        assert_eq!((info.guessing_tensors, info.layers), (1, 3), "{name}");
    }
    let error = refused(with("model.layers.0.mtp.weight"), json!({}));
    assert!(matches!(error, Error::UnusedTensors { count: 1, .. }), "{error}");
}

/// Qwen3.5 as published: the text model's fields inside `text_config`, its tensors below
/// `model.language_model.`, others beside; whether the head is tied may be said outside alone.
#[test]
fn a_nested_text_model_is_the_same() {
    let case = Case::new("qwen3_5_tied/default").with_tensors(|tensors| {
        for tensor in tensors.iter_mut() {
            tensor.name = tensor.name.replacen("model.", "model.language_model.", 1);
        }
        for name in ["model.visual.merger.weight", "mtp.fc.weight"] {
            tensors.push(Tensor { name: name.into(), ..tensors[0].clone() });
        }
    });
    let path = case.folder.path().join("config.json");
    let mut text: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    text.as_object_mut().unwrap().remove("tie_word_embeddings");
    let whole = json!({
        "model_type": "qwen3_5",
        "architectures": ["Qwen3_5ForConditionalGeneration"],
        "tie_word_embeddings": true,
        "text_config": text,
    });
    std::fs::write(&path, whole.to_string()).unwrap();
    let (model, golden) = (case.open(None).unwrap(), Golden::of("qwen3_5_tied/default"));
    let found = logits(&model.graph, &model.weights, &golden.tokens, &[]);
    assert!(max_error(&found, &golden.logits) <= 2e-4);
}

/// Experts share their stack's bytes: nothing is copied.
#[test]
fn stacks_are_not_copied() {
    for case in ["qwen3_5_moe/default", "qwen3_moe_mlx/default", "gpt_oss/default"] {
        let Bound { graph, weights, .. } = Case::new(case).open(None).unwrap();
        let find = |name: &str| {
            let index = graph.weights.iter().position(|w| w.name == name).unwrap();
            weights.0[index].codes.as_ptr() as usize
        };
        let name = |e: usize| format!("model.layers.0.mlp.experts.{e}.down_proj.weight");
        let [a, b, c] = [0, 1, 2].map(|e| find(&name(e)));
        assert!(b > a && c - b == b - a, "{case}");
    }
}

/// The 18,432 matrices of a Qwen3-30B-A3B, tiny ones, in stacks and by themselves.
#[test]
fn thousands_of_experts_bind() {
    const LAYERS: usize = 48;
    const EXPERTS: usize = 128;
    const WIDE: usize = 16;
    let fields = json!({
        "num_hidden_layers": LAYERS, "num_experts": EXPERTS, "hidden_size": WIDE,
        "moe_intermediate_size": WIDE, "vocab_size": WIDE, "num_attention_heads": 1,
        "num_key_value_heads": 1, "head_dim": WIDE, "tie_word_embeddings": true,
        "quantization": null, "quantization_config": null,
    });
    for stacked in [true, false] {
        let case = Case::new("qwen3_moe/default").with(fields.clone()).with_tensors(|tensors| {
            tensors.clear();
            let mut add = |name: String, shape: Vec<usize>| {
                let bytes = vec![0; 2 * shape.iter().product::<usize>()];
                tensors.push(Tensor { name, dtype: Dtype::BF16, shape, bytes: bytes.into() });
            };
            add("model.embed_tokens.weight".into(), vec![WIDE, WIDE]);
            add("model.norm.weight".into(), vec![WIDE]);
            for layer in (0..LAYERS).map(|i| format!("model.layers.{i}")) {
                for norm in [
                    "input_layernorm",
                    "post_attention_layernorm",
                    "self_attn.q_norm",
                    "self_attn.k_norm",
                ] {
                    add(format!("{layer}.{norm}.weight"), vec![WIDE]);
                }
                for name in ["q_proj", "k_proj", "v_proj", "o_proj"] {
                    add(format!("{layer}.self_attn.{name}.weight"), vec![WIDE, WIDE]);
                }
                add(format!("{layer}.mlp.gate.weight"), vec![EXPERTS, WIDE]);
                for name in ["gate_proj", "up_proj", "down_proj"] {
                    if stacked {
                        add(
                            format!("{layer}.mlp.switch_mlp.{name}.weight"),
                            vec![EXPERTS, WIDE, WIDE],
                        );
                        continue;
                    }
                    for e in 0..EXPERTS {
                        add(format!("{layer}.mlp.experts.{e}.{name}.weight"), vec![WIDE, WIDE]);
                    }
                }
            }
        });
        let checkpoint = tessera_formats::Checkpoint::open(case.folder.path()).unwrap();
        let start = Instant::now();
        let bound = tessera_models::open(&checkpoint, &Default::default()).unwrap();
        // for whoever asks; less than a tenth of a second of work
        println!("stacked: {stacked}: {:?}", start.elapsed());
        assert!(bound.weights.0.len() > 18_432);
    }
}

/// gpt-oss in plain floats has a row an input, which is told from a row an output by the biases beside it: nothing is
/// copied, and a stack that lies the other way is refused where its shape shows it.
#[test]
fn stacks_with_a_row_an_input_are_read_in_place() {
    let name = "model.layers.1.mlp.experts.gate_up_proj";
    let case = Case::new("gpt_oss_dense/default");
    let model = case.open(None).unwrap();
    let find = |name: &str| {
        let index = model.graph.weights.iter().position(|w| w.name == name).unwrap();
        &model.weights.0[index]
    };
    let [gate, up] = ["gate", "up"]
        .map(|part| find(&format!("model.layers.1.mlp.experts.2.{part}_proj.weight")));
    assert_eq!(gate.codes.as_ptr(), up.codes.as_ptr());
    let stored = {
        let path = case.folder.path().join("model.safetensors");
        let file = tessera_formats::safetensors::File::open(&path).unwrap();
        let tensor = file.tensors.into_iter().find(|t| t.name == name).unwrap();
        tessera_quant::Weight::from_tensor(&tensor).unwrap()
    };
    let (mut row, mut input) = (vec![0.0; 64], vec![0.0; 128]);
    stored.decode_row(2 * 64 + 5, &mut input);
    for (weight, column) in [(gate, 2 * 7), (up, 2 * 7 + 1)] {
        weight.decode_row(7, &mut row);
        assert_eq!(row[5], input[column]);
    }
    let turned = case.with_tensors(|tensors| {
        tensors.iter_mut().find(|t| t.name == name).unwrap().shape = vec![3, 128, 64];
    });
    let error = refused(turned, json!({}));
    assert!(matches!(&error, Error::Shape { tensor, .. } if tensor == name), "{error}");
}
