//! Tensor names of GGUF files.

use std::ops::Range;

use tessera_formats::Config;

use super::config::FURTHER;
use crate::{
    Result,
    blocks::{Fields, MOST_LAYERS, Sizes},
};

/// What a layer's modules are called.
const LAYER: [(&str, &str); 53] = [
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.qkv_proj", "attn_qkv"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.gate_up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
    ("pre_feedforward_layernorm", "ffn_norm"),
    ("post_feedforward_layernorm", "post_ffw_norm"),
    ("mamba.in_proj", "ssm_in"),
    ("mamba.conv1d", "ssm_conv1d"),
    ("mamba.norm", "ssm_norm"),
    ("mamba.out_proj", "ssm_out"),
    ("conv.in_proj", "shortconv.in_proj"),
    ("conv.conv", "shortconv.conv"),
    ("conv.out_proj", "shortconv.out_proj"),
    ("mlp.gate", "ffn_gate_inp"),
    ("mlp.switch_mlp.gate_proj", "ffn_gate_exps"),
    ("mlp.switch_mlp.up_proj", "ffn_up_exps"),
    ("mlp.switch_mlp.down_proj", "ffn_down_exps"),
    ("mlp.switch_mlp.gate_up_proj", "ffn_gate_up_exps"),
    ("mlp.shared_experts.up_proj", "ffn_up_shexp"),
    ("mlp.shared_experts.down_proj", "ffn_down_shexp"),
    ("feed_forward.gate", "ffn_gate_inp"),
    ("feed_forward.switch_mlp.gate_proj", "ffn_gate_exps"),
    ("feed_forward.switch_mlp.up_proj", "ffn_up_exps"),
    ("feed_forward.switch_mlp.down_proj", "ffn_down_exps"),
    ("block_sparse_moe.router.layer", "ffn_gate_inp"),
    ("block_sparse_moe.switch_mlp.gate_proj", "ffn_gate_exps"),
    ("block_sparse_moe.switch_mlp.up_proj", "ffn_up_exps"),
    ("block_sparse_moe.switch_mlp.down_proj", "ffn_down_exps"),
    ("shared_mlp.gate_proj", "ffn_gate_shexp"),
    ("shared_mlp.up_proj", "ffn_up_shexp"),
    ("shared_mlp.down_proj", "ffn_down_shexp"),
    ("mlp.shared_expert.gate_proj", "ffn_gate_shexp"),
    ("mlp.shared_expert.up_proj", "ffn_up_shexp"),
    ("mlp.shared_expert.down_proj", "ffn_down_shexp"),
    ("mlp.shared_expert_gate", "ffn_gate_inp_shexp"),
    ("mlp.router", "ffn_gate_inp"),
    ("linear_attn.in_proj_qkv", "attn_qkv"),
    ("linear_attn.in_proj_z", "attn_gate"),
    ("linear_attn.in_proj_ba", "ssm_ba"),
    ("linear_attn.in_proj_a", "ssm_alpha"),
    ("linear_attn.in_proj_b", "ssm_beta"),
    ("linear_attn.conv1d", "ssm_conv1d"),
    ("linear_attn.norm", "ssm_norm"),
    ("linear_attn.out_proj", "ssm_out"),
    ("block_sparse_moe.gate", "ffn_gate_inp"),
];

/// A layer's tensors that are no weight or bias of a module.
const TENSORS: [(&str, &str); 8] = [
    ("self_attn.sinks", "attn_sinks.weight"),
    ("linear_attn.A_log", "ssm_a"),
    ("linear_attn.dt_bias", "ssm_dt.bias"),
    ("mamba.A_log", "ssm_a"),
    ("mamba.D", "ssm_d"),
    ("mamba.dt_bias", "ssm_dt.bias"),
    ("mlp.gate.e_score_correction_bias", "exp_probs_b.bias"),
    ("feed_forward.expert_bias", "exp_probs_b.bias"),
];

/// Architectures that norm after attention; others call the norm before the network what these call that one.
const NORM_AFTER: [&str; 7] =
    ["gemma2", "gemma3_text", "olmo2", "gpt_oss", "qwen3_next", "qwen3_5", "qwen3_5_moe"];

const TOP: [(&str, &str); 3] =
    [("model.embed_tokens", "token_embd"), ("model.norm", "output_norm"), ("lm_head", "output")];

/// A GGUF file's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    /// `model_type` of the configuration: a few architectures call something by another's name.
    arch: String,
    /// Heads of queries and of keys, where their rows are stored in neighbouring pairs.
    paired: Option<[usize; 2]>,
    /// Layers behind the model's that guess further tokens.
    further: Range<usize>,
}

/// The names of the file whose configuration this is.
pub(crate) fn names(config: &Config) -> Result<crate::names::Names> {
    let arch = config.str("model_type")?;
    let paired = if ["llama", "mixtral"].contains(&arch) || arch.starts_with("granite") {
        let fields = Fields { intermediate: None, ..Fields::usual(false) };
        let sizes = Sizes::read_as(config, fields)?;
        Some([sizes.heads, sizes.kv_heads])
    } else {
        None
    };
    let layers = config.opt_usize("num_hidden_layers", 0..=MOST_LAYERS)?.unwrap_or(0);
    let further = config.opt_usize(FURTHER, 0..=MOST_LAYERS)?.unwrap_or(0);
    let further = layers..layers + further;
    Ok(crate::names::Names::Gguf(Names { arch: arch.into(), paired, further }))
}

impl Names {
    /// The file's name of a Hugging Face tensor.
    pub(crate) fn stored(&self, name: &str) -> Option<String> {
        let (module, kind) = name.rsplit_once('.')?;
        let find = |table: &[(&str, &'static str)], module: &str| {
            table.iter().find(|(hf, _)| *hf == module).map(|(_, gguf)| *gguf)
        };
        let arch = self.arch.as_str();
        if arch.starts_with("lfm2") && module == "model.norm" {
            // Elsewhere a norm of this name comes first.
            return Some(format!("token_embd_norm.{kind}"));
        }
        if let Some(top) = find(&TOP, module) {
            return Some(format!("{top}.{kind}"));
        }
        let (layer, whole) = name.strip_prefix("model.layers.")?.split_once('.')?;
        if let Some(tensor) = find(&TENSORS, whole) {
            return Some(format!("blk.{layer}.{tensor}"));
        }
        let module = whole.strip_suffix(kind)?.strip_suffix('.')?;
        let module = match module {
            "post_attention_layernorm" if NORM_AFTER.contains(&arch) => "post_attention_norm",
            // The converter forgets the kind.
            "post_attention_layernorm" if arch == "falcon_h1" => {
                return Some(format!("blk.{layer}.ffn_norm"));
            }
            "post_attention_layernorm" => "ffn_norm",
            other => find(&LAYER, other)?,
        };
        Some(format!("blk.{layer}.{module}.{kind}"))
    }

    /// Whether a tensor of the file is of a layer that guesses further tokens.
    pub(crate) fn guesses(&self, tensor: &str) -> bool {
        let layer = tensor.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
        layer.and_then(|(layer, _)| layer.parse().ok()).is_some_and(|it| self.further.contains(&it))
    }

    /// In how many heads the rows of this tensor are stored as neighbouring pairs, if they are.
    pub(crate) fn paired_heads(&self, name: &str) -> Option<usize> {
        let [queries, keys] = self.paired?;
        let module = name.rsplit_once('.')?.0;
        match module.rsplit_once('.')?.1 {
            "q_proj" => Some(queries),
            "k_proj" => Some(keys),
            _ => None,
        }
    }
}
