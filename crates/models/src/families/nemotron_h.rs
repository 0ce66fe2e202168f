//! Nemotron-H and Nemotron 3 (NVIDIA, 2025): each layer is one part, of Mamba-2, attention without positions, a plain
//! feed-forward network, or a mixture of such.

use serde_json::{Value, json};
use tessera_formats::Config;
use tessera_graph::{
    Activation, Builder, ExpertUnit, Graph, GraphError, RouteGroups, Scoring, ValueId,
};

use super::in_file;
use crate::{
    Result,
    blocks::{
        self, Attention, Block, Fields, Layout, MOST_LAYERS, Mamba2, MambaKeys, Mixture, Norms,
        PlainMlp, Routing, Sizes, WIDEST,
    },
    names::Spelling,
    source::Source,
};

pub(super) const SPELLING: Spelling = &[
    ("model.embed_tokens", "backbone.embeddings"),
    ("model.layers", "backbone.layers"),
    ("model.norm", "backbone.norm_f"),
    ("input_layernorm", "norm"),
    ("mamba", "mixer"),
    ("self_attn", "mixer"),
    ("mlp", "mixer"),
];

const KEYS: MambaKeys = MambaKeys {
    heads: "mamba_num_heads",
    head_dim: "mamba_head_dim",
    groups: "n_groups",
    state: "ssm_state_size",
    kernel: "conv_kernel",
    conv_bias: "use_conv_bias",
    in_bias: "use_bias",
    out_bias: "use_bias",
};

/// The letters of a pattern, and what lists of layers call them: now, and before transformers renamed them.
const KINDS: [(char, [&str; 2]); 4] = [
    ('M', ["linear_attention", "mamba"]),
    ('*', ["full_attention", "attention"]),
    ('-', ["mlp", "mlp"]),
    ('E', ["moe", "moe"]),
];

/// A mixture of experts, and the network that every row goes through as well.
struct Sparse {
    mixture: Mixture,
    shared: PlainMlp,
}

impl Block for Sparse {
    fn module(&self) -> &'static str {
        self.mixture.module()
    }

    fn build(
        &self,
        b: &mut Builder,
        x: ValueId,
        sizes: &Sizes,
        prefix: &str,
    ) -> Result<ValueId, GraphError> {
        let y = self.mixture.build(b, x, sizes, prefix)?;
        let prefix = format!("{prefix}.{}", self.shared.module());
        let all = self.shared.build(b, x, sizes, &prefix)?;
        b.add(y, all)
    }
}

pub(super) fn build(source: &Source) -> Result<(Graph, Sizes)> {
    let pattern = pattern(&source.config)?;
    let config = blocks::with_defaults(&source.config, defaults(&source.config, pattern.len()))?;
    let source = Source { config, ..source.clone() };
    let config = &source.config;
    for key in ["moe_latent_size", "sliding_window"] {
        if config.has(key) {
            return Err(config.error(key, "is not supported").into());
        }
    }
    let fields = Fields { eps: "layer_norm_epsilon", intermediate: None, ..Fields::usual(false) };
    // The pattern counts, whatever `num_hidden_layers` says.
    let sizes = Sizes { layers: pattern.len(), ..Sizes::read_as(config, fields)? };
    let norms = Norms { eps: sizes.eps, offset: 0.0 };
    let mut kinds: Vec<(char, Box<dyn Block>)> = Vec::new();
    for &letter in &pattern {
        if kinds.iter().all(|(known, _)| *known != letter) {
            kinds.push((letter, part(&source, &sizes, norms, letter)?));
        }
    }
    let find = |letter: &char| kinds.iter().find(|(known, _)| known == letter);
    let layers: Vec<&dyn Block> =
        pattern.iter().filter_map(find).map(|(_, part)| &**part).collect();
    let graph = graph(&sizes, norms, &layers).map_err(in_file(&source))?;
    Ok((graph, sizes))
}

