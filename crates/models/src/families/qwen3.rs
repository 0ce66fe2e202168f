//! Qwen3 (Yang et al., 2025), dense: Qwen2 without biases, but with a norm on each head of queries and
//! keys.

use tessera_graph::{Activation, Builder, Graph, GraphError, RopeSpec};

use super::{in_file, qwen2::windows};
use crate::{
    Result,
    blocks::{self, Attention, Layer, Layout, Mlp, Norms, Sizes, rope::Settings},
    source::Source,
};

pub(super) fn build(source: &Source) -> Result<(Graph, Sizes)> {
    let config = &source.config;
    let sizes = Sizes::read(config, false)?;
    let rope = Settings::read(config, None)?.spec(source, &sizes)?;
    let activation = blocks::activation(config, "hidden_act", Activation::Silu)?;
    let bias = config.bool_or("attention_bias", false)?;
    let windows = windows(source, &sizes)?;
    let graph = graph(&sizes, rope, activation, bias, &windows).map_err(in_file(source))?;
    Ok((graph, sizes))
}

fn graph(
    sizes: &Sizes,
    rope: RopeSpec,
    activation: Activation,
    bias: bool,
    windows: &[Option<usize>],
) -> Result<Graph, GraphError> {
    let mut b = Builder::new();
    let norms = Norms { eps: sizes.eps, offset: 0.0 };
    let mut x = blocks::embed(&mut b, sizes, 1.0)?;
    let rope = b.rope_table(rope);
    for (index, &window) in windows.iter().enumerate() {
        let attention = Attention {
            layout: Layout::Split { bias },
            output_bias: bias,
            head_norm: Some(norms),
            window,
            ..Attention::new(sizes, rope)
        };
        let mlp = Mlp { activation, bias: false, fused: false };
        x = Layer { sizes, norms, attention, mlp }.pre_norm(&mut b, x, index)?;
    }
    blocks::head(b, x, sizes, norms, None)
}
