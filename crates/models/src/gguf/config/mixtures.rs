//! Metadata of mixtures of experts, and of layers with a gated delta rule.

use serde_json::{Map, Value, json};
use tessera_formats::gguf::Gguf;

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
    let known = ["llama", "qwen3moe", "gpt-oss", "qwen3next"];
    if !known.contains(&arch) {
        return Ok(());
    }
    let number = |key: &str| meta.opt_u64(&format!("{arch}.{key}"));
    for (key, field) in NUMBERS {
        fields.insert(field.into(), json!(number(key)?));
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
        "qwen3next" => {
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

/// The format gives the width of all heads together, and which layers have them by truth values.
fn delta(file: &Gguf, arch: &str, fields: &mut Map<String, Value>) -> Result<()> {
    let meta = &file.metadata;
    let key = format!("{arch}.nextn_predict_layers");
    if meta.opt_u64(&key)?.is_some_and(|layers| layers > 0) {
        return Err(meta.error(&key, "is not supported: convert without them").into());
    }
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
        let kinds: Vec<&str> = recurrent.into_iter().map(kind).collect();
        fields.insert("layer_types".into(), kinds.into());
    }
    Ok(())
}
