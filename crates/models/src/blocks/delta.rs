//! The layer around a gated delta rule (Yang et al., "Gated delta networks", 2024), as Qwen3-Next has it.

use tessera_formats::Config;
use tessera_graph::{
    Activation, Builder, Conv, Decay, Delta, GraphError, HeadOrder, RowSlice, ValueId,
};

use super::{Block, Norms, Sizes};
use crate::Result as Checked;

type Result<T> = std::result::Result<T, GraphError>;

const MOST_HEADS: usize = 4096;
const WIDEST_HEAD: usize = 4096;
const WIDEST: usize = 1 << 20;
const LONGEST_KERNEL: usize = 64;
/// Added to the squared lengths of queries and keys; in the reference's code, not in configurations.
const EPS: f32 = 1e-6;

/// How the projections of the input are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Projections {
    /// `in_proj_qkvz`, for each key head its `[q | k | v | z]`, and `in_proj_ba`, likewise.
    Interleaved,
    /// `in_proj_qkv`, and `in_proj_z`, `in_proj_b`, `in_proj_a`.
    Split,
    /// As [`Projections::Split`], but value heads take turns among the key heads, everywhere: GGUF files of Qwen3.5.
    Tiled,
    /// As in GGUF files of Qwen3-Next: `in_proj_qkv` and `in_proj_z`, but `in_proj_ba` for each key head.
    Mixed,
}

/// How the rate of decay is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rate {
    /// The logarithm of its magnitude.
    Log,
    /// Itself.
    Plain,
}

/// One layer's recurrence.
#[derive(Debug, Clone)]
pub(crate) struct GatedDelta {
    pub(crate) projections: Projections,
    pub(crate) rate: Rate,
    /// Heads of queries and keys, which `heads` value heads share.
    pub(crate) key_heads: usize,
    pub(crate) heads: usize,
    pub(crate) key_dim: usize,
    pub(crate) value_dim: usize,
    /// Positions a convolution sees.
    pub(crate) kernel: usize,
    /// Of each head's result.
    pub(crate) norms: Norms,
    pub(crate) activation: Activation,
}

/// What the layer makes of its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Queries,
    Keys,
    Values,
    Gate,
    /// Of the state.
    Decay,
    /// How much of a value is taken in.
    Beta,
}

impl GatedDelta {
    /// Reads the sizes.
    pub(crate) fn read(
        config: &Config,
        sizes: &Sizes,
        projections: Projections,
        rate: Rate,
        activation: Activation,
    ) -> Checked<Self> {
        let key_heads = config.usize("linear_num_key_heads", 1..=MOST_HEADS)?;
        let heads = config.usize("linear_num_value_heads", 1..=MOST_HEADS)?;
        if heads % key_heads != 0 {
            let problem = format!("{key_heads} does not divide the {heads} value heads");
            return Err(config.error("linear_num_key_heads", problem).into());
        }
        let key_dim = config.usize("linear_key_head_dim", 1..=WIDEST_HEAD)?;
        let value_dim = config.usize("linear_value_head_dim", 1..=WIDEST_HEAD)?;
        if key_heads * key_dim > WIDEST || heads * value_dim > WIDEST {
            let problem = format!("heads of more than {WIDEST} elements in all");
            return Err(config.error("linear_num_value_heads", problem).into());
        }
        let kernel = config.usize("linear_conv_kernel_dim", 2..=LONGEST_KERNEL)?;
        let norms = Norms { eps: sizes.eps, offset: 0.0 };
        Ok(Self {
            projections,
            rate,
            key_heads,
            heads,
            key_dim,
            value_dim,
            kernel,
            norms,
            activation,
        })
    }

    /// Rows of a part: first among `[q | k | v]` and how many.
    fn rows(&self, part: Part) -> [usize; 2] {
        let (keys, values) = (self.key_heads * self.key_dim, self.heads * self.value_dim);
        match part {
            Part::Queries => [0, keys],
            Part::Keys => [keys, keys],
            Part::Values => [2 * keys, values],
            Part::Gate => [0, values],
            Part::Decay | Part::Beta => [0, self.heads],
        }
    }

