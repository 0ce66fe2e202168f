//! Qwen3-Next (Qwen Team, 2025) and Qwen3.5 (2026): three layers of gated delta rule for each of gated
//! attention. Qwen3-Next and the larger Qwen3.5 have a mixture of experts with a shared one in each layer.

use serde_json::json;
use tessera_formats::{Config, Kind};
use tessera_graph::{Activation, Builder, Graph, GraphError, RopeSpec};

use super::in_file;
use crate::{
    Result,
    blocks::{
        self, Attention, Block, GatedDelta, Layer, Layout, Mixture, Mlp, Norms, Projections, Rate,
        Shared, Sizes, rope::Settings,
    },
    source::Source,
};

/// Every fourth layer is attention, where files do not say.
const INTERVAL: usize = 4;
const WIDEST: usize = 1 << 20;

/// What this family has beyond sizes.
struct Options {
    rope: RopeSpec,
    activation: Activation,
    bias: bool,
    norms: Norms,
    delta: GatedDelta,
    /// Whether each layer is a delta rule.
    linear: Vec<bool>,
    mixture: Option<Mixture>,
    /// Whether each layer has the mixture.
    sparse: Vec<bool>,
}

pub(super) fn qwen3_next(source: &Source) -> Result<(Graph, Sizes)> {
    let source = with_defaults(source, json!({}))?;
    let layout =
        if source.kind == Kind::Gguf { Projections::Mixed } else { Projections::Interleaved };
    let normalise = source.config.bool_or("norm_topk_prob", true)?;
    build(&source, layout, Some(normalise))
}

pub(super) fn qwen3_5(source: &Source) -> Result<(Graph, Sizes)> {
    build(&with_defaults(source, json!({}))?, split(source), None)
}

pub(super) fn qwen3_5_moe(source: &Source) -> Result<(Graph, Sizes)> {
    // There are no layers without experts, and so no width of theirs.
    let source = with_defaults(source, json!({ "intermediate_size": 1 }))?;
    // Nor is there a choice: the chosen weights are divided by their sum.
    build(&source, split(&source), Some(true))
}

fn split(source: &Source) -> Projections {
    if source.kind == Kind::Gguf { Projections::Tiled } else { Projections::Split }
}

/// What the reference's configuration classes fill in.
fn with_defaults(source: &Source, mut more: serde_json::Value) -> Result<Source> {
    more["partial_rotary_factor"] = 0.25.into();
    Ok(Source { config: blocks::with_defaults(&source.config, more)?, ..source.clone() })
}

/// `normalise` says how a mixture weights its experts, where there is one.
fn build(source: &Source, layout: Projections, normalise: Option<bool>) -> Result<(Graph, Sizes)> {
    let config = &source.config;
    let sizes = Sizes::read(config, false)?;
    let activation = blocks::activation(config, "hidden_act", Activation::Silu)?;
    let rate = if source.kind == Kind::Gguf { Rate::Plain } else { Rate::Log };
    let interval = config.opt_usize("full_attention_interval", 1..=usize::MAX)?.unwrap_or(INTERVAL);
    let kinds = ["linear_attention", "full_attention"];
    let options = Options {
        rope: Settings::read(config, None)?.spec(source, &sizes)?,
        activation,
        bias: config.bool_or("attention_bias", false)?,
        norms: Norms { eps: sizes.eps, offset: source.folded_norm_offset() },
        delta: GatedDelta::read(config, &sizes, layout, rate, activation)?,
        linear: blocks::layers_of(config, &sizes, kinds, |i| (i + 1) % interval != 0)?,
        mixture: normalise.map(|n| mixture(config, &sizes, activation, n)).transpose()?,
        sparse: blocks::sparse_layers(config, &sizes)?,
    };
    let graph = graph(&sizes, &options).map_err(in_file(source))?;
    Ok((graph, sizes))
}

fn mixture(
    config: &Config,
    sizes: &Sizes,
    activation: Activation,
    normalise: bool,
) -> Result<Mixture> {
    let mut mixture = blocks::mixture(config, sizes, activation)?;
    mixture.routing.normalise = normalise;
    mixture.shared = Some(Shared {
        module: "shared_expert",
        mlp: Mlp { activation, bias: false, fused: false },
        inner: config.usize("shared_expert_intermediate_size", 1..=WIDEST)?,
        gate: Some("shared_expert_gate"),
    });
    Ok(mixture)
}

fn graph(sizes: &Sizes, options: &Options) -> Result<Graph, GraphError> {
    let mut b = Builder::new();
    let norms = options.norms;
    let mut x = blocks::embed(&mut b, sizes, 1.0)?;
    let rope = b.rope_table(options.rope.clone());
    let gated = Attention {
        layout: Layout::Gated { bias: options.bias },
        output_bias: options.bias,
        head_norm: Some(norms),
        ..Attention::new(sizes, rope)
    };
    let dense = Mlp { activation: options.activation, bias: false, fused: false };
    for (index, (&linear, &sparse)) in options.linear.iter().zip(&options.sparse).enumerate() {
        let attention: &dyn Block = if linear { &options.delta } else { &gated };
        let mlp: &dyn Block = match &options.mixture {
            Some(mixture) if sparse => mixture,
            _ => &dense,
        };
        x = Layer { sizes, norms, attention, mlp }.pre_norm(&mut b, x, index)?;
    }
    blocks::head(b, x, sizes, norms, None)
}
