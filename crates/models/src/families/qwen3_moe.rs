//! Qwen3 mixtures of experts (Yang et al., 2025): Qwen3 with a mixture in place of most layers' networks.

use tessera_graph::{Activation, Builder, Graph, GraphError, RopeSpec};

use super::in_file;
use crate::{
    Result,
    blocks::{self, Attention, Block, Layer, Layout, Mixture, Mlp, Norms, Sizes, rope::Settings},
    source::Source,
};

/// What this family has beyond sizes.
struct Options {
    rope: RopeSpec,
    activation: Activation,
    bias: bool,
    /// Positions seen; unlike in Qwen3's other models, in all layers.
    window: Option<usize>,
    mixture: Mixture,
    /// Whether each layer has the mixture.
    sparse: Vec<bool>,
}

pub(super) fn build(source: &Source) -> Result<(Graph, Sizes)> {
    let config = &source.config;
    let sizes = Sizes::read(config, false)?;
    let activation = blocks::activation(config, "hidden_act", Activation::Silu)?;
    let mut mixture = blocks::mixture(config, &sizes, activation)?;
    mixture.routing.normalise = config.bool_or("norm_topk_prob", false)?;
    let sliding = config.bool_or("use_sliding_window", false)?;
    let options = Options {
        rope: Settings::read(config, None)?.spec(source, &sizes)?,
        activation,
        bias: config.bool_or("attention_bias", false)?,
        window: if sliding { blocks::window(config)? } else { None },
        mixture,
        sparse: blocks::sparse_layers(config, &sizes)?,
    };
    let graph = graph(&sizes, &options).map_err(in_file(source))?;
    Ok((graph, sizes))
}

fn graph(sizes: &Sizes, options: &Options) -> Result<Graph, GraphError> {
    let mut b = Builder::new();
    let norms = Norms { eps: sizes.eps, offset: 0.0 };
    let mut x = blocks::embed(&mut b, sizes, 1.0)?;
    let rope = b.rope_table(options.rope.clone());
    let dense = Mlp { activation: options.activation, bias: false, fused: false };
    let attention = Attention {
        layout: Layout::Split { bias: options.bias },
        output_bias: options.bias,
        head_norm: Some(norms),
        window: options.window,
        ..Attention::new(sizes, rope)
    };
    for (index, &sparse) in options.sparse.iter().enumerate() {
        let mlp: &dyn Block = if sparse { &options.mixture } else { &dense };
        x = Layer { sizes, norms, attention: &attention, mlp }.pre_norm(&mut b, x, index)?;
    }
    blocks::head(b, x, sizes, norms, None)
}
