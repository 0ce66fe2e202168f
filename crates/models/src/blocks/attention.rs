//! Grouped-query attention, with rotary embedding or without.

use tessera_graph::{Activation, Attend, Builder, GraphError, RowSlice, ValueId, WeightId};

use super::{Block, Norms, Sizes};

type Result<T> = std::result::Result<T, GraphError>;

/// How the projections are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `q_proj`, `k_proj`, `v_proj`, the first three with a bias or not.
    Split { bias: bool },
    /// `qkv_proj`: their rows one after the other.
    Fused,
    /// As [`Layout::Split`], but each head of `q_proj` has a second half, whose sigmoid the head's result is
    /// multiplied by.
    Gated { bias: bool },
}

/// One layer's attention.
#[derive(Debug, Clone)]
pub(crate) struct Attention {
    pub(crate) layout: Layout,
    /// Whether `o_proj` has a bias.
    pub(crate) output_bias: bool,
    /// Norm of each head of queries and keys, before they are rotated.
    pub(crate) head_norm: Option<Norms>,
    /// Norm of all heads of queries, and of keys, together, before they are rotated.
    pub(crate) row_norm: Option<Norms>,
    /// Cosines and sines; without them, queries and keys are not rotated.
    pub(crate) rope: Option<ValueId>,
    /// Positions seen; `None` is all.
    pub(crate) window: Option<usize>,
    /// Factor on the scores; mostly `head_dim^-1/2`.
    pub(crate) scale: f32,
    /// Soft cap on the scores.
    pub(crate) softcap: Option<f32>,
    /// Whether each head has a score, `sinks`, that takes weight and gives nothing.
    pub(crate) sinks: bool,
}

impl Attention {
    /// The usual: split projections without bias, all positions, `head_dim^-1/2`.
    pub(crate) fn new(sizes: &Sizes, rope: impl Into<Option<ValueId>>) -> Self {
        Self {
            layout: Layout::Split { bias: false },
            output_bias: false,
            head_norm: None,
            row_norm: None,
            rope: rope.into(),
            window: None,
            scale: (sizes.head_dim as f32).powf(-0.5),
            softcap: None,
            sinks: false,
        }
    }
}

impl Block for Attention {
    fn module(&self) -> &'static str {
        "self_attn"
    }

    fn build(&self, b: &mut Builder, x: ValueId, sizes: &Sizes, prefix: &str) -> Result<ValueId> {
        let Sizes { heads, kv_heads, head_dim, hidden, .. } = *sizes;
        let mut q = self.project(b, x, sizes, prefix, Projection::Queries)?;
        let mut k = self.project(b, x, sizes, prefix, Projection::Keys)?;
        let v = self.project(b, x, sizes, prefix, Projection::Values)?;
        if let Some(norms) = self.head_norm {
            q = norms.heads(b, q, format!("{prefix}.q_norm.weight"), heads)?;
            k = norms.heads(b, k, format!("{prefix}.k_norm.weight"), kv_heads)?;
        }
        if let Some(norms) = self.row_norm {
            q = norms.row(b, q, format!("{prefix}.q_norm.weight"))?;
            k = norms.row(b, k, format!("{prefix}.k_norm.weight"))?;
        }
        if let Some(rope) = self.rope {
            q = b.rope(q, rope, heads)?;
            k = b.rope(k, rope, kv_heads)?;
        }
        let state = b.kv(kv_heads, head_dim, self.window)?;
        let sinks = self.sinks.then(|| b.vector(format!("{prefix}.sinks"), heads)).transpose()?;
        let attend = Attend { state, heads, scale: self.scale, softcap: self.softcap, sinks };
        let mut y = b.attend(q, k, v, attend)?;
        if let Layout::Gated { .. } = self.layout {
            let gate = self.project(b, x, sizes, prefix, Projection::Gate)?;
            y = b.glu(Activation::Sigmoid, gate, y)?;
        }
        let matrix = b.matrix(format!("{prefix}.o_proj.weight"), hidden, heads * head_dim)?;
        let bias = bias(b, self.output_bias, prefix, "o_proj", hidden)?;
        b.linear(y, matrix, bias)
    }
}

/// What attention makes of its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Projection {
    Queries,
    Keys,
    Values,
    /// Of [`Layout::Gated`].
    Gate,
}

impl Attention {
    fn project(
        &self,
        b: &mut Builder,
        x: ValueId,
        sizes: &Sizes,
        prefix: &str,
        which: Projection,
    ) -> Result<ValueId> {
        let Sizes { heads, kv_heads, head_dim, .. } = *sizes;
        let (width, kv_width, cols) = (heads * head_dim, kv_heads * head_dim, b.dims(x).1);
        let (name, rows) = match which {
            Projection::Queries | Projection::Gate => ("q_proj", width),
            Projection::Keys => ("k_proj", kv_width),
            Projection::Values => ("v_proj", kv_width),
        };
        match self.layout {
            Layout::Fused => {
                let first = match which {
                    Projection::Queries | Projection::Gate => 0,
                    Projection::Keys => width,
                    Projection::Values => width + kv_width,
                };
                let name = format!("{prefix}.qkv_proj.weight");
                let matrix = b.matrix_rows(name, [first, rows, width + 2 * kv_width], cols)?;
                b.linear(x, matrix, None)
            }
            Layout::Gated { bias } if name == "q_proj" => {
                let first = if which == Projection::Gate { head_dim } else { 0 };
                let slice =
                    RowSlice { first, stripe: head_dim, stride: 2 * head_dim, of: 2 * width };
                let matrix =
                    b.matrix_slice(format!("{prefix}.q_proj.weight"), slice, rows, cols)?;
                let bias = bias
                    .then(|| b.vector_slice(format!("{prefix}.q_proj.bias"), slice, rows))
                    .transpose()?;
                b.linear(x, matrix, bias)
            }
            Layout::Split { bias: biased } | Layout::Gated { bias: biased } => {
                let matrix = b.matrix(format!("{prefix}.{name}.weight"), rows, cols)?;
                let bias = bias(b, biased, prefix, name, rows)?;
                b.linear(x, matrix, bias)
            }
        }
    }
}

/// The bias beside a matrix, if it has one.
pub(super) fn bias(
    b: &mut Builder,
    has: bool,
    prefix: &str,
    name: &str,
    len: usize,
) -> Result<Option<WeightId>> {
    has.then(|| b.vector(format!("{prefix}.{name}.bias"), len)).transpose()
}
