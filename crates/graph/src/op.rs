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
    /// `[gate, up] -> [y]`: `activation(gate) * up`.
    Glu(Activation),
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
    /// `[width / heads]`.
    pub weight: WeightId,
    /// Added to the mean square.
    pub eps: f32,
    /// Added to the weight: 1 for checkpoints that store norms centred on zero (Gemma).
    pub offset: f32,
    /// Groups of a row that are normalised separately; 1 is the whole row.
    pub heads: usize,
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
    /// `activation(part 0) * part 1`; exactly two parts, one output.
    Glu(Activation),
}

/// Pointwise nonlinearities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(x)`.
    Silu,
    /// GELU, tanh approximation.
    GeluTanh,
    /// GELU, exact (erf).
    Gelu,
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
}
