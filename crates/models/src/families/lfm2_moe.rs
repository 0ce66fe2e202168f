//! LFM2 with mixtures of experts (Liquid AI, 2025): a few dense layers, then mixtures whose router has a bias for the
//! choice alone.

use tessera_formats::Config;
use tessera_graph::{Graph, Scoring};

use super::{in_file, lfm2};
use crate::{
    Result,
    blocks::{self, Block, Fields, Mixture, NUMBERED, Routing, ShortConv, Sizes, rope::Settings},
    source::Source,
};

pub(super) fn build(source: &Source) -> Result<(Graph, Sizes)> {
    let config = &source.config;
    let sizes = Sizes::read_as(config, Fields { eps: "norm_eps", ..Fields::usual(true) })?;
    let rope = Settings::read(config, Some(lfm2::THETA))?.spec(source, &sizes)?;
    let attends = lfm2::attends(config, &sizes)?;
    let conv = ShortConv::read(config)?;
    let mixture = mixture(config, &sizes)?;
    let dense = config.opt_usize("num_dense_layers", 0..=sizes.layers)?.unwrap_or(2);
    let feeds = |index| if index < dense { &lfm2::MLP as &dyn Block } else { &mixture };
    let graph = lfm2::graph(&sizes, rope, conv, &attends, feeds).map_err(in_file(source))?;
    Ok((graph, sizes))
}

/// Sigmoid scores; the reference adds 1e-6 to the sum that they are divided by, which is no different.
fn mixture(config: &Config, sizes: &Sizes) -> Result<Mixture> {
    let usual = blocks::mixture(config, sizes, tessera_graph::Activation::Silu)?;
    let biased = config.bool_or("use_expert_bias", true)?;
    let routing = Routing {
        scoring: Scoring::Sigmoid,
        correction: biased.then_some("expert_bias"),
        normalise: config.bool_or("norm_topk_prob", true)?,
        scale: config.opt_f32_in("routed_scaling_factor", 1e-6..=1e6)?.unwrap_or(1.0),
        ..usual.routing
    };
    Ok(Mixture { module: "feed_forward", names: NUMBERED, routing, ..usual })
}
