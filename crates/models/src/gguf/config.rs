//! Metadata as a configuration.

use serde_json::{Map, Value, json};
use tessera_formats::{
    Config, Tensor,
    gguf::{Gguf, Metadata},
};

use super::rope;
use crate::{Result, families};

/// Metadata keys of whole numbers, below the architecture's name, and the fields they become. Bounds
/// are checked where the fields are read.
const NUMBERS: [(&str, &str); 6] = [
    ("embedding_length", "hidden_size"),
    ("context_length", "max_position_embeddings"),
    ("attention.key_length", "head_dim"),
    ("attention.head_count", "num_attention_heads"),
    ("attention.head_count_kv", "num_key_value_heads"),
    ("feed_forward_length", "intermediate_size"),
];

/// Architectures whose `model_type` is another.
const RENAMED: [(&str, &str); 10] = [
    ("gemma3", "gemma3_text"),
    ("falcon-h1", "falcon_h1"),
    ("granitehybrid", "granitemoehybrid"),
    ("nemotron_h_moe", "nemotron_h"),
    ("qwen3moe", "qwen3_moe"),
    ("qwen3next", "qwen3_next"),
    ("qwen35", "qwen3_5"),
    ("qwen35moe", "qwen3_5_moe"),
    ("gpt-oss", "gpt_oss"),
    ("lfm2moe", "lfm2_moe"),
];

/// Field with the number of layers, behind the model's, that guess further tokens.
pub(super) const FURTHER: &str = "num_nextn_predict_layers";

/// Metadata keys of the tokens that end an answer.
const STOPS: [&str; 3] =
    ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"];

/// The configuration of a file; `origin` names it in errors. Absent keys stay absent, so that the family decides what is missing.
pub(crate) fn config(file: &Gguf, origin: &str) -> Result<Config> {
    let meta = &file.metadata;
    let arch = meta.str("general.architecture")?;
    // One family's files have two names.
    families::check_gguf(if arch == "nemotron_h_moe" { "nemotron_h" } else { arch }, origin)?;
    let mut fields = Map::new();
    fields.insert("model_type".into(), model_type(meta, arch)?.into());
    for (key, field) in NUMBERS {
        if let Some(number) = uniform(meta, &format!("{arch}.{key}"))? {
            fields.insert(field.into(), number.into());
        }
    }
    if let Some(Layers { own, further }) = layers(meta, arch)? {
        fields.insert("num_hidden_layers".into(), own.into());
        fields.insert(FURTHER.into(), further.into());
    }
    check_value_length(meta, arch)?;
    if let Some(eps) = meta.opt_f32(&format!("{arch}.attention.layer_norm_rms_epsilon"))? {
        fields.insert("rms_norm_eps".into(), eps.into());
    }
    if let Some(embedding) = file.tensor("token_embd.weight") {
        fields.insert("vocab_size".into(), embedding.shape[0].into());
    }
    fields.insert("tie_word_embeddings".into(), file.tensor("output.weight").is_none().into());
    let has = |tensor| Value::from(file.tensor(tensor).is_some());
    let biased = |tensor: &Tensor| tensor.name.ends_with(".attn_q.bias");
    fields.insert("attention_bias".into(), file.tensors.iter().any(biased).into());
    fields.insert("mlp_bias".into(), has("blk.0.ffn_gate.bias"));
    fields.insert("eos_token_id".into(), stops(meta)?.into());
    attention(meta, arch, &mut fields)?;
    rope::rope(file, arch, &mut fields)?;
    recurrent::recurrent(file, arch, &mut fields)?;
    mixtures::mixtures(file, arch, &mut fields)?;
    Ok(Config::from_json(Value::Object(fields), format!("{origin}, metadata"))?)
}

/// How many layers a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layers {
    /// Those of the model.
    own: u64,
    /// Those behind them, which guess further tokens.
    further: u64,
}

/// The layers of a file, where it says; the format counts all of them together.
fn layers(meta: &Metadata, arch: &str) -> Result<Option<Layers>> {
    let Some(all) = meta.opt_u64(&format!("{arch}.block_count"))? else { return Ok(None) };
    let key = format!("{arch}.nextn_predict_layers");
    let further = meta.opt_u64(&key)?.unwrap_or(0);
    match all.checked_sub(further) {
        Some(own) if own > 0 || further == 0 => Ok(Some(Layers { own, further })),
        _ => {
            let problem = format!("{further} of {all} layers leave none for the model");
            Err(meta.error(&key, problem).into())
        }
    }
}

