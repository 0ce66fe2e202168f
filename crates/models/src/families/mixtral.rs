//! Mixtral (Jiang et al., 2024): Mistral with a mixture of experts in every layer.

use tessera_graph::{Activation, Builder, Graph, GraphError, RopeSpec};

use super::in_file;
use crate::{
    Result,
    blocks::{self, Attention, Layer, Mixture, NUMBERED, Norms, Sizes, rope::Settings},
    source::Source,
};

const THETA: f32 = 1_000_000.0;

pub(super) fn build(source: &Source) -> Result<(Graph, Sizes)> {
    let config = &source.config;
    let sizes = Sizes::read(config, false)?;
    let rope = Settings::read(config, Some(THETA))?.spec(source, &sizes)?;
    let activation = blocks::activation(config, "hidden_act", Activation::Silu)?;
    let window = blocks::window(config)?;
    // An expert is as wide as Mistral's network.
    let mixture = blocks::mixture_of_width(config, &sizes, sizes.intermediate, activation)?;
    let mixture = Mixture { module: "block_sparse_moe", names: NUMBERED, ..mixture };
    let graph = graph(&sizes, rope, &mixture, window).map_err(in_file(source))?;
    Ok((graph, sizes))
}

fn graph(
    sizes: &Sizes,
    rope: RopeSpec,
    mixture: &Mixture,
    window: Option<usize>,
) -> Result<Graph, GraphError> {
    let mut b = Builder::new();
    let norms = Norms { eps: sizes.eps, offset: 0.0 };
    let mut x = blocks::embed(&mut b, sizes, 1.0)?;
    let rope = b.rope_table(rope);
    let attention = Attention { window, ..Attention::new(sizes, rope) };
    let layer = Layer { sizes, norms, attention, mlp: mixture };
    for index in 0..sizes.layers {
        x = layer.pre_norm(&mut b, x, index)?;
    }
    blocks::head(b, x, sizes, norms, None)
}
