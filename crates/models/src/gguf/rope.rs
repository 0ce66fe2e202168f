//! Rotary settings of a GGUF file.

use serde_json::{Map, Value, json};
use tessera_formats::{Dtype, Tensor, gguf::Gguf};

use crate::Result;

/// Adds `rope_theta`, `partial_rotary_factor` and `rope_scaling`, as far as the file has them.
pub(super) fn rope(file: &Gguf, arch: &str, fields: &mut Map<String, Value>) -> Result<()> {
    let meta = &file.metadata;
    let number = |key: &str| meta.opt_f32(&format!("{arch}.rope.{key}"));
    for (key, field) in [("freq_base", "rope_theta"), ("freq_base_swa", "rope_local_base_freq")] {
        if let Some(base) = number(key)? {
            fields.insert(field.into(), base.into());
        }
    }
    if let Some(rotary) = meta.opt_u64(&format!("{arch}.rope.dimension_count"))? {
        partial(rotary, fields);
    }
    let mut scaling = Map::new();
    if let Some(original) = meta.opt_u64(&format!("{arch}.rope.scaling.original_context_length"))? {
        scaling.insert("original_max_position_embeddings".into(), original.into());
    }
    let attention = number("scaling.attn_factor")?;
    let (long, short) =
        (divisors(file, "rope_factors_long.weight")?, divisors(file, "rope_factors_short.weight")?);
    if long.is_some() || short.is_some() {
        scaling.insert("rope_type".into(), "longrope".into());
        scaling.insert("long_factor".into(), json!(long));
        scaling.insert("short_factor".into(), json!(short));
        scaling.insert("attention_factor".into(), json!(attention));
    } else if let Some(divisors) = divisors(file, "rope_freqs.weight")? {
        // How Llama 3.1's stretching is stored: already worked out.
        scaling.insert("rope_type".into(), "divided".into());
        scaling.insert("divisors".into(), json!(divisors));
    } else {
        let kind = match meta.opt_str(&format!("{arch}.rope.scaling.type"))? {
            Some("none") | None => "default",
            Some(kind) => kind,
        };
        let factor = number("scaling.factor")?;
        scaling.insert("rope_type".into(), kind.into());
        scaling.insert("factor".into(), json!(factor.filter(|&f| f != 0.0)));
        scaling.insert("beta_fast".into(), json!(number("scaling.yarn_beta_fast")?));
        scaling.insert("beta_slow".into(), json!(number("scaling.yarn_beta_slow")?));
        if let (Some(extra), Some(factor)) = (attention, factor) {
            // In this format the factor comes on top of YaRN's own.
            let own = 1.0 + 0.1 * factor.max(1.0).ln();
            scaling.insert("attention_factor".into(), json!(extra * own));
        }
    }
    fields.insert("rope_scaling".into(), scaling.into());
    Ok(())
}

/// The rotated part of a head, where it is not the whole head.
fn partial(rotary: u64, fields: &mut Map<String, Value>) {
    let number = |field: &str| fields.get(field).and_then(Value::as_u64);
    let per_head = || number("hidden_size")?.checked_div(number("num_attention_heads")?);
    let Some(head) = number("head_dim").or_else(per_head) else { return };
    if head > 0 && rotary != head {
        fields.insert("partial_rotary_factor".into(), (rotary as f64 / head as f64).into());
    }
}

/// A tensor of f32 divisors, one for each rotated pair. The longest heads have some hundred.
fn divisors(file: &Gguf, name: &str) -> Result<Option<Vec<f32>>> {
    const MOST: usize = 4096;
    let Some(Tensor { dtype, shape, bytes, .. }) = file.tensor(name) else { return Ok(None) };
    if *dtype != Dtype::F32 || shape.len() != 1 || bytes.len() > 4 * MOST {
        let problem = format!("is {dtype:?} {shape:?}; at most {MOST} F32 divisors are supported");
        return Err(file.metadata.error(name, problem).into());
    }
    let floats = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    Ok(Some(floats.collect()))
}
