//! Tensor names of GGUF files.

use tessera_formats::Config;

use crate::{Result, blocks::Sizes};

/// What a layer's modules are called.
const LAYER: [(&str, &str); 14] = [
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
];

const TOP: [(&str, &str); 3] =
    [("model.embed_tokens", "token_embd"), ("model.norm", "output_norm"), ("lm_head", "output")];

/// A GGUF file's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    /// Gemma norms after attention as well as before the network; others call the latter what Gemma
    /// calls the former.
    gemma: bool,
    /// Heads of queries and of keys, where their rows are stored in neighbouring pairs.
    paired: Option<[usize; 2]>,
}

/// The names of the file whose configuration this is.
pub(crate) fn names(config: &Config) -> Result<crate::names::Names> {
    let arch = config.str("model_type")?;
    let paired = if arch == "llama" {
        let sizes = Sizes::read(config, false)?;
        Some([sizes.heads, sizes.kv_heads])
    } else {
        None
    };
    Ok(crate::names::Names::Gguf(Names { gemma: arch.starts_with("gemma"), paired }))
}

impl Names {
    /// The file's name of a Hugging Face tensor.
    pub(crate) fn stored(&self, name: &str) -> Option<String> {
        let (module, kind) = name.rsplit_once('.')?;
        let find = |table: &[(&str, &'static str)], module: &str| {
            table.iter().find(|(hf, _)| *hf == module).map(|(_, gguf)| *gguf)
        };
        if let Some(top) = find(&TOP, module) {
            return Some(format!("{top}.{kind}"));
        }
        let (layer, module) = module.strip_prefix("model.layers.")?.split_once('.')?;
        let module = match module {
            "post_attention_layernorm" if self.gemma => "post_attention_norm",
            "post_attention_layernorm" => "ffn_norm",
            other => find(&LAYER, other)?,
        };
        Some(format!("blk.{layer}.{module}.{kind}"))
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
