//! The operations. All values are f32 matrices `[rows, width]`, row-major.

use crate::{StateId, ValueId, WeightId};

/// A symbolic number of rows, given a value by each [`Batch`](crate::Batch).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rows {
    /// One row for each token of the step.
    Tokens,
    /// One row for each token whose logits are wanted.
    Outputs,
}

/// An intermediate of the graph.
#[derive(Debug, Clone)]
pub struct Value {
    /// Symbolic row count.
    pub rows: Rows,
    /// Elements in a row. Heads lie side by side: `[rows, heads * head_dim]`.
    pub width: usize,
}

/// One operation with its operands.
#[derive(Debug, Clone)]
pub struct Node {
    /// What is computed.
    pub op: Op,
    /// Operands, in the order the operation documents.
    pub inputs: Vec<ValueId>,
    /// Results; empty only for [`Op::Sample`].
    pub outputs: Vec<ValueId>,
    /// Where in the model this is, for errors and printing: `layers.3.attention`.
    pub label: String,
}

/// The closed set of operations.
#[derive(Debug, Clone)]
pub enum Op {
    /// `[] -> [Tokens, hidden]`: rows of `table` at the step's token ids, times `scale`.
    Embed {
        /// `[vocab, hidden]`.
        table: WeightId,
        /// Factor on every element (Gemma multiplies by `sqrt(hidden)`); 1 for most.
        scale: f32,
    },
    /// `[x] -> [x]`: root-mean-square norm.
    RmsNorm(RmsNorm),
    /// `[x] -> [x]`: normalises rows about their mean; see [`LayerNorm`].
    LayerNorm(LayerNorm),
    /// `[x] -> parts`, or `[x, residual] -> [y]` with [`Epilogue::Residual`].
    Linear(Linear),
    /// `[] -> [Tokens, rotary_dim]`: cosines then sines of the step's positions, computed once for
    /// all layers that share the table.
    RopeTable(RopeSpec),
    /// `[x, table] -> [x]`: rotates the first `rotary_dim` elements of each head by halves
    /// (element `i` with `i + rotary_dim / 2`, the "NeoX" order). Checkpoints that pair
    /// neighbours have their rows put in this order when weights are bound.
    Rope {
        /// Heads lying side by side in a row of `x`.
        heads: usize,
    },
    /// `[q, k, v] -> [Tokens, heads * head_dim]`: appends k and v to the state at the step's positions,
    /// then causal grouped-query attention over it.
    Attend(Attend),
    /// `[x] -> [x]`: causal convolution of each channel by itself.
    Conv(Conv),
    /// `[x, dt, b, c] -> [y]`: selective state space; see [`Scan`].
    Scan(Scan),
    /// `[q, k, v, a, b] -> [y]`: gated delta rule; see [`Delta`].
    Delta(Delta),
    /// `[logits: [rows, experts]] -> [rows, 2 * k]`: which experts a row goes to, the ids of `k` (whole
    /// numbers), then the weights of each.
    Route(Router),
    /// `[x, routes] -> [y]`: the weighted sum of what a row's experts make of it; see [`Experts`].
    Experts(Experts),
    /// `[gate, up] -> [y]`: see [`GatedUnit`].
    Glu(GatedUnit),
    /// `[x] -> [activation(x)]`.
    Activate(Activation),
    /// `[a, b] -> [a * b]`, element by element; `b` may be one element wide, and then goes with all of `a`.
    Mul,
    /// `[a, b] -> [a + b]`.
    Add,
    /// `[x] -> [x * factor]`.
    Scale(f32),
    /// `[x] -> [cap * tanh(x / cap)]`.
    Softcap(f32),
    /// `[x: Tokens] -> [x: Outputs]`: keeps the rows whose logits are wanted.
    Select,
    /// `[logits: Outputs] -> []`: draws a token for each output row.
    Sample,
}

/// `y = x / sqrt(mean(x^2) + eps) * (weight + offset)`, over each head's elements.
#[derive(Debug, Clone, PartialEq)]
pub struct RmsNorm {
    /// `[width / heads]`, shared by the heads, or `[width]`.
    pub weight: WeightId,
    /// Added to the mean square.
    pub eps: f32,
    /// Added to the weight: 1 for checkpoints that store norms centred on zero (Gemma).
    pub offset: f32,
    /// Groups of a row that are normalised separately; 1 is the whole row.
    pub heads: usize,
}

