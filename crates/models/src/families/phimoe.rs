//! Phi-3.5-MoE (Abdin et al., 2024): layers with norms about the mean, biases in attention and head, and a mixture that
//! chooses its experts one after the other.

use tessera_formats::Config;
use tessera_graph::{Activation, Builder, Graph, GraphError, RopeSpec, Scoring, ValueId};

use super::in_file;
use crate::{
    Result,
    blocks::{self, Attention, Block, Layout, Mixture, NUMBERED, Sizes, rope::Settings},
    source::Source,
};

const THETA: f32 = 1_000_000.0;
/// How many experts the way of choosing is defined for.
const CHOSEN: usize = 2;

/// What this family has beyond sizes.
struct Options {
    rope: RopeSpec,
    /// Whether attention's projections have biases.
    bias: bool,
    /// Whether the head has.
    head_bias: bool,
    window: Option<usize>,
    mixture: Mixture,
}

pub(super) fn build(source: &Source) -> Result<(Graph, Sizes)> {
    let config = &source.config;
    let sizes = Sizes::read(config, false)?;
    let options = Options {
        rope: Settings::read(config, Some(THETA))?.spec_by_length(source, &sizes)?,
        bias: config.bool_or("attention_bias", false)?,
        head_bias: config.bool_or("lm_head_bias", false)?,
        window: blocks::window(config)?,
        mixture: mixture(config, &sizes)?,
    };
    let graph = graph(&sizes, &options).map_err(in_file(source))?;
    Ok((graph, sizes))
}

fn mixture(config: &Config, sizes: &Sizes) -> Result<Mixture> {
    let activation = blocks::activation(config, "hidden_act", Activation::Silu)?;
    let mut mixture = blocks::mixture_of_width(config, sizes, sizes.intermediate, activation)?;
    if mixture.routing.k != CHOSEN {
        let problem = format!("{} is not supported; {CHOSEN} is", mixture.routing.k);
        return Err(config.error("num_experts_per_tok", problem).into());
    }
    // Twice the noise that logits had in training.
    let noise = config.opt_f32_in("router_jitter_noise", 0.0..=1.0)?.unwrap_or(0.01);
    mixture.routing.scoring = Scoring::OneByOne { reach: 2.0 * noise };
    mixture.routing.normalise = false;
    Ok(Mixture { module: "block_sparse_moe", names: NUMBERED, ..mixture })
}

fn graph(sizes: &Sizes, options: &Options) -> Result<Graph, GraphError> {
    let mut b = Builder::new();
    let mut x = blocks::embed(&mut b, sizes, 1.0)?;
    let rope = b.rope_table(options.rope.clone());
    let attention = Attention {
        layout: Layout::Split { bias: options.bias },
        output_bias: options.bias,
        window: options.window,
        ..Attention::new(sizes, rope)
    };
    for index in 0..sizes.layers {
        let name = format!("model.layers.{index}");
        let mut part = |label: &str, norm: &str, block: &dyn Block, x: ValueId| {
            b.at(format!("layers.{index}.{label}"));
            let h = blocks::layer_norm(&mut b, x, &format!("{name}.{norm}"), sizes.eps)?;
            let h = block.build(&mut b, h, sizes, &format!("{name}.{}", block.module()))?;
            b.add(x, h)
        };
        x = part("attention", "input_layernorm", &attention, x)?;
        x = part("mlp", "post_attention_layernorm", &options.mixture, x)?;
    }
    head(b, x, sizes, options.head_bias)
}

/// The usual head, but for the norm and the bias.
fn head(mut b: Builder, x: ValueId, sizes: &Sizes, bias: bool) -> Result<Graph, GraphError> {
    b.at("head");
    let x = b.select(x)?;
    let x = blocks::layer_norm(&mut b, x, "model.norm", sizes.eps)?;
    let table = if sizes.tied { "model.embed_tokens.weight" } else { "lm_head.weight" };
    let matrix = b.matrix(table, sizes.vocab, sizes.hidden)?;
    let bias = bias.then(|| b.vector("lm_head.bias", sizes.vocab)).transpose()?;
    let logits = b.linear(x, matrix, bias)?;
    b.sample(logits)
}
