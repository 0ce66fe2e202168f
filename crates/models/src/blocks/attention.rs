//! Grouped-query attention with rotary embedding.

use tessera_graph::{Attend, Builder, GraphError, ValueId, WeightId};

use super::{Norms, Sizes};

type Result<T> = std::result::Result<T, GraphError>;

/// How the projections are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `q_proj`, `k_proj`, `v_proj`, the first three with a bias or not.
    Split { bias: bool },
    /// `qkv_proj`: their rows one after the other.
    Fused,
}

/// One layer's attention.
#[derive(Debug, Clone)]
pub(crate) struct Attention {
    pub(crate) layout: Layout,
    /// Whether `o_proj` has a bias.
    pub(crate) output_bias: bool,
    /// Norm of each head of queries and keys, before they are rotated.
    pub(crate) head_norm: Option<Norms>,
    /// Cosines and sines.
    pub(crate) rope: ValueId,
    /// Positions seen; `None` is all.
    pub(crate) window: Option<usize>,
    /// Factor on the scores; mostly `head_dim^-1/2`.
    pub(crate) scale: f32,
    /// Soft cap on the scores.
    pub(crate) softcap: Option<f32>,
}

impl Attention {
    /// The usual: split projections without bias, all positions, `head_dim^-1/2`.
    pub(crate) fn new(sizes: &Sizes, rope: ValueId) -> Self {
        Self {
            layout: Layout::Split { bias: false },
            output_bias: false,
            head_norm: None,
            rope,
            window: None,
            scale: (sizes.head_dim as f32).powf(-0.5),
            softcap: None,
        }
    }

    /// Attention of `x` with the weights below `prefix`.
    pub(crate) fn build(
        &self,
        b: &mut Builder,
        x: ValueId,
        sizes: &Sizes,
        prefix: &str,
    ) -> Result<ValueId> {
        let Sizes { heads, kv_heads, head_dim, hidden, .. } = *sizes;
        let (width, kv_width) = (heads * head_dim, kv_heads * head_dim);
        let mut q = self.project(b, x, prefix, "q_proj", [0, width], width + 2 * kv_width)?;
        let mut k =
            self.project(b, x, prefix, "k_proj", [width, kv_width], width + 2 * kv_width)?;
        let v = self.project(
            b,
            x,
            prefix,
            "v_proj",
            [width + kv_width, kv_width],
            width + 2 * kv_width,
        )?;
        if let Some(norms) = self.head_norm {
            q = norms.heads(b, q, format!("{prefix}.q_norm.weight"), heads)?;
            k = norms.heads(b, k, format!("{prefix}.k_norm.weight"), kv_heads)?;
        }
        let q = b.rope(q, self.rope, heads)?;
        let k = b.rope(k, self.rope, kv_heads)?;
        let state = b.kv(kv_heads, head_dim, self.window)?;
        let attend = Attend { state, heads, scale: self.scale, softcap: self.softcap, sinks: None };
        let y = b.attend(q, k, v, attend)?;
        let matrix = b.matrix(format!("{prefix}.o_proj.weight"), hidden, width)?;
        let bias = bias(b, self.output_bias, prefix, "o_proj", hidden)?;
        b.linear(y, matrix, bias)
    }

    /// One projection: `rows` are the first and the number of its rows among the `of` of a fused one.
    fn project(
        &self,
        b: &mut Builder,
        x: ValueId,
        prefix: &str,
        name: &str,
        rows: [usize; 2],
        of: usize,
    ) -> Result<ValueId> {
        let cols = b.dims(x).1;
        let [first, rows] = rows;
        match self.layout {
            Layout::Split { bias: biased } => {
                let matrix = b.matrix(format!("{prefix}.{name}.weight"), rows, cols)?;
                let bias = bias(b, biased, prefix, name, rows)?;
                b.linear(x, matrix, bias)
            }
            Layout::Fused => {
                let name = format!("{prefix}.qkv_proj.weight");
                let matrix = b.matrix_rows(name, [first, rows, of], cols)?;
                b.linear(x, matrix, None)
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
