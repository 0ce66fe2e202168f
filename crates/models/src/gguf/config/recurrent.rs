//! Metadata of architectures whose layers are not all attention.

use serde_json::{Map, Value, json};
use tessera_formats::gguf::Gguf;

use crate::{Result, blocks::MOST_LAYERS};

/// What our families call the sizes of a state space: heads, elements of one, groups, state, kernel, and whether
/// convolution and projections have biases.
type Keys = [&'static str; 7];

const MAMBA2: Keys =
    ["num_heads", "head_dim", "n_groups", "state_size", "conv_kernel", "use_conv_bias", "use_bias"];
const NEMOTRON: Keys = [
    "mamba_num_heads",
    "mamba_head_dim",
    "n_groups",
    "ssm_state_size",
    "conv_kernel",
    "use_conv_bias",
    "use_bias",
];
const PREFIXED: Keys = [
    "mamba_n_heads",
    "mamba_d_head",
    "mamba_n_groups",
    "mamba_d_state",
    "mamba_d_conv",
    "mamba_conv_bias",
    "mamba_proj_bias",
];

/// Adds what the architecture needs beyond the usual fields.
pub(super) fn recurrent(file: &Gguf, arch: &str, fields: &mut Map<String, Value>) -> Result<()> {
    match arch {
        "mamba2" => {
            rename(fields, "rms_norm_eps", "layer_norm_epsilon");
            state_space(file, arch, MAMBA2, fields)
        }
        "falcon-h1" => {
            // The converter folds all factors into the weights, and the gate always comes first.
            fields.insert("mamba_rms_norm".into(), has(file, "ssm_norm.weight").into());
            fields.insert("mamba_norm_before_gate".into(), false.into());
            fields.insert("projectors_bias".into(), has(file, "ssm_out.bias").into());
            state_space(file, arch, PREFIXED, fields)
        }
        "lfm2" | "lfm2moe" => {
            rename(fields, "rms_norm_eps", "norm_eps");
            let kernel = file.metadata.opt_u64(&format!("{arch}.shortconv.l_cache"))?;
            fields.insert("conv_L_cache".into(), json!(kernel));
            fields.insert("conv_bias".into(), has(file, "shortconv.conv.bias").into());
            // Adjusted already.
            fields.insert("block_auto_adjust_ff_dim".into(), false.into());
            let kinds = kinds(file, arch, ["full_attention", "conv"])?;
            fields.insert("layer_types".into(), kinds.into());
            Ok(())
        }
        "granite" | "granitemoe" => granite(file, arch, fields),
        "granitehybrid" => {
            granite(file, arch, fields)?;
            let rotates = file.metadata.opt_bool(&format!("{arch}.rope.scaling.finetuned"))?;
            let positions = if rotates.unwrap_or(true) { "rope" } else { "nope" };
            fields.insert("position_embedding_type".into(), positions.into());
            let kinds = kinds(file, arch, ["attention", "mamba"])?;
            fields.insert("layer_types".into(), kinds.into());
            state_space(file, arch, PREFIXED, fields)
        }
        "nemotron_h" | "nemotron_h_moe" => nemotron(file, arch, fields),
        _ => Ok(()),
    }
}

fn state_space(file: &Gguf, arch: &str, keys: Keys, fields: &mut Map<String, Value>) -> Result<()> {
    let meta = &file.metadata;
    let number = |key: &str| meta.opt_u64(&format!("{arch}.ssm.{key}"));
    let [heads, head_dim, groups, state, kernel, conv_bias, bias] = keys;
    // The format has a name from Mamba-1 for the number of heads.
    let (ranks, inner) = (number("time_step_rank")?, number("inner_size")?);
    if let (Some(heads), Some(inner)) = (ranks, inner) {
        if heads == 0 || inner % heads != 0 {
            let key = format!("{arch}.ssm.inner_size");
            return Err(meta.error(&key, format!("{inner} is not {heads} heads")).into());
        }
        fields.insert(head_dim.into(), (inner / heads).into());
    }
    for (field, number) in [
        (heads, ranks),
        (groups, number("group_count")?),
        (state, number("state_size")?),
        (kernel, number("conv_kernel")?),
    ] {
        fields.insert(field.into(), json!(number));
    }
    fields.insert(conv_bias.into(), has(file, "ssm_conv1d.bias").into());
    fields.insert(bias.into(), has(file, "ssm_in.bias").into());
    Ok(())
}

fn granite(file: &Gguf, arch: &str, fields: &mut Map<String, Value>) -> Result<()> {
    let meta = &file.metadata;
    for (key, field) in [
        ("embedding_scale", "embedding_multiplier"),
        ("residual_scale", "residual_multiplier"),
        ("attention.scale", "attention_multiplier"),
        ("logit_scale", "logits_scaling"),
    ] {
        fields.insert(field.into(), json!(meta.opt_f32(&format!("{arch}.{key}"))?));
    }
    for (key, field) in [
        ("expert_count", "num_local_experts"),
        ("expert_used_count", "num_experts_per_tok"),
        ("expert_shared_feed_forward_length", "shared_intermediate_size"),
    ] {
        fields.insert(field.into(), json!(meta.opt_u64(&format!("{arch}.{key}"))?));
    }
    Ok(())
}

fn nemotron(file: &Gguf, arch: &str, fields: &mut Map<String, Value>) -> Result<()> {
    let meta = &file.metadata;
    let number = |key: &str| meta.opt_u64(&format!("{arch}.{key}"));
    // Under this name, though there are root-mean-square norms alone.
    let eps = meta.opt_f32(&format!("{arch}.attention.layer_norm_epsilon"))?;
    fields.insert("layer_norm_epsilon".into(), json!(eps));
    // By what it holds: the metadata of a mixture says nothing of layers with plain networks.
    let kind = |layer: usize| {
        let holds = |tensor: &str| file.tensor(&format!("blk.{layer}.{tensor}.weight")).is_some();
        match () {
            () if holds("attn_q") => "full_attention",
            () if holds("ffn_gate_inp") => "moe",
            () if holds("ffn_up") => "mlp",
            () => "linear_attention",
        }
    };
    let kinds: Vec<&str> = (0..layers(file, arch)?).map(kind).collect();
    fields.insert("layers_block_type".into(), kinds.into());
    fields.insert("mlp_bias".into(), has(file, "ffn_up.bias").into());
    for (key, field) in [
        ("expert_count", "n_routed_experts"),
        ("expert_used_count", "num_experts_per_tok"),
        ("expert_feed_forward_length", "moe_intermediate_size"),
        ("expert_shared_feed_forward_length", "moe_shared_expert_intermediate_size"),
        ("expert_group_count", "n_group"),
        ("expert_group_used_count", "topk_group"),
        ("moe_latent_size", "moe_latent_size"),
    ] {
        fields.insert(field.into(), json!(number(key)?));
    }
    let scale = meta.opt_f32(&format!("{arch}.expert_weights_scale"))?;
    fields.insert("routed_scaling_factor".into(), json!(scale));
    let normalise = meta.opt_bool(&format!("{arch}.expert_weights_norm"))?;
    fields.insert("norm_topk_prob".into(), json!(normalise.unwrap_or(false)));
    state_space(file, arch, NEMOTRON, fields)
}

/// What each layer is, `[attends, else]`: the one if it has key/value heads.
fn kinds(
    file: &Gguf,
    arch: &str,
    [attends, other]: [&'static str; 2],
) -> Result<Vec<&'static str>> {
    let meta = &file.metadata;
    let (layers, key) = (layers(file, arch)?, format!("{arch}.attention.head_count_kv"));
    let all = meta.u64(&format!("{arch}.block_count"))?;
    let heads = match meta.opt_u64s(&key)?.unwrap_or_default() {
        heads if heads.len() == layers => heads,
        heads if heads.len() as u64 == all => heads[..layers].to_vec(),
        heads if heads.len() == 1 => vec![heads[0]; layers],
        heads => {
            let problem = format!("{} entries for {layers} layers", heads.len());
            return Err(meta.error(&key, problem).into());
        }
    };
    Ok(heads.into_iter().map(|heads| if heads > 0 { attends } else { other }).collect())
}

/// The model's own layers.
fn layers(file: &Gguf, arch: &str) -> Result<usize> {
    let (key, meta) = (format!("{arch}.block_count"), &file.metadata);
    let all = meta.u64(&key)?;
    match usize::try_from(super::layers(meta, arch)?.map_or(all, |layers| layers.own)) {
        Ok(layers) if layers <= MOST_LAYERS => Ok(layers),
        _ => Err(meta.error(&key, format!("more than {MOST_LAYERS} layers")).into()),
    }
}

fn rename(fields: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = fields.remove(from) {
        fields.insert(to.into(), value);
    }
}

/// Whether any layer has this tensor.
fn has(file: &Gguf, tensor: &str) -> bool {
    let of_layer = |name: &str| name.split('.').nth(1).is_some() && name.ends_with(tensor);
    file.tensors.iter().any(|t| t.name.starts_with("blk.") && of_layer(&t.name))
}
