//! The gated short convolution of LFM2 (Liquid AI, 2025).

use tessera_formats::Config;
use tessera_graph::{Builder, Conv, GraphError, RowSlice, ValueId};

use super::{Block, Sizes, attention::bias};
use crate::Result as Checked;

type Result<T> = std::result::Result<T, GraphError>;

const LONGEST_KERNEL: usize = 64;

/// `out(C * conv(B * x))`, with `B`, `C` and `x` projections of the input.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShortConv {
    /// Positions seen.
    pub(crate) kernel: usize,
    /// Whether projections and convolution have biases.
    pub(crate) bias: bool,
}

impl ShortConv {
    pub(crate) fn read(config: &Config) -> Checked<Self> {
        let kernel = config.opt_usize("conv_L_cache", 2..=LONGEST_KERNEL)?.unwrap_or(3);
        Ok(Self { kernel, bias: config.bool_or("conv_bias", false)? })
    }

    /// Third `index` of the input projection.
    fn project(&self, b: &mut Builder, x: ValueId, prefix: &str, index: usize) -> Result<ValueId> {
        let hidden = b.dims(x).1;
        let slice = RowSlice::rows(index * hidden, hidden, 3 * hidden);
        let matrix = b.matrix_slice(format!("{prefix}.in_proj.weight"), slice, hidden, hidden)?;
        let bias = self
            .bias
            .then(|| b.vector_slice(format!("{prefix}.in_proj.bias"), slice, hidden))
            .transpose()?;
        b.linear(x, matrix, bias)
    }
}

impl Block for ShortConv {
    fn module(&self) -> &'static str {
        "conv"
    }

    fn build(&self, b: &mut Builder, x: ValueId, sizes: &Sizes, prefix: &str) -> Result<ValueId> {
        let hidden = sizes.hidden;
        let [enter, leave, x] = [
            self.project(b, x, prefix, 0)?,
            self.project(b, x, prefix, 1)?,
            self.project(b, x, prefix, 2)?,
        ];
        let x = b.mul(x, enter)?;
        let state = b.conv_state(hidden, self.kernel)?;
        let weight = b.matrix(format!("{prefix}.conv.weight"), hidden, self.kernel)?;
        let offset = bias(b, self.bias, prefix, "conv", hidden)?;
        let x = b.conv(x, Conv { state, weight, bias: offset, activation: None })?;
        let x = b.mul(x, leave)?;
        let matrix = b.matrix(format!("{prefix}.out_proj.weight"), hidden, hidden)?;
        let offset = bias(b, self.bias, prefix, "out_proj", hidden)?;
        b.linear(x, matrix, offset)
    }
}