/// Our name of an architecture.
fn model_type<'a>(meta: &Metadata, arch: &'a str) -> Result<&'a str> {
    if let Some((_, ours)) = RENAMED.iter().find(|(theirs, _)| *theirs == arch) {
        return Ok(ours);
    }
    // Mixtral's files are those of a Llama with experts.
    let experts = meta.opt_u64("llama.expert_count")?.unwrap_or(0);
    Ok(if arch == "llama" && experts > 0 { "mixtral" } else { arch })
}

/// A number, or a list with a number for each layer, the same for all that do not have zero (which is how a layer
/// says that it has none).
fn uniform(meta: &Metadata, key: &str) -> Result<Option<u64>> {
    let Some(mut numbers) = meta.opt_u64s(key)? else { return Ok(None) };
    if numbers.len() > 1 {
        numbers.retain(|&n| n > 0);
    }
    match numbers.first() {
        None => Ok(None),
        Some(first) if numbers.iter().all(|n| n == first) => Ok(Some(*first)),
        _ => Err(meta.error(key, "differs from layer to layer, which is not supported").into()),
    }
}

fn check_value_length(meta: &Metadata, arch: &str) -> Result<()> {
    let (key, value) =
        (format!("{arch}.attention.key_length"), format!("{arch}.attention.value_length"));
    match (meta.opt_u64(&key)?, meta.opt_u64(&value)?) {
        (Some(k), Some(v)) if k != v => {
            let problem = format!("{v} differs from key_length, {k}, which is not supported");
            Err(meta.error(&value, problem).into())
        }
        _ => Ok(()),
    }
}

fn stops(meta: &Metadata) -> Result<Vec<u64>> {
    let ids = STOPS.iter().filter_map(|key| meta.opt_u64(key).transpose());
    Ok(ids.collect::<Result<_, _>>()?)
}

/// Windows and soft caps. What the format leaves out is what the published models have.
fn attention(meta: &Metadata, arch: &str, fields: &mut Map<String, Value>) -> Result<()> {
    // Zero is how a file says that there is none.
    let window = uniform(meta, &format!("{arch}.attention.sliding_window"))?.filter(|&w| w > 0);
    fields.insert("sliding_window".into(), json!(window));
    if arch == "gemma3" && window.is_none() {
        fields.insert("sliding_window_pattern".into(), 1.into());
    } else if arch.starts_with("gemma") {
        pattern(meta, &format!("{arch}.attention.sliding_window_pattern"), fields)?;
    }
    let cap = |key: &str| meta.opt_f32(&format!("{arch}.{key}"));
    let caps = (cap("attn_logit_softcapping")?, cap("final_logit_softcapping")?);
    let defaults = if arch == "gemma2" { (Some(50.0), Some(30.0)) } else { (None, None) };
    fields.insert("attn_logit_softcapping".into(), json!(caps.0.or(defaults.0)));
    fields.insert("final_logit_softcapping".into(), json!(caps.1.or(defaults.1)));
    if let Some(scalar) = query_scalar(meta, arch)? {
        fields.insert("query_pre_attn_scalar".into(), scalar.into());
    }
    Ok(())
}

/// Which layers have the window: a truth value for each, or a period; most files say neither.
fn pattern(meta: &Metadata, key: &str, fields: &mut Map<String, Value>) -> Result<()> {
    match meta.get(key) {
        None => {}
        Some(tessera_formats::gguf::Value::Array(_)) => {
            let sliding = meta.opt_bools(key)?.unwrap_or_default();
            let kind = |sliding| if sliding { "sliding_attention" } else { "full_attention" };
            let kinds: Vec<&str> = sliding.into_iter().map(kind).collect();
            fields.insert("layer_types".into(), kinds.into());
        }
        Some(_) => {
            fields.insert("sliding_window_pattern".into(), json!(meta.opt_u64(key)?));
        }
    }
    Ok(())
}

/// What queries are divided by the root of. The format has no key for it: it is the width of a head,
/// but in the two 27B models the width of the residual stream for each head.
fn query_scalar(meta: &Metadata, arch: &str) -> Result<Option<u64>> {
    let large = match arch {
        "gemma2" => 46,
        "gemma3" => 62,
        _ => return Ok(None),
    };
    let number = |key: &str| uniform(meta, &format!("{arch}.{key}"));
    if number("block_count")? != Some(large) {
        return number("attention.key_length");
    }
    let width = number("embedding_length")?.zip(number("attention.head_count")?);
    Ok(width.and_then(|(hidden, heads)| hidden.checked_div(heads)))
}

mod mixtures;
mod recurrent;
#[cfg(test)]
mod tests;
