//! gpt-oss (OpenAI, 2025): every layer a mixture, whose experts are packed in mxfp4 and clip what goes
//! through them; every second layer with a window; in every head's softmax a score that has no value, so
//! that a head may look at nothing (Xiao et al., "Attention sinks", 2023).

use serde_json::json;
use tessera_graph::{Builder, GatedUnit, Graph, GraphError, RopeSpec};

use super::in_file;
use crate::{
    Result,
    blocks::{self, Attention, Layer, Layout, Mixture, Norms, Sizes, rope::Settings},
    source::Source,
};

const THETA: f32 = 150_000.0;
/// Steepness of the experts' sigmoid, and the largest magnitude they let through.
const ALPHA: f32 = 1.702;
const LIMIT: f32 = 7.0;

/// What this family has beyond sizes.
struct Options {
    rope: RopeSpec,
    bias: bool,
    mixture: Mixture,
    window: Option<usize>,
    /// Whether each layer has the window.
    sliding: Vec<bool>,
}

pub(super) fn build(source: &Source) -> Result<(Graph, Sizes)> {
    let source =
        Source { config: blocks::with_defaults(&source.config, defaults())?, ..source.clone() };
    let config = &source.config;
    let sizes = Sizes::read(config, false)?;
    // The experts' unit is fixed; the field says how it began.
    blocks::only(config, "hidden_act", "silu")?;
    let unit = GatedUnit::Clipped {
        alpha: config.opt_f32_in("swiglu_alpha", 1e-3..=1e3)?.unwrap_or(ALPHA),
        limit: config.opt_f32_in("swiglu_limit", 1e-3..=1e6)?.unwrap_or(LIMIT),
    };
    let mut mixture = blocks::mixture_of_width(config, &sizes, sizes.intermediate, unit)?;
    mixture.bias = true;
    mixture.routing.module = "router";
    mixture.routing.bias = true;
    // A softmax of the chosen logits alone: the same as one of all, normalised.
    mixture.routing.normalise = true;
    let sliding = blocks::sliding_layers(config, &sizes, |i| i % 2 == 0)?;
    let options = Options {
        rope: Settings::read(config, Some(THETA))?.spec(&source, &sizes)?,
        bias: config.bool_or("attention_bias", true)?,
        mixture,
        window: blocks::required_window(config, &sliding)?,
        sliding,
    };
    let graph = graph(&sizes, &options).map_err(in_file(&source))?;
    Ok((graph, sizes))
}

/// The stretching that the reference's configuration class fills in.
fn defaults() -> serde_json::Value {
    json!({
        "rope_scaling": {
            "rope_type": "yarn",
            "factor": 32.0,
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "truncate": false,
            "original_max_position_embeddings": 4096,
        },
        "head_dim": 64,
        "sliding_window": 128,
    })
}

fn graph(sizes: &Sizes, options: &Options) -> Result<Graph, GraphError> {
    let mut b = Builder::new();
    let norms = Norms { eps: sizes.eps, offset: 0.0 };
    let mut x = blocks::embed(&mut b, sizes, 1.0)?;
    let rope = b.rope_table(options.rope.clone());
    for (index, &sliding) in options.sliding.iter().enumerate() {
        let attention = Attention {
            layout: Layout::Split { bias: options.bias },
            output_bias: options.bias,
            window: options.window.filter(|_| sliding),
            sinks: true,
            ..Attention::new(sizes, rope)
        };
        x = Layer { sizes, norms, attention, mlp: &options.mixture }.pre_norm(&mut b, x, index)?;
    }
    blocks::head(b, x, sizes, norms, None)
}