    /// Where a part is: module, rows of it if not all.
    fn place(&self, part: Part) -> (&'static str, Option<RowSlice>) {
        let Self { key_dim, value_dim, heads, key_heads, .. } = *self;
        let shared = heads / key_heads;
        let values = shared * value_dim;
        let by_head = |first: usize, stripe: usize, stride: usize| {
            Some(RowSlice { first, stripe, stride, of: key_heads * stride })
        };
        let all = 2 * key_dim + 2 * values;
        match (self.projections, part) {
            (Projections::Interleaved, Part::Queries) => ("in_proj_qkvz", by_head(0, key_dim, all)),
            (Projections::Interleaved, Part::Keys) => {
                ("in_proj_qkvz", by_head(key_dim, key_dim, all))
            }
            (Projections::Interleaved, Part::Values) => {
                ("in_proj_qkvz", by_head(2 * key_dim, values, all))
            }
            (Projections::Interleaved, Part::Gate) => {
                ("in_proj_qkvz", by_head(2 * key_dim + values, values, all))
            }
            (_, Part::Queries | Part::Keys | Part::Values) => {
                let [first, rows] = self.rows(part);
                ("in_proj_qkv", Some(RowSlice::rows(first, rows, self.channels())))
            }
            (_, Part::Gate) => ("in_proj_z", None),
            (Projections::Split | Projections::Tiled, Part::Decay) => ("in_proj_a", None),
            (Projections::Split | Projections::Tiled, Part::Beta) => ("in_proj_b", None),
            (_, Part::Beta) => ("in_proj_ba", by_head(0, shared, 2 * shared)),
            (_, Part::Decay) => ("in_proj_ba", by_head(shared, shared, 2 * shared)),
        }
    }

    fn channels(&self) -> usize {
        2 * self.key_heads * self.key_dim + self.heads * self.value_dim
    }

    fn project(&self, b: &mut Builder, x: ValueId, prefix: &str, part: Part) -> Result<ValueId> {
        let ([_, rows], (module, slice)) = (self.rows(part), self.place(part));
        let (name, cols) = (format!("{prefix}.{module}.weight"), b.dims(x).1);
        let matrix = match slice {
            Some(slice) => b.matrix_slice(name, slice, rows, cols)?,
            None => b.matrix(name, rows, cols)?,
        };
        b.linear(x, matrix, None)
    }

    /// A projection, and each of its channels convolved with its own past. The reference convolves queries,
    /// keys and values side by side; as channels do not meet, it is the same one by one.
    fn convolved(&self, b: &mut Builder, x: ValueId, prefix: &str, part: Part) -> Result<ValueId> {
        let x = self.project(b, x, prefix, part)?;
        let [first, rows] = self.rows(part);
        let slice = RowSlice::rows(first, rows, self.channels());
        let weight = b.matrix_slice(format!("{prefix}.conv1d.weight"), slice, rows, self.kernel)?;
        let state = b.conv_state(rows, self.kernel)?;
        b.conv(x, Conv { state, weight, bias: None, activation: Some(self.activation) })
    }
}

impl Block for GatedDelta {
    fn module(&self) -> &'static str {
        "linear_attn"
    }

    fn build(&self, b: &mut Builder, x: ValueId, sizes: &Sizes, prefix: &str) -> Result<ValueId> {
        let Self { heads, key_dim, value_dim, key_heads, .. } = *self;
        let q = self.convolved(b, x, prefix, Part::Queries)?;
        let k = self.convolved(b, x, prefix, Part::Keys)?;
        let v = self.convolved(b, x, prefix, Part::Values)?;
        let decay = self.project(b, x, prefix, Part::Decay)?;
        let beta = self.project(b, x, prefix, Part::Beta)?;
        let state = b.delta_state(heads, key_dim, value_dim)?;
        let rate = b.vector(format!("{prefix}.A_log"), heads)?;
        let op = Delta {
            state,
            key_heads,
            order: match self.projections {
                Projections::Tiled => HeadOrder::Tiled,
                _ => HeadOrder::Grouped,
            },
            decay: if self.rate == Rate::Log { Decay::Log(rate) } else { Decay::Rate(rate) },
            dt_bias: b.vector(format!("{prefix}.dt_bias"), heads)?,
            eps: EPS,
        };
        let y = b.delta([q, k, v, decay, beta], op)?;
        let y = self.norms.heads(b, y, format!("{prefix}.norm.weight"), heads)?;
        let gate = self.project(b, x, prefix, Part::Gate)?;
        let y = b.glu(Activation::Silu, gate, y)?;
        let matrix =
            b.matrix(format!("{prefix}.out_proj.weight"), sizes.hidden, heads * value_dim)?;
        b.linear(y, matrix, None)
    }
}
