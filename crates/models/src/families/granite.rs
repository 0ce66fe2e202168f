//! Granite (IBM, 2024): Llama with four factors in place of roots of widths; with a mixture of experts, with a network
//! for all rows beside it, and in Granite 4 with Mamba-2 in most layers and attention without positions.

use tessera_formats::Config;
use tessera_graph::{Activation, Builder, Graph, GraphError, RopeSpec};

use super::in_file;
use crate::{
    Result,
    blocks::{
        self, Attention, Block, Fields, Layout, Mamba2, MambaKeys, Mixture, Mlp, Norms, Sizes,
        WIDEST, rope::Settings, times,
    },
    source::Source,
};

const THETA: f32 = 10_000.0;
const MIXTURE: &str = "block_sparse_moe";

/// What these models have beyond sizes.
struct Options {
    factors: Factors,
    /// Without them, queries and keys are not rotated.
    rope: Option<RopeSpec>,
    attention_bias: bool,
    /// The layers that do not attend have it.
    mamba: Option<Mamba2>,
    /// Whether each layer has attention.
    attends: Vec<bool>,
    /// What rows go through by themselves, all of it side by side, and what it is called.
    feed: Vec<(Box<dyn Block>, &'static str)>,
}

/// What values are multiplied by; logits are divided.
#[derive(Debug, Clone, Copy)]
struct Factors {
    embedding: f32,
    /// Of a layer's parts, before they are added.
    residual: f32,
    /// Of scores.
    attention: f32,
    logits: f32,
}

pub(super) fn granite(source: &Source) -> Result<(Graph, Sizes)> {
    let sizes = Sizes::read(&source.config, false)?;
    let bias = source.config.bool_or("mlp_bias", false)?;
    let mlp = Mlp { activation: activation(&source.config)?, bias, fused: false };
    let rope = Some(rope(source, &sizes)?);
    let options =
        Options { rope, feed: vec![(Box::new(mlp), "mlp")], ..Options::read(source, &sizes)? };
    finish(source, sizes, &options)
}

pub(super) fn granitemoe(source: &Source) -> Result<(Graph, Sizes)> {
    let config = &source.config;
    const SHARED: &str = "shared_intermediate_size";
    let intermediate = Some(SHARED).filter(|key| config.has(key));
    let sizes = Sizes::read_as(config, Fields { intermediate, ..Fields::usual(false) })?;
    let mut feed: Vec<(Box<dyn Block>, _)> = vec![(Box::new(mixture(config, &sizes)?), MIXTURE)];
    if intermediate.is_some() {
        let mlp = Mlp { activation: activation(config)?, bias: false, fused: false };
        feed.push((Box::new(mlp), "shared_mlp"));
    }
    let rope = Some(rope(source, &sizes)?);
    let options = Options { rope, feed, ..Options::read(source, &sizes)? };
    finish(source, sizes, &options)
}

pub(super) fn granitemoehybrid(source: &Source) -> Result<(Graph, Sizes)> {
    let config = &source.config;
    let fields = Fields { intermediate: Some("shared_intermediate_size"), ..Fields::usual(false) };
    let sizes = Sizes::read_as(config, fields)?;
    let attends = attends(config, &sizes)?;
    let experts = config.opt_usize("num_local_experts", 0..=usize::MAX)?.unwrap_or(0);
    let mlp = Box::new(Mlp { activation: activation(config)?, bias: false, fused: false });
    let feed: Vec<(Box<dyn Block>, _)> = if experts > 0 {
        vec![(Box::new(mixture(config, &sizes)?), MIXTURE), (mlp, "shared_mlp")]
    } else {
        vec![(mlp, "mlp")]
    };
    let mamba = attends.contains(&false).then(|| mamba(source, &sizes)).transpose()?;
    const POSITIONS: &str = "position_embedding_type";
    let rope = match config.opt_str(POSITIONS)? {
        None | Some("nope") => None,
        Some("rope") => Some(rope(source, &sizes)?),
        Some(other) => {
            let problem = format!("{other:?} is not supported; rope and nope are");
            return Err(config.error(POSITIONS, problem).into());
        }
    };
    let usual = Options::read(source, &sizes)?;
    let options = Options { rope, mamba, attends, feed, ..usual };
    finish(source, sizes, &options)
}

fn finish(source: &Source, sizes: Sizes, options: &Options) -> Result<(Graph, Sizes)> {
    let graph = graph(&sizes, options).map_err(in_file(source))?;
    Ok((graph, sizes))
}

fn activation(config: &Config) -> Result<Activation> {
    Ok(blocks::activation(config, "hidden_act", Activation::Silu)?)
}

fn rope(source: &Source, sizes: &Sizes) -> Result<RopeSpec> {
    Settings::read(&source.config, Some(THETA))?.spec(source, sizes)
}

/// The softmax is over the chosen experts alone.
fn mixture(config: &Config, sizes: &Sizes) -> Result<Mixture> {
    let inner = config.usize("intermediate_size", 1..=WIDEST)?;
    let usual = blocks::mixture_of_width(config, sizes, inner, activation(config)?)?;
    let routing = blocks::Routing { module: "router.layer", ..usual.routing };
    Ok(Mixture { module: MIXTURE, routing, ..usual })
}

fn mamba(source: &Source, sizes: &Sizes) -> Result<Mamba2> {
    let inner = source.config.opt_usize("mamba_expand", 1..=64)?.unwrap_or(2) * sizes.hidden;
    let norms = Norms { eps: sizes.eps, offset: 0.0 };
    let usual = Mamba2::read(source, &MambaKeys::PREFIXED, inner, norms)?;
    Ok(Mamba2 { activation: activation(&source.config)?, ..usual })
}

/// Whether each layer has attention; where nothing is said, none has. transformers renamed both kinds.
fn attends(config: &Config, sizes: &Sizes) -> Result<Vec<bool>> {
    let types = config.opt_strs("layer_types")?.unwrap_or_default();
    let renamed = types.iter().any(|kind| kind.contains('_'));
    let kinds =
        if renamed { ["full_attention", "linear_attention"] } else { ["attention", "mamba"] };
    blocks::layers_of(config, sizes, kinds, |_| false)
}

impl Options {
    /// Attention in all layers, and no feed-forward network yet.
    fn read(source: &Source, sizes: &Sizes) -> Result<Self> {
        let config = &source.config;
        let one = |key: &str| Ok::<_, crate::Error>(config.opt_f32(key)?.unwrap_or(1.0));
        let factors = Factors {
            embedding: one("embedding_multiplier")?,
            residual: one("residual_multiplier")?,
            attention: one("attention_multiplier")?,
            logits: 1.0 / config.opt_f32_in("logits_scaling", 1e-6..=1e6)?.unwrap_or(1.0),
        };
        Ok(Self {
            factors,
            rope: None,
            attention_bias: config.bool_or("attention_bias", false)?,
            mamba: None,
            attends: vec![true; sizes.layers],
            feed: vec![],
        })
    }
}

fn graph(sizes: &Sizes, options: &Options) -> Result<Graph, GraphError> {
    let mut b = Builder::new();
    let Options { factors, mamba, feed, .. } = options;
    let norms = Norms { eps: sizes.eps, offset: 0.0 };
    let mut x = blocks::embed(&mut b, sizes, factors.embedding)?;
    let rope = options.rope.clone().map(|spec| b.rope_table(spec));
    let attention = Attention {
        layout: Layout::Split { bias: options.attention_bias },
        output_bias: options.attention_bias,
        scale: factors.attention,
        ..Attention::new(sizes, rope)
    };
    for (index, attends) in options.attends.iter().enumerate() {
        let name = format!("model.layers.{index}");
        let mixer: &dyn Block = match mamba {
            Some(mamba) if !attends => mamba,
            _ => &attention,
        };
        b.at(format!("layers.{index}.{}", mixer.module()));
        let h = norms.row(&mut b, x, format!("{name}.input_layernorm.weight"))?;
        let h = mixer.build(&mut b, h, sizes, &format!("{name}.{}", mixer.module()))?;
        let h = times(&mut b, h, factors.residual);
        x = b.add(x, h)?;
        b.at(format!("layers.{index}.mlp"));
        let h = norms.row(&mut b, x, format!("{name}.post_attention_layernorm.weight"))?;
        let mut sum = None;
        for (part, module) in feed {
            let y = part.build(&mut b, h, sizes, &format!("{name}.{module}"))?;
            sum = Some(sum.map_or(Ok(y), |sum| b.add(sum, y))?);
        }
        if let Some(sum) = sum {
            let h = times(&mut b, sum, factors.residual);
            x = b.add(x, h)?;
        }
    }
    blocks::head_scaled(b, x, sizes, norms, factors.logits)
}