/// `y = (x - mean(x)) / sqrt(mean((x - mean(x))^2) + eps) * weight + bias`, over each row (Ba et al., "Layer
/// normalization", 2016).
#[derive(Debug, Clone, PartialEq)]
pub struct LayerNorm {
    /// `[width]`.
    pub weight: WeightId,
    /// `[width]`.
    pub bias: WeightId,
    /// Added to the variance.
    pub eps: f32,
}

/// One or more matrices applied to the same input.
///
/// A family emits one part and no epilogue; [`fuse`](fn@crate::fuse) makes the rest.
#[derive(Debug, Clone)]
pub struct Linear {
    /// Norm applied to the input first (fused from a preceding [`Op::RmsNorm`], `heads == 1`).
    pub norm: Option<RmsNorm>,
    /// Matrices sharing the input; each gives one output, except with [`Epilogue::Glu`].
    pub parts: Vec<Part>,
    /// What is done to the product before it is stored.
    pub epilogue: Epilogue,
}

/// One matrix of a [`Linear`].
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// `[out, in]`.
    pub weight: WeightId,
    /// `[out]`.
    pub bias: Option<WeightId>,
}

/// What a [`Linear`] does to its product before storing it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Epilogue {
    /// Store it.
    None,
    /// Add the second operand; exactly one part.
    Residual,
    /// The unit over part 0, its gate, and part 1; exactly two parts, one output.
    Glu(GatedUnit),
}

/// A gate and what it lets through: `(gate, up) -> y`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum GatedUnit {
    /// `activation(gate) * up` (Shazeer, "GLU variants improve transformer", 2020).
    Of(Activation),
    /// gpt-oss: `g * sigmoid(alpha * g) * (u + 1)`, with `g` at most `limit` and `u` within it on both sides.
    Clipped {
        /// Steepness of the sigmoid.
        alpha: f32,
        /// Largest magnitude.
        limit: f32,
    },
}

/// Pointwise nonlinearities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `x * sigmoid(x)`.
    Silu,
    /// GELU, tanh approximation.
    GeluTanh,
    /// GELU, exact (erf).
    Gelu,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `max(x, 0)^2` (So et al., "Primer", 2021).
    Relu2,
}

impl From<Activation> for GatedUnit {
    fn from(activation: Activation) -> Self {
        Self::Of(activation)
    }
}

/// Rotary embedding frequencies (Su et al., 2021), after any context scaling.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeSpec {
    /// Radians a position, `[rotary_dim / 2]`.
    pub frequencies: Vec<f32>,
    /// Factor on cosines and sines (YaRN and LongRoPE attention factor); 1 for most.
    pub scale: f32,
}

/// Causal grouped-query attention over a layer's state.
#[derive(Debug, Clone, PartialEq)]
pub struct Attend {
    /// Where keys and values are kept.
    pub state: StateId,
    /// Query heads.
    pub heads: usize,
    /// Factor on the scores.
    pub scale: f32,
    /// `cap * tanh(score / cap)` on scaled scores, before masking.
    pub softcap: Option<f32>,
    /// `[heads]`: a score that takes part in each head's softmax and has no value (gpt-oss).
    pub sinks: Option<WeightId>,
}

/// `y[t] = activation(bias + sum over j of weight[j] * x[t - kernel + 1 + j])`, for each channel; inputs before
/// the sequence are zero.
#[derive(Debug, Clone, PartialEq)]
pub struct Conv {
    /// Where the last inputs are kept.
    pub state: StateId,
    /// `[channels, kernel]`.
    pub weight: WeightId,
    /// `[channels]`.
    pub bias: Option<WeightId>,
    /// Applied to the sum.
    pub activation: Option<Activation>,
}

/// How a head's decay is stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Decay {
    /// `[heads]`: the logarithm of the rate, `A = -exp(w)`.
    Log(WeightId),
    /// `[heads]`: the rate itself, negative (as GGUF files have it).
    Rate(WeightId),
}

/// A selective state space (Dao and Gu, "Transformers are SSMs", 2024), for each head `h` of group
/// `g = h / (heads / groups)`:
///
/// ```text
/// d = clamp(softplus(dt[h] + dt_bias[h]), dt_limit)
/// S[n][p] = exp(A[h] d) S[n][p] + d b[g][n] x[h][p]
/// y[h][p] = sum over n of c[g][n] S[n][p]  +  D[h] x[h][p]
/// ```
///
/// `x` and `y` are `[Tokens, heads * head_dim]`, `dt` is `[Tokens, heads]`, `b` and `c` are `[Tokens, groups * state]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Scan {
    /// Where `S` is kept.
    pub state: StateId,
    /// Groups of heads that share `b` and `c`.
    pub groups: usize,
    /// `A`.
    pub decay: Decay,
    /// `[heads]`.
    pub dt_bias: WeightId,
    /// `[heads]`: `D`.
    pub skip: Option<WeightId>,
    /// Least and greatest step.
    pub dt_limit: (f32, f32),
}

