//! Qwen2 and Qwen2.5 (Yang et al., 2024): Llama with biases on queries, keys and values, and in some
//! models a window on the upper layers.

use tessera_graph::{Activation, Builder, Graph, GraphError, RopeSpec};

use super::in_file;
use crate::{
    Result,
    blocks::{self, Attention, Layer, Layout, Mlp, Norms, Sizes, rope::Settings},
    source::Source,
};

pub(super) fn build(source: &Source) -> Result<(Graph, Sizes)> {
    let config = &source.config;
    let sizes = Sizes::read(config, false)?;
    // No default: published models have a million, the class ten thousand.
    let rope = Settings::read(config, None)?.spec(source, &sizes)?;
    let activation = blocks::activation(config, "hidden_act", Activation::Silu)?;
    let windows = windows(source, &sizes)?;
    let graph = graph(&sizes, rope, activation, &windows).map_err(in_file(source))?;
    Ok((graph, sizes))
}

/// Each layer's window: none, unless `use_sliding_window`; then the layers from `max_window_layers`
/// on.
pub(super) fn windows(source: &Source, sizes: &Sizes) -> Result<Vec<Option<usize>>> {
    let config = &source.config;
    if !config.bool_or("use_sliding_window", false)? {
        return Ok(vec![None; sizes.layers]);
    }
    let window = blocks::window(config)?;
    let first = config.opt_usize("max_window_layers", 0..=usize::MAX)?.unwrap_or(28);
    let sliding = blocks::sliding_layers(config, sizes, |i| window.is_some() && i >= first)?;
    let window = blocks::required_window(config, &sliding)?;
    Ok(sliding.into_iter().map(|sliding| window.filter(|_| sliding)).collect())
}

fn graph(
    sizes: &Sizes,
    rope: RopeSpec,
    activation: Activation,
    windows: &[Option<usize>],
) -> Result<Graph, GraphError> {
    let mut b = Builder::new();
    let norms = Norms { eps: sizes.eps, offset: 0.0 };
    let mut x = blocks::embed(&mut b, sizes, 1.0)?;
    let rope = b.rope_table(rope);
    for (index, &window) in windows.iter().enumerate() {
        let attention = Attention {
            layout: Layout::Split { bias: true },
            window,
            ..Attention::new(sizes, rope)
        };
        let mlp = Mlp { activation, bias: false, fused: false };
        x = Layer { sizes, norms, attention, mlp }.pre_norm(&mut b, x, index)?;
    }
    blocks::head(b, x, sizes, norms, None)
}
