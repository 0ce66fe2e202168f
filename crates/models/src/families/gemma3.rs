//! Gemma 3 (Gemma Team, 2025), the text model: Gemma 2 with norms on heads in place of the soft cap on
//! scores, five layers with a window for each without, and a rotary base for either kind.

use serde_json::json;
use tessera_graph::{Activation, Builder, Graph, GraphError, RopeSpec};

use super::in_file;
use crate::{
    Error, Result,
    blocks::{self, Attention, Layer, Layout, Mlp, Norms, Sizes, rope::Settings},
    source::Source,
};

/// Bases of layers that see everything, and of those with a window.
const THETA: f32 = 1_000_000.0;
const THETA_LOCAL: f32 = 10_000.0;
/// Every sixth layer sees everything.
const PATTERN: usize = 6;

/// What this family has beyond sizes.
struct Options {
    norms: Norms,
    embed_scale: f32,
    bias: bool,
    activation: Activation,
    /// Factor on the scores.
    scale: f32,
    logit_cap: Option<f32>,
    /// Frequencies of layers that see everything, and of those with a window.
    ropes: [RopeSpec; 2],
    /// Whether each layer has the window.
    sliding: Vec<bool>,
    window: Option<usize>,
}

pub(super) fn build(source: &Source) -> Result<(Graph, Sizes)> {
    let source =
        Source { config: blocks::with_defaults(&source.config, defaults())?, ..source.clone() };
    let config = &source.config;
    refuse(&source)?;
    let sizes = Sizes::read(config, true)?;
    let global = Settings::of_kind(config, "full_attention", "rope_theta", THETA, true)?;
    let local =
        Settings::of_kind(config, "sliding_attention", "rope_local_base_freq", THETA_LOCAL, false)?;
    let pattern = match config.opt_usize("sliding_window_pattern", 1..=usize::MAX)? {
        Some(pattern) => pattern,
        None => config.opt_usize("_sliding_window_pattern", 1..=usize::MAX)?.unwrap_or(PATTERN),
    };
    let sliding = blocks::sliding_layers(config, &sizes, |i| (i + 1) % pattern != 0)?;
    let options = Options {
        norms: Norms { eps: sizes.eps, offset: source.centred_norm_offset() },
        embed_scale: source.round((sizes.hidden as f32).sqrt())?,
        bias: config.bool_or("attention_bias", false)?,
        activation: blocks::activation(config, "hidden_activation", Activation::GeluTanh)?,
        scale: config.f32_in("query_pre_attn_scalar", 1.0..=1e6)?.powf(-0.5),
        logit_cap: config.opt_f32_in("final_logit_softcapping", 1e-3..=1e6)?,
        ropes: [global.spec(&source, &sizes)?, local.spec(&source, &sizes)?],
        window: blocks::required_window(config, &sliding)?,
        sliding,
    };
    let graph = graph(&sizes, &options).map_err(in_file(&source))?;
    Ok((graph, sizes))
}

/// What the reference's configuration class fills in, and published multimodal files leave out.
fn defaults() -> serde_json::Value {
    json!({
        "vocab_size": 262_208,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "max_position_embeddings": 131_072,
        "rms_norm_eps": 1e-6,
        "query_pre_attn_scalar": 256,
        "sliding_window": 4096,
    })
}

/// What a file may ask for that this family does not do.
fn refuse(source: &Source) -> Result<(), Error> {
    let config = &source.config;
    if config.bool_or("use_bidirectional_attention", false)? {
        return Err(config.error("use_bidirectional_attention", "is not supported").into());
    }
    if config.has("attn_logit_softcapping") {
        return Err(config.error("attn_logit_softcapping", "is not supported in Gemma 3").into());
    }
    Ok(())
}

fn graph(sizes: &Sizes, options: &Options) -> Result<Graph, GraphError> {
    let mut b = Builder::new();
    let norms = options.norms;
    let mut x = blocks::embed(&mut b, sizes, options.embed_scale)?;
    let [global, local] = options.ropes.clone().map(|spec| b.rope_table(spec));
    for (index, &sliding) in options.sliding.iter().enumerate() {
        let attention = Attention {
            layout: Layout::Split { bias: options.bias },
            output_bias: options.bias,
            head_norm: Some(norms),
            window: options.window.filter(|_| sliding),
            scale: options.scale,
            ..Attention::new(sizes, if sliding { local } else { global })
        };
        let mlp = Mlp { activation: options.activation, bias: false, fused: false };
        x = Layer { sizes, norms, attention, mlp }.sandwich(&mut b, x, index)?;
    }
    blocks::head(b, x, sizes, norms, options.logit_cap)
}
