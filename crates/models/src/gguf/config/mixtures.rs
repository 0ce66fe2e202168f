//! Metadata of mixtures of experts, and of layers with a gated delta rule.

use serde_json::{Map, Value, json};
use tessera_formats::gguf::Gguf;

use super::Layers;
use crate::Result;

const NUMBERS: [(&str, &str); 10] = [
    ("expert_count", "num_experts"),
    ("expert_used_count", "num_experts_per_tok"),
    ("expert_feed_forward_length", "moe_intermediate_size"),
    ("expert_shared_feed_forward_length", "shared_expert_intermediate_size"),
    ("full_attention_interval", "full_attention_interval"),
    ("ssm.conv_kernel", "linear_conv_kernel_dim"),
    ("ssm.state_size", "linear_key_head_dim"),
    ("ssm.group_count", "linear_num_key_heads"),
    ("ssm.time_step_rank", "linear_num_value_heads"),
    ("ssm.inner_size", "linear_value_head_dim"),
];

/// Adds what the architecture needs beyond the usual fields.
pub(super) fn mixtures(file: &Gguf, arch: &str, fields: &mut Map<String, Value>) -> Result<()> {
    let meta = &file.metadata;
    let known = ["llama", "qwen3moe", "gpt-oss", "qwen3next", "qwen35", "qwen35moe", "lfm2moe"];
    if !known.contains(&arch) {
        return Ok(());
    }
    let number = |key: &str| meta.opt_u64(&format!("{arch}.{key}"));
    for (key, field) in NUMBERS {
        fields.insert(field.into(), json!(number(key)?));
    }
    if arch == "lfm2moe" {
        return biased(file, arch, fields);
    }
    let scoring = number("expert_gating_func")?.filter(|&n| n > 0).map(|n| match n {
        1 => "softmax".to_string(),
        2 => "sigmoid".to_string(),
        n => format!("gating function {n}"),
    });
    fields.insert("scoring_func".into(), json!(scoring));
    match arch {
        // The format has no word for it; the published models all do.
        "qwen3moe" => {
            fields.insert("norm_topk_prob".into(), true.into());
        }
        "qwen3next" | "qwen35" | "qwen35moe" => {
            fields.insert("norm_topk_prob".into(), true.into());
            delta(file, arch, fields)?;
        }
        // Nor for this.
        "gpt-oss" => {
            if let Some(Value::Object(scaling)) = fields.get_mut("rope_scaling") {
                scaling.insert("truncate".into(), false.into());
            }
        }
        _ => {}
    }
    Ok(())
}

/// A mixture whose router has a bias for the choice. What the format has no word for is as in all published models.
fn biased(file: &Gguf, arch: &str, fields: &mut Map<String, Value>) -> Result<()> {
    let meta = &file.metadata;
    let key = format!("{arch}.expert_gating_func");
    match meta.opt_u64(&key)? {
        None | Some(2) => {}
        Some(other) => {
            return Err(meta
                .error(&key, format!("{other} is not supported; 2 (sigmoid) is"))
                .into());
        }
    }
    let dense = meta.opt_u64(&format!("{arch}.leading_dense_block_count"))?;
    // Absent, there are none.
    fields.insert("num_dense_layers".into(), dense.unwrap_or(0).into());
    let biased = file.tensors.iter().any(|tensor| tensor.name.ends_with(".exp_probs_b.bias"));
    fields.insert("use_expert_bias".into(), biased.into());
    fields.insert("norm_topk_prob".into(), true.into());
    Ok(())
}

/// The format gives the width of all heads together, and which layers have them by truth values.
fn delta(file: &Gguf, arch: &str, fields: &mut Map<String, Value>) -> Result<()> {
    let meta = &file.metadata;
    let number = |key: &str| meta.opt_u64(&format!("{arch}.ssm.{key}"));
    if let (Some(heads), Some(inner)) = (number("time_step_rank")?, number("inner_size")?) {
        if heads == 0 || inner % heads != 0 {
            let key = format!("{arch}.ssm.inner_size");
            return Err(meta.error(&key, format!("{inner} is not {heads} heads")).into());
        }
        fields.insert("linear_value_head_dim".into(), (inner / heads).into());
    }
    let key = format!("{arch}.attention.recurrent_layers");
    if let Some(recurrent) = meta.opt_bools(&key)? {
        let kind = |linear| if linear { "linear_attention" } else { "full_attention" };
        let mut kinds: Vec<&str> = recurrent.into_iter().map(kind).collect();
        if let Some(Layers { own, further }) = super::layers(meta, arch)?
            && kinds.len() as u64 == own + further
        {
            kinds.truncate(own as usize);
        }
        fields.insert("layer_types".into(), kinds.into());
    }
    Ok(())
}