/// The letter of each layer: from a string of them, or from a list of what layers are.
fn pattern(config: &Config) -> Result<Vec<char>> {
    const PATTERN: &str = "hybrid_override_pattern";
    let (key, pattern): (_, Option<Vec<char>>) = match config.opt_str(PATTERN)? {
        Some(letters) => {
            let known = |letter: &char| KINDS.iter().any(|(known, _)| known == letter);
            (PATTERN, letters.chars().map(|letter| Some(letter).filter(known)).collect())
        }
        None => {
            let key =
                if config.has("layers_block_type") { "layers_block_type" } else { "layer_types" };
            let Some(types) = config.opt_strs(key)? else {
                return Err(config.error(PATTERN, "missing, and so is layers_block_type").into());
            };
            let letter = |kind: &&str| KINDS.iter().find(|(_, names)| names.contains(kind));
            (key, types.iter().map(|kind| letter(kind).map(|(letter, _)| *letter)).collect())
        }
    };
    let Some(pattern) = pattern else {
        let known = KINDS.map(|(letter, [name, _])| format!("{letter} ({name})")).join(", ");
        return Err(config.error(key, format!("a layer is none of {known}")).into());
    };
    if !(1..=MOST_LAYERS).contains(&pattern.len()) {
        let problem = format!("{} layers; from 1 to {MOST_LAYERS} are supported", pattern.len());
        return Err(config.error(key, problem).into());
    }
    Ok(pattern)
}

/// What the reference's configuration class fills in; heads of attention had another name at first.
fn defaults(config: &Config, layers: usize) -> Value {
    json!({
        "num_hidden_layers": layers,
        "head_dim": config.get("attention_head_dim").cloned().unwrap_or_else(|| json!(128)),
        "num_key_value_heads": 8,
        "n_groups": 8,
        "conv_kernel": 4,
        "ssm_state_size": 128,
        "layer_norm_epsilon": 1e-5,
        "n_group": 1,
        "topk_group": 1,
    })
}

/// The part that a letter stands for.
fn part(source: &Source, sizes: &Sizes, norms: Norms, letter: char) -> Result<Box<dyn Block>> {
    let config = &source.config;
    let plain = |module: &'static str, width: &str| {
        blocks::only(config, "mlp_hidden_act", "relu2")?;
        let bias = config.bool_or("mlp_bias", false)?;
        let inner = config.usize(width, 1..=WIDEST)?;
        Ok::<_, crate::Error>(PlainMlp { module, activation: Activation::Relu2, bias, inner })
    };
    Ok(match letter {
        'M' => Box::new(mamba(source, norms)?),
        '*' => {
            let bias = config.bool_or("attention_bias", false)?;
            let layout = Layout::Split { bias };
            Box::new(Attention { layout, output_bias: bias, ..Attention::new(sizes, None) })
        }
        '-' => Box::new(plain("mlp", "intermediate_size")?),
        _ => {
            let shared = plain("shared_experts", "moe_shared_expert_intermediate_size")?;
            Box::new(Sparse { mixture: mixture(config, sizes)?, shared })
        }
    })
}

/// Steps have the limits that the configuration says, as where these models were trained. (transformers takes
/// `time_step_min` for the lower one in prefill, a value for initialisation, and none when it decodes.)
fn mamba(source: &Source, norms: Norms) -> Result<Mamba2> {
    let config = &source.config;
    let activation = blocks::activation(config, "mamba_hidden_act", Activation::Silu)?;
    Ok(Mamba2 { activation, ..Mamba2::read(source, &KEYS, 0, norms)? })
}

/// DeepSeek-V3's router over plain networks.
fn mixture(config: &Config, sizes: &Sizes) -> Result<Mixture> {
    let usual = blocks::mixture(config, sizes, Activation::Relu2)?;
    let count = config.usize("n_group", 1..=usual.experts)?;
    let kept = config.usize("topk_group", 1..=count)?;
    if !usual.experts.is_multiple_of(count) {
        let problem = format!("{count} does not divide the {} experts", usual.experts);
        return Err(config.error("n_group", problem).into());
    }
    let routing = Routing {
        scoring: Scoring::Sigmoid,
        correction: Some("gate.e_score_correction_bias"),
        groups: (count > 1).then_some(RouteGroups { count, kept }),
        normalise: config.bool_or("norm_topk_prob", true)?,
        scale: config.opt_f32_in("routed_scaling_factor", 1e-6..=1e6)?.unwrap_or(1.0),
        ..usual.routing
    };
    Ok(Mixture { routing, unit: ExpertUnit::Plain(Activation::Relu2), ..usual })
}

fn graph(sizes: &Sizes, norms: Norms, layers: &[&dyn Block]) -> Result<Graph, GraphError> {
    let mut b = Builder::new();
    let mut x = blocks::embed(&mut b, sizes, 1.0)?;
    for (index, layer) in layers.iter().enumerate() {
        b.at(format!("layers.{index}.{}", layer.module()));
        let name = format!("model.layers.{index}");
        let h = norms.row(&mut b, x, format!("{name}.input_layernorm.weight"))?;
        let h = layer.build(&mut b, h, sizes, &format!("{name}.{}", layer.module()))?;
        x = b.add(x, h)?;
    }
    blocks::head(b, x, sizes, norms, None)
}
