//! The sizes every decoder has, bounded.

use serde_json::Value;
use tessera_formats::Config;

use crate::Result;

/// Most positions of a sequence: those that f32 still tells apart.
pub(crate) const LONGEST_CONTEXT: usize = 1 << 24;

/// Positions of a model that remembers a state of fixed size, and says nothing: what GGUF files of such
/// models say.
const UNBOUNDED_CONTEXT: usize = 1 << 20;

pub(crate) const MOST_LAYERS: usize = 1024;
pub(crate) const MOST_HEADS: usize = 4096;
pub(crate) const WIDEST_HEAD: usize = 4096;
/// Most elements of a row.
pub(crate) const WIDEST: usize = 1 << 20;
const LARGEST_VOCAB: usize = 1 << 24;

/// Sizes of a decoder.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sizes {
    pub(crate) layers: usize,
    /// Width of the residual stream.
    pub(crate) hidden: usize,
    /// Query heads; these three are 0 in a model without attention.
    pub(crate) heads: usize,
    /// Key/value heads.
    pub(crate) kv_heads: usize,
    /// Elements of a head.
    pub(crate) head_dim: usize,
    /// Width of the gated unit.
    pub(crate) intermediate: usize,
    pub(crate) vocab: usize,
    /// Positions the model was trained for.
    pub(crate) context: usize,
    /// Of every norm.
    pub(crate) eps: f32,
    /// Whether the embedding is the output matrix as well.
    pub(crate) tied: bool,
}

/// Where a family's sizes are, and which of them it has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields {
    /// Whether the head is tied where the configuration does not say.
    pub(crate) tied: bool,
    /// What is added under the root in norms.
    pub(crate) eps: &'static str,
    /// Whether there is attention, which needs heads, and positions to tell apart.
    pub(crate) attention: bool,
    /// Width of the feed-forward network, if all layers' are alike.
    pub(crate) intermediate: Option<&'static str>,
}

impl Fields {
    /// As in most families.
    pub(crate) fn usual(tied: bool) -> Self {
        Self { tied, eps: "rms_norm_eps", attention: true, intermediate: Some("intermediate_size") }
    }
}

impl Sizes {
    /// Reads them; `tied` is the family's default.
    pub(crate) fn read(config: &Config, tied: bool) -> Result<Self> {
        Self::read_as(config, Fields::usual(tied))
    }

    /// Reads them from a family's own fields. What a model does not have is zero.
    pub(crate) fn read_as(config: &Config, fields: Fields) -> Result<Self> {
        let hidden = config.usize("hidden_size", 1..=WIDEST)?;
        let [heads, kv_heads, head_dim] =
            if fields.attention { heads(config, hidden)? } else { [0; 3] };
        let intermediate = match fields.intermediate {
            Some(key) => config.usize(key, 1..=WIDEST)?,
            None => 0,
        };
        const CONTEXT: &str = "max_position_embeddings";
        let context = if fields.attention {
            config.usize(CONTEXT, 1..=LONGEST_CONTEXT)?
        } else {
            config.opt_usize(CONTEXT, 1..=LONGEST_CONTEXT)?.unwrap_or(UNBOUNDED_CONTEXT)
        };
        Ok(Self {
            layers: config.usize("num_hidden_layers", 1..=MOST_LAYERS)?,
            hidden,
            heads,
            kv_heads,
            head_dim,
            intermediate,
            vocab: config.usize("vocab_size", 1..=LARGEST_VOCAB)?,
            context,
            eps: config.f32_in(fields.eps, 0.0..=1.0)?,
            tied: config.bool_or("tie_word_embeddings", fields.tied)?,
        })
    }
}

/// Query heads, key/value heads, elements of a head.
fn heads(config: &Config, hidden: usize) -> Result<[usize; 3]> {
    let heads = config.usize("num_attention_heads", 1..=MOST_HEADS)?;
    let kv_heads = config.opt_usize("num_key_value_heads", 1..=MOST_HEADS)?.unwrap_or(heads);
    if heads % kv_heads != 0 {
        let problem = format!("{kv_heads} does not divide the {heads} attention heads");
        return Err(config.error("num_key_value_heads", problem).into());
    }
    let head_dim = match config.opt_usize("head_dim", 1..=WIDEST_HEAD)? {
        Some(head_dim) => head_dim,
        None if hidden.is_multiple_of(heads) && hidden / heads <= WIDEST_HEAD => hidden / heads,
        None => {
            let problem =
                format!("missing, and {hidden} is not {heads} heads of at most {WIDEST_HEAD}");
            return Err(config.error("head_dim", problem).into());
        }
    };
    if heads * head_dim > WIDEST {
        let problem = format!("{heads} heads of {head_dim} are more than {WIDEST} elements");
        return Err(config.error("num_attention_heads", problem).into());
    }
    Ok([heads, kv_heads, head_dim])
}

/// `config` with a family's defaults for the fields it lacks.
pub(crate) fn with_defaults(config: &Config, defaults: Value) -> Result<Config> {
    let mut fields = config.raw().clone();
    if let Value::Object(defaults) = defaults {
        for (key, value) in defaults {
            let field = fields.entry(key).or_insert(Value::Null);
            if field.is_null() {
                *field = value;
            }
        }
    }
    Ok(Config::from_json(Value::Object(fields), config.origin())?)
}
