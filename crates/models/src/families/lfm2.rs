//! LFM2 (Liquid AI, 2025): gated short convolutions, and among them a few layers of attention.

use serde_json::Value;
use tessera_formats::Config;
use tessera_graph::{Activation, Builder, Graph, GraphError, RopeSpec};

use super::in_file;
use crate::{
    Result,
    blocks::{
        self, Attention, Block, Fields, Layer, Mlp, Norms, ShortConv, Sizes, WIDEST, rope::Settings,
    },
    names::Spelling,
    source::Source,
};

pub(super) const SPELLING: Spelling = &[
    ("model.norm", "model.embedding_norm"),
    ("input_layernorm", "operator_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("self_attn.o_proj", "self_attn.out_proj"),
    ("self_attn.q_norm", "self_attn.q_layernorm"),
    ("self_attn.k_norm", "self_attn.k_layernorm"),
    ("mlp.gate_proj", "feed_forward.w1"),
    ("mlp.up_proj", "feed_forward.w3"),
    ("mlp.down_proj", "feed_forward.w2"),
];

pub(super) const THETA: f32 = 1_000_000.0;

pub(super) fn build(source: &Source) -> Result<(Graph, Sizes)> {
    let config = &source.config;
    // An older name of the field.
    let tied = config.bool_or("tie_embedding", true)?;
    let fields = Fields { eps: "norm_eps", intermediate: None, ..Fields::usual(tied) };
    let sizes = Sizes { intermediate: intermediate(config)?, ..Sizes::read_as(config, fields)? };
    let rope = Settings::read(config, Some(THETA))?.spec(source, &sizes)?;
    let attends = attends(config, &sizes)?;
    let conv = ShortConv::read(config)?;
    let graph = graph(&sizes, rope, conv, &attends, |_| &MLP).map_err(in_file(source))?;
    Ok((graph, sizes))
}

pub(super) const MLP: Mlp = Mlp { activation: Activation::Silu, bias: false, fused: false };

/// Width of the gated unit: two thirds of what the field says, times a factor, up to the next multiple (neither, where
/// the factor is null), unless `block_auto_adjust_ff_dim` is false.
fn intermediate(config: &Config) -> Result<usize> {
    let key = if config.has("block_ff_dim") { "block_ff_dim" } else { "intermediate_size" };
    let width = config.usize(key, 1..=WIDEST)?;
    if !config.bool_or("block_auto_adjust_ff_dim", true)? {
        return Ok(width);
    }
    const FACTOR: &str = "block_ffn_dim_multiplier";
    if config.raw().get(FACTOR).is_some_and(Value::is_null) {
        return Ok((2 * width / 3).max(1));
    }
    config.opt_f32_in(FACTOR, 1e-3..=1e3)?;
    // In f64, as the reference has it: the product is cut off to a whole number.
    let factor = config.get(FACTOR).and_then(Value::as_f64);
    let width = (2 * width / 3) as f64 * factor.unwrap_or(1.0);
    let multiple = config.opt_usize("block_multiple_of", 1..=WIDEST)?.unwrap_or(256);
    let adjusted = (width as usize).next_multiple_of(multiple);
    if !(1..=WIDEST).contains(&adjusted) {
        let problem = format!("adjusted to {adjusted}, which is not from 1 to {WIDEST}");
        return Err(config.error(key, problem).into());
    }
    Ok(adjusted)
}

/// Whether each layer has attention, and no convolution: by `layer_types`, or else by `full_attn_idxs`; where
/// neither is there, all have.
pub(super) fn attends(config: &Config, sizes: &Sizes) -> Result<Vec<bool>> {
    let indices = config.opt_usizes("full_attn_idxs", 0..=sizes.layers - 1)?;
    let rule = |i: usize| indices.as_ref().is_none_or(|indices| indices.contains(&i));
    blocks::layers_of(config, sizes, ["full_attention", "conv"], rule)
}

/// `feeds` is what each layer's rows go through by themselves.
pub(super) fn graph<'a>(
    sizes: &Sizes,
    rope: RopeSpec,
    conv: ShortConv,
    attends: &[bool],
    feeds: impl Fn(usize) -> &'a dyn Block,
) -> Result<Graph, GraphError> {
    let mut b = Builder::new();
    let norms = Norms { eps: sizes.eps, offset: 0.0 };
    let mut x = blocks::embed(&mut b, sizes, 1.0)?;
    let rope = b.rope_table(rope);
    let attention = Attention { head_norm: Some(norms), ..Attention::new(sizes, rope) };
    for (index, &attends) in attends.iter().enumerate() {
        let attention: &dyn Block = if attends { &attention } else { &conv };
        x = Layer { sizes, norms, attention, mlp: feeds(index) }.pre_norm(&mut b, x, index)?;
    }
    blocks::head(b, x, sizes, norms, None)
}
