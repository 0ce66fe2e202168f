//! Falcon-H1 (TII, 2025): attention and Mamba-2 side by side in each layer, and factors on everything, so that one
//! training recipe serves all widths (Yang et al., "Tensor programs V", 2022).

use serde_json::json;
use tessera_formats::{Config, Kind};
use tessera_graph::{Activation, Builder, Graph, GraphError, RopeSpec};

use super::in_file;
use crate::{
    Result,
    blocks::{
        self, Attention, Block, Gating, Layout, Mamba2, MambaKeys, Mlp, Norms, Sizes,
        rope::Settings, times,
    },
    names::Spelling,
    source::Source,
};

pub(super) const SPELLING: Spelling = &[
    ("model.norm", "model.final_layernorm"),
    ("post_attention_layernorm", "pre_ff_layernorm"),
    ("mlp", "feed_forward"),
];

const KEYS: MambaKeys = MambaKeys { out_bias: "projectors_bias", ..MambaKeys::PREFIXED };

const THETA: f32 = 10_000.0;

/// What this family has beyond sizes and frequencies.
struct Options {
    factors: Factors,
    mixer: Mamba2,
    attention_bias: bool,
    mlp: Mlp,
}

/// What values are multiplied by.
#[derive(Debug, Clone, Copy)]
struct Factors {
    embedding: f32,
    logits: f32,
    /// Keys, before they are rotated.
    key: f32,
    attention_in: f32,
    attention_out: f32,
    ssm_in: f32,
    ssm_out: f32,
    /// Gate, input, `B`, `C` and step.
    ssm: [f32; 5],
    /// Gate and result.
    mlp: [f32; 2],
}

pub(super) fn build(source: &Source) -> Result<(Graph, Sizes)> {
    let source =
        Source { config: blocks::with_defaults(&source.config, defaults())?, ..source.clone() };
    let config = &source.config;
    let sizes = Sizes::read(config, false)?;
    let norms = Norms { eps: sizes.eps, offset: 0.0 };
    let rope = Settings::read(config, Some(THETA))?.spec(&source, &sizes)?;
    let activation = blocks::activation(config, "hidden_act", Activation::Silu)?;
    let factors = Factors::read(&source, &sizes)?;
    let inner = match config.opt_usize("mamba_d_ssm", 1..=blocks::WIDEST)? {
        Some(inner) => inner,
        None => config.usize("mamba_expand", 1..=64)? * sizes.hidden,
    };
    let gating = match config.bool_or("mamba_rms_norm", false)? {
        false => Gating::Alone,
        true if config.bool_or("mamba_norm_before_gate", true)? => Gating::AfterNorm(norms),
        true => Gating::ThenNorm(norms),
    };
    let mixer = Mamba2::read(&source, &KEYS, inner, norms)?;
    let options = Options {
        factors,
        mixer: Mamba2 { activation, gating, factors: factors.ssm, ..mixer },
        attention_bias: config.bool_or("attention_bias", false)?,
        mlp: Mlp { activation, bias: config.bool_or("mlp_bias", false)?, fused: false },
    };
    let graph = graph(&sizes, norms, rope, &options).map_err(in_file(&source))?;
    Ok((graph, sizes))
}

/// What the reference's configuration class fills in.
fn defaults() -> serde_json::Value {
    json!({
        "mamba_n_heads": 128,
        "mamba_n_groups": 1,
        "mamba_d_state": 256,
        "mamba_d_conv": 4,
        "mamba_expand": 2,
    })
}

impl Factors {
    fn read(source: &Source, sizes: &Sizes) -> Result<Self> {
        let config = &source.config;
        let one = |key: &str| Ok::<_, crate::Error>(config.opt_f32(key)?.unwrap_or(1.0));
        let all = Self {
            embedding: one("embedding_multiplier")?,
            logits: one("lm_head_multiplier")?,
            key: one("key_multiplier")?,
            attention_in: one("attention_in_multiplier")?,
            attention_out: one("attention_out_multiplier")?,
            ssm_in: one("ssm_in_multiplier")?,
            ssm_out: one("ssm_out_multiplier")?,
            ssm: list(config, "ssm_multipliers")?,
            mlp: list(config, "mlp_multipliers")?,
        };
        let folded = source.channels_last && source.kind == Kind::SafeTensors;
        Ok(if folded { all.left_by_mlx(sizes.tied) } else { all })
    }

    /// What mlx-lm's conversion, recognised by the layout of convolutions, has not multiplied the weights by: the
    /// head where it is tied, values by `attention_in`, and keys by `key` (it looks for them under another name).
    fn left_by_mlx(self, tied: bool) -> Self {
        Self {
            embedding: 1.0,
            logits: if tied { self.logits / self.embedding } else { 1.0 },
            key: self.key,
            attention_in: 1.0,
            attention_out: self.attention_in,
            ssm_in: 1.0,
            ssm_out: 1.0,
            ssm: [1.0; 5],
            mlp: [1.0; 2],
        }
    }
}

/// As many numbers as there are factors, or ones.
fn list<const N: usize>(config: &Config, key: &str) -> Result<[f32; N]> {
    let Some(factors) = config.opt_f32s(key)? else { return Ok([1.0; N]) };
    let found = factors.len();
    factors.try_into().map_err(|_| config.error(key, format!("{found} numbers, not {N}")).into())
}

fn graph(
    sizes: &Sizes,
    norms: Norms,
    rope: RopeSpec,
    options: &Options,
) -> Result<Graph, GraphError> {
    let mut b = Builder::new();
    let Options { factors, mixer, attention_bias, mlp } = options;
    let mut x = blocks::embed(&mut b, sizes, factors.embedding)?;
    let rope = b.rope_table(rope);
    let usual = Attention::new(sizes, rope);
    let attention = Attention {
        layout: Layout::Split { bias: *attention_bias },
        output_bias: *attention_bias,
        // A factor on keys is one on scores.
        scale: usual.scale * factors.key,
        ..usual
    };
    for index in 0..sizes.layers {
        let name = format!("model.layers.{index}");
        b.at(format!("layers.{index}.mamba"));
        let h = norms.row(&mut b, x, format!("{name}.input_layernorm.weight"))?;
        let input = times(&mut b, h, factors.ssm_in);
        let y = mixer.build(&mut b, input, sizes, &format!("{name}.mamba"))?;
        let recurrent = times(&mut b, y, factors.ssm_out);
        b.at(format!("layers.{index}.attention"));
        let input = times(&mut b, h, factors.attention_in);
        let y = attention.build(&mut b, input, sizes, &format!("{name}.self_attn"))?;
        let attended = times(&mut b, y, factors.attention_out);
        let h = b.add(recurrent, attended)?;
        x = b.add(x, h)?;
        b.at(format!("layers.{index}.mlp"));
        let h = norms.row(&mut b, x, format!("{name}.post_attention_layernorm.weight"))?;
        let h = mlp.scaled(&mut b, h, sizes, &format!("{name}.mlp"), factors.mlp)?;
        x = b.add(x, h)?;
    }
    blocks::head_scaled(b, x, sizes, norms, factors.logits)
}
