//! Gemma 2 (Gemma Team, 2024): norms centred on one, before and after each part; soft caps on scores and
//! logits; every other layer sees a window; embeddings scaled by the root of their width.

use tessera_graph::{Activation, Builder, Graph, GraphError, RopeSpec};

use super::in_file;
use crate::{
    Result,
    blocks::{self, Attention, Layer, Layout, Mlp, Norms, Sizes, rope::Settings},
    source::Source,
};

const THETA: f32 = 10_000.0;

/// What the reference's configuration class fills in.
const WINDOW: usize = 4096;

/// What this family has beyond sizes and frequencies.
struct Options {
    norms: Norms,
    embed_scale: f32,
    bias: bool,
    activation: Activation,
    /// Factor on the scores.
    scale: f32,
    score_cap: Option<f32>,
    logit_cap: Option<f32>,
    windows: Vec<Option<usize>>,
}

pub(super) fn build(source: &Source) -> Result<(Graph, Sizes)> {
    let defaults = serde_json::json!({ "sliding_window": WINDOW });
    let source =
        Source { config: blocks::with_defaults(&source.config, defaults)?, ..source.clone() };
    let config = &source.config;
    let sizes = Sizes::read(config, true)?;
    let rope = Settings::read(config, Some(THETA))?.spec(&source, &sizes)?;
    // Only GGUF files may say so, and none is known that differs.
    let period = config.opt_usize("sliding_window_pattern", 1..=usize::MAX)?.unwrap_or(2);
    let sliding = blocks::sliding_layers(config, &sizes, |i| (i + 1) % period != 0)?;
    let window = blocks::required_window(config, &sliding)?;
    let options = Options {
        norms: Norms { eps: sizes.eps, offset: source.centred_norm_offset() },
        embed_scale: source.round((sizes.hidden as f32).sqrt())?,
        bias: config.bool_or("attention_bias", false)?,
        activation: blocks::activation(config, "hidden_activation", Activation::GeluTanh)?,
        scale: config.f32_in("query_pre_attn_scalar", 1.0..=1e6)?.powf(-0.5),
        score_cap: config.opt_f32_in("attn_logit_softcapping", 1e-3..=1e6)?,
        logit_cap: config.opt_f32_in("final_logit_softcapping", 1e-3..=1e6)?,
        windows: sliding.into_iter().map(|sliding| window.filter(|_| sliding)).collect(),
    };
    let graph = graph(&sizes, rope, &options).map_err(in_file(&source))?;
    Ok((graph, sizes))
}

fn graph(sizes: &Sizes, rope: RopeSpec, options: &Options) -> Result<Graph, GraphError> {
    let mut b = Builder::new();
    let norms = options.norms;
    let mut x = blocks::embed(&mut b, sizes, options.embed_scale)?;
    let rope = b.rope_table(rope);
    for (index, &window) in options.windows.iter().enumerate() {
        let attention = Attention {
            layout: Layout::Split { bias: options.bias },
            output_bias: options.bias,
            window,
            scale: options.scale,
            softcap: options.score_cap,
            ..Attention::new(sizes, rope)
        };
        let mlp = Mlp { activation: options.activation, bias: false, fused: false };
        x = Layer { sizes, norms, attention, mlp }.sandwich(&mut b, x, index)?;
    }
    blocks::head(b, x, sizes, norms, options.logit_cap)
}
