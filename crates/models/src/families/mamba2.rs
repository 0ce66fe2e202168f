//! Mamba-2 (Dao and Gu, "Transformers are SSMs", 2024): state spaces alone, without attention, positions or
//! feed-forward networks.

use serde_json::json;
use tessera_graph::{Activation, Builder, Graph, GraphError};

use super::in_file;
use crate::{
    Result,
    blocks::{self, Block, Fields, Mamba2, MambaKeys, Norms, Sizes},
    names::Spelling,
    source::Source,
};

pub(super) const SPELLING: Spelling = &[
    ("model.embed_tokens", "backbone.embeddings"),
    ("model.layers", "backbone.layers"),
    ("model.norm", "backbone.norm_f"),
    ("input_layernorm", "norm"),
    ("mamba", "mixer"),
];

const KEYS: MambaKeys = MambaKeys {
    heads: "num_heads",
    head_dim: "head_dim",
    groups: "n_groups",
    state: "state_size",
    kernel: "conv_kernel",
    conv_bias: "use_conv_bias",
    in_bias: "use_bias",
    out_bias: "use_bias",
};

pub(super) fn build(source: &Source) -> Result<(Graph, Sizes)> {
    let source =
        Source { config: blocks::with_defaults(&source.config, defaults())?, ..source.clone() };
    let config = &source.config;
    let eps = "layer_norm_epsilon";
    let fields = Fields { eps, attention: false, intermediate: None, ..Fields::usual(false) };
    let sizes = Sizes::read_as(config, fields)?;
    let norms = Norms { eps: sizes.eps, offset: 0.0 };
    let inner = config.usize("expand", 1..=64)? * sizes.hidden;
    // Groups have norms of their own, as in the paper's code; transformers used to take the whole row.
    let mixer = Mamba2 {
        activation: blocks::activation(config, "hidden_act", Activation::Silu)?,
        ..Mamba2::read(&source, &KEYS, inner, norms)?
    };
    let graph = graph(&sizes, norms, &mixer).map_err(in_file(&source))?;
    Ok((graph, sizes))
}

/// What the reference's configuration class fills in.
fn defaults() -> serde_json::Value {
    json!({
        "num_heads": 128,
        "head_dim": 64,
        "n_groups": 8,
        "state_size": 128,
        "conv_kernel": 4,
        "expand": 2,
        "layer_norm_epsilon": 1e-5,
    })
}

fn graph(sizes: &Sizes, norms: Norms, mixer: &Mamba2) -> Result<Graph, GraphError> {
    let mut b = Builder::new();
    let mut x = blocks::embed(&mut b, sizes, 1.0)?;
    for index in 0..sizes.layers {
        b.at(format!("layers.{index}.mamba"));
        let name = format!("model.layers.{index}");
        let h = norms.row(&mut b, x, format!("{name}.input_layernorm.weight"))?;
        let h = mixer.build(&mut b, h, sizes, &format!("{name}.mamba"))?;
        x = b.add(x, h)?;
    }
    blocks::head(b, x, sizes, norms, None)
}
