//! Feed-forward networks, gated and plain.

use tessera_formats::Config;
use tessera_graph::{Activation, Builder, GraphError, ValueId};

use super::{Block, Sizes, attention::bias, times};

/// `down(activation(gate x) * up x)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mlp {
    pub(crate) activation: Activation,
    /// Whether the three matrices have biases.
    pub(crate) bias: bool,
    /// Whether gate and up are stored as one matrix, `gate_up_proj`, gate first.
    pub(crate) fused: bool,
}

impl Block for Mlp {
    fn module(&self) -> &'static str {
        "mlp"
    }

    fn build(
        &self,
        b: &mut Builder,
        x: ValueId,
        sizes: &Sizes,
        prefix: &str,
    ) -> Result<ValueId, GraphError> {
        self.scaled(b, x, sizes, prefix, [1.0; 2])
    }
}

impl Mlp {
    /// The same with factors on the gate, before its activation, and on the result.
    pub(crate) fn scaled(
        &self,
        b: &mut Builder,
        x: ValueId,
        sizes: &Sizes,
        prefix: &str,
        factors: [f32; 2],
    ) -> Result<ValueId, GraphError> {
        let Sizes { hidden, intermediate, .. } = *sizes;
        let project = |b: &mut Builder, name: &str, first: usize| {
            let matrix = if self.fused {
                let name = format!("{prefix}.gate_up_proj.weight");
                b.matrix_rows(name, [first, intermediate, 2 * intermediate], hidden)?
            } else {
                b.matrix(format!("{prefix}.{name}.weight"), intermediate, hidden)?
            };
            let bias = bias(b, self.bias, prefix, name, intermediate)?;
            b.linear(x, matrix, bias)
        };
        let gate = project(b, "gate_proj", 0)?;
        let gate = times(b, gate, factors[0]);
        let up = project(b, "up_proj", intermediate)?;
        let y = b.glu(self.activation, gate, up)?;
        let matrix = b.matrix(format!("{prefix}.down_proj.weight"), hidden, intermediate)?;
        let bias = bias(b, self.bias, prefix, "down_proj", hidden)?;
        let y = b.linear(y, matrix, bias)?;
        Ok(times(b, y, factors[1]))
    }
}

/// `down(activation(up x))`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlainMlp {
    /// What the layer calls it.
    pub(crate) module: &'static str,
    pub(crate) activation: Activation,
    /// Whether the matrices have biases.
    pub(crate) bias: bool,
    pub(crate) inner: usize,
}

impl Block for PlainMlp {
    fn module(&self) -> &'static str {
        self.module
    }

    fn build(
        &self,
        b: &mut Builder,
        x: ValueId,
        sizes: &Sizes,
        prefix: &str,
    ) -> Result<ValueId, GraphError> {
        let project = |b: &mut Builder, x: ValueId, name: &str, [rows, cols]: [usize; 2]| {
            let matrix = b.matrix(format!("{prefix}.{name}.weight"), rows, cols)?;
            let bias = bias(b, self.bias, prefix, name, rows)?;
            b.linear(x, matrix, bias)
        };
        let h = project(b, x, "up_proj", [self.inner, sizes.hidden])?;
        let h = b.activate(self.activation, h);
        project(b, h, "down_proj", [sizes.hidden, self.inner])
    }
}

/// The activation a field names, or the family's own where it is silent.
pub(crate) fn activation(
    config: &Config,
    key: &str,
    default: Activation,
) -> tessera_formats::Result<Activation> {
    match config.opt_str(key)? {
        None => Ok(default),
        Some("silu" | "swish") => Ok(Activation::Silu),
        Some("gelu_pytorch_tanh" | "gelu_new") => Ok(Activation::GeluTanh),
        Some("gelu") => Ok(Activation::Gelu),
        Some(other) => {
            let problem =
                format!("{other:?} is not supported; silu, gelu and gelu_pytorch_tanh are");
            Err(config.error(key, problem))
        }
    }
}
