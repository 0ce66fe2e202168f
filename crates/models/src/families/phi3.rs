//! Phi-3, Phi-3.5 and Phi-4 (Abdin et al., 2024): Llama with fused projections, a window on all layers
//! in some models, LongRoPE in the 128k ones, and a partial rotation in Phi-4-mini.

use tessera_graph::{Activation, Builder, Graph, GraphError, RopeSpec};

use super::in_file;
use crate::{
    Result,
    blocks::{self, Attention, Layer, Layout, Mlp, Norms, Sizes, rope::Settings},
    source::Source,
};

const THETA: f32 = 10_000.0;

pub(super) fn build(source: &Source) -> Result<(Graph, Sizes)> {
    let config = &source.config;
    let sizes = Sizes::read(config, false)?;
    let rope = Settings::read(config, Some(THETA))?.spec(source, &sizes)?;
    let activation = blocks::activation(config, "hidden_act", Activation::Silu)?;
    let window = blocks::window(config)?;
    let graph = graph(&sizes, rope, activation, window).map_err(in_file(source))?;
    Ok((graph, sizes))
}

fn graph(
    sizes: &Sizes,
    rope: RopeSpec,
    activation: Activation,
    window: Option<usize>,
) -> Result<Graph, GraphError> {
    let mut b = Builder::new();
    let norms = Norms { eps: sizes.eps, offset: 0.0 };
    let mut x = blocks::embed(&mut b, sizes, 1.0)?;
    let rope = b.rope_table(rope);
    let attention = Attention { layout: Layout::Fused, window, ..Attention::new(sizes, rope) };
    let mlp = Mlp { activation, bias: false, fused: true };
    let layer = Layer { sizes, norms, attention, mlp };
    for index in 0..sizes.layers {
        x = layer.pre_norm(&mut b, x, index)?;
    }
    blocks::head(b, x, sizes, norms, None)
}