/// The gated delta rule (Yang et al., "Gated delta networks", 2024), for each value head `h` with the key head that
/// `order` says:
///
/// ```text
/// q, k = q / sqrt(sum q^2 + eps) / sqrt(key_dim), k / sqrt(sum k^2 + eps)
/// S = exp(A[h] softplus(a[h] + dt_bias[h])) S
/// S = S + sigmoid(b[h]) k (v - k S)
/// y = q S
/// ```
///
/// `q` and `k` are `[Tokens, key_heads * key_dim]`, `v` and `y` `[Tokens, heads * value_dim]`, `a` and `b`
/// `[Tokens, heads]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Delta {
    /// Where `S` is kept.
    pub state: StateId,
    /// Heads of `q` and `k`.
    pub key_heads: usize,
    /// Which value heads share one.
    pub order: HeadOrder,
    /// `A`.
    pub decay: Decay,
    /// `[heads]`.
    pub dt_bias: WeightId,
    /// Added to the sums of squares.
    pub eps: f32,
}

/// How value heads lie that share key heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum HeadOrder {
    /// Side by side: value head `h` has key head `h / (heads / key_heads)`.
    #[default]
    Grouped,
    /// In turn: value head `h` has key head `h % key_heads` (GGUF files of Qwen3.5).
    Tiled,
}

impl HeadOrder {
    /// Of `heads` value heads, the `index`-th when those of the first key head are counted first, then those of the second,
    /// and so on.
    pub fn value_head(self, index: usize, heads: usize, key_heads: usize) -> usize {
        let share = heads / key_heads;
        match self {
            Self::Grouped => index,
            Self::Tiled => index % share * key_heads + index / share,
        }
    }

    /// The key head of value head `head`.
    pub fn key_head(self, head: usize, heads: usize, key_heads: usize) -> usize {
        match self {
            Self::Grouped => head / (heads / key_heads),
            Self::Tiled => head % key_heads,
        }
    }
}

/// How a row's experts are chosen and weighted.
///
/// Scores are made of the logits; the `k` largest of score plus `bias` are chosen, ties to the lowest id; their weights
/// are the scores (without `bias`), divided by their sum with `normalise`, times `scale`. Taking a
/// softmax of the `k` largest logits alone is the same as a softmax over all with `normalise`.
#[derive(Debug, Clone, PartialEq)]
pub struct Router {
    /// Experts a row goes to.
    pub k: usize,
    /// What becomes of the logits.
    pub scoring: Scoring,
    /// `[experts]`: added for the choice alone (DeepSeek-AI, "DeepSeek-V3", 2024).
    pub bias: Option<WeightId>,
    /// Choose groups of experts first.
    pub groups: Option<RouteGroups>,
    /// Divide the chosen weights by their sum.
    pub normalise: bool,
    /// Factor on the weights.
    pub scale: f32,
}

/// Experts in equal groups, of which a few are considered: those whose two best experts have the largest
/// sum of score plus bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RouteGroups {
    /// How many groups there are.
    pub count: usize,
    /// How many are considered.
    pub kept: usize,
}

/// What becomes of a router's logits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scoring {
    /// `exp(x) / sum of exp`.
    Softmax,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// One expert after the other, each the one with the largest logit, `m`, of those left. Its weight is what a softmax
    /// over those left gives it, without the far ones: those with `(m - x) / max(|x|, m) > reach` (Liu et al., "GRIN:
    /// gradient-informed MoE", 2024, as it is after training). There are no bias, groups or `normalise` with it.
    OneByOne {
        /// How far behind the largest a logit may be.
        reach: f32,
    },
}

/// Feed-forward networks of which each row goes through a few.
#[derive(Debug, Clone, PartialEq)]
pub struct Experts {
    /// What is between the matrices.
    pub unit: ExpertUnit,
    /// The networks.
    pub experts: Vec<Expert>,
    /// Experts a row goes to.
    pub k: usize,
}

/// What is between an expert's matrices.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ExpertUnit {
    /// `down(unit(gate x, up x))`.
    Gated(GatedUnit),
    /// `down(activation(up x))`.
    Plain(Activation),
}

/// One expert.
#[derive(Debug, Clone, PartialEq)]
pub struct Expert {
    /// `[width, in]`, with [`ExpertUnit::Gated`] only.
    pub gate: Option<Part>,
    /// `[width, in]`.
    pub up: Part,
    /// `[in, width]`.
    pub down: Part,
}
