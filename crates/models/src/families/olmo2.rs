//! OLMo 2 (OLMo et al., 2025): Llama with its norms moved behind attention and network, inside the
//! residual, and norms of queries and keys over all of their heads together.

use tessera_graph::{Activation, Builder, Graph, GraphError, RopeSpec};

use super::in_file;
use crate::{
    Result,
    blocks::{self, Attention, Layer, Layout, Mlp, Norms, Sizes, rope::Settings},
    source::Source,
};

/// Base of files that lack the field.
const THETA: f32 = 10_000.0;

pub(super) fn build(source: &Source) -> Result<(Graph, Sizes)> {
    let config = &source.config;
    let sizes = Sizes::read(config, false)?;
    let rope = Settings::read(config, Some(THETA))?.spec(source, &sizes)?;
    let activation = blocks::activation(config, "hidden_act", Activation::Silu)?;
    // OLMo 3's GGUF files say that they are OLMo 2's.
    if config.has("sliding_window") {
        return Err(config.error("sliding_window", "is not supported in OLMo 2").into());
    }
    let bias = config.bool_or("attention_bias", false)?;
    let graph = graph(&sizes, rope, activation, bias).map_err(in_file(source))?;
    Ok((graph, sizes))
}

fn graph(
    sizes: &Sizes,
    rope: RopeSpec,
    activation: Activation,
    bias: bool,
) -> Result<Graph, GraphError> {
    let mut b = Builder::new();
    let norms = Norms { eps: sizes.eps, offset: 0.0 };
    let mut x = blocks::embed(&mut b, sizes, 1.0)?;
    let rope = b.rope_table(rope);
    let attention = Attention {
        layout: Layout::Split { bias },
        output_bias: bias,
        row_norm: Some(norms),
        ..Attention::new(sizes, rope)
    };
    let mlp = Mlp { activation, bias: false, fused: false };
    let layer = Layer { sizes, norms, attention, mlp };
    for index in 0..sizes.layers {
        x = layer.post_norm(&mut b, x, index)?;
    }
    blocks::head(b, x, sizes, norms, None)
}
