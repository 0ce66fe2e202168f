//! Llama (Touvron et al., 2023; Llama 3: Dubey et al., 2024), and Mistral (Jiang et al., 2023), which is
//! Llama with a window. Also SmolLM2 and the many others that call themselves Llama.

use tessera_graph::{Activation, Builder, Graph, GraphError, RopeSpec};

use super::in_file;
use crate::{
    Result,
    blocks::{self, Attention, Layer, Layout, Mlp, Norms, Sizes, rope::Settings},
    source::Source,
};

/// Base of files older than the field, as Llama 2's are.
const THETA: f32 = 10_000.0;

/// What these models differ in, besides sizes and frequencies.
struct Options {
    attention_bias: bool,
    mlp_bias: bool,
    /// Positions seen; `None` is all.
    window: Option<usize>,
}

pub(super) fn llama(source: &Source) -> Result<(Graph, Sizes)> {
    let attention_bias = source.config.bool_or("attention_bias", false)?;
    let mlp_bias = source.config.bool_or("mlp_bias", false)?;
    build(source, &Options { attention_bias, mlp_bias, window: None })
}

pub(super) fn mistral(source: &Source) -> Result<(Graph, Sizes)> {
    let window = blocks::window(&source.config)?;
    build(source, &Options { attention_bias: false, mlp_bias: false, window })
}

fn build(source: &Source, options: &Options) -> Result<(Graph, Sizes)> {
    let config = &source.config;
    let sizes = Sizes::read(config, false)?;
    let rope = Settings::read(config, Some(THETA))?.spec(source, &sizes)?;
    let activation = blocks::activation(config, "hidden_act", Activation::Silu)?;
    let graph = graph(&sizes, rope, activation, options).map_err(in_file(source))?;
    Ok((graph, sizes))
}

fn graph(
    sizes: &Sizes,
    rope: RopeSpec,
    activation: Activation,
    options: &Options,
) -> Result<Graph, GraphError> {
    let mut b = Builder::new();
    let norms = Norms { eps: sizes.eps, offset: 0.0 };
    let mut x = blocks::embed(&mut b, sizes, 1.0)?;
    let rope = b.rope_table(rope);
    let attention = Attention {
        layout: Layout::Split { bias: options.attention_bias },
        output_bias: options.attention_bias,
        window: options.window,
        ..Attention::new(sizes, rope)
    };
    let mlp = Mlp { activation, bias: options.mlp_bias, fused: false };
    let layer = Layer { sizes, norms, attention, mlp };
    for index in 0..sizes.layers {
        x = layer.pre_norm(&mut b, x, index)?;
    }
    blocks::head(b, x, sizes, norms, None)
}
