//! LFM2 with mixtures of experts (Liquid AI, 2025): a few dense layers, then mixtures whose router has a bias for the
//! choice alone.

use tessera_formats::{Checkpoint, Config};
use tessera_graph::{Graph, Scoring};

use super::{in_file, lfm2};
use crate::{
    Result,
    blocks::{self, Block, Fields, Mixture, NUMBERED, Routing, ShortConv, Sizes, rope::Settings},
    names::Spelling,
    source::Source,
};

/// What mlx makes of LFM2's spelling: projections have their usual names.
pub(super) const RENAMED: Spelling = &[
    ("model.norm", "model.embedding_norm"),
    ("input_layernorm", "operator_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("self_attn.o_proj", "self_attn.out_proj"),
    ("self_attn.q_norm", "self_attn.q_layernorm"),
    ("self_attn.k_norm", "self_attn.k_layernorm"),
    ("mlp", "feed_forward"),
];

/// Whether the files are spelled so: networks and stacks of experts alike then have such a projection.
pub(super) fn renamed(checkpoint: &Checkpoint) -> bool {
    let is = |name: &str| name.contains(".feed_forward.") && name.ends_with("down_proj.weight");
    checkpoint.tensors().any(|tensor| is(&tensor.name))
}

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
