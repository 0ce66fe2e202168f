//! The mixer of Mamba-2 (Dao and Gu, "Transformers are SSMs", 2024).

use tessera_formats::{Config, Kind};
use tessera_graph::{
    Activation, Builder, Conv, Decay, GraphError, RowSlice, Scan, ValueId, WeightId,
};

use super::{
    Block, Norms, Sizes,
    sizes::{MOST_HEADS, WIDEST, WIDEST_HEAD},
    times,
};
use crate::{Result as Checked, source::Source};

type Result<T> = std::result::Result<T, GraphError>;

const LONGEST_KERNEL: usize = 64;

/// One layer's mixer: a gate, and a state space over convolved inputs.
#[derive(Debug, Clone)]
pub(crate) struct Mamba2 {
    /// Heads of the state space, each with its own decay.
    pub(crate) heads: usize,
    pub(crate) head_dim: usize,
    /// Groups of heads that share input and output directions, and a norm.
    pub(crate) groups: usize,
    /// Elements that an input element is spread over.
    pub(crate) state: usize,
    /// Positions the convolution sees.
    pub(crate) kernel: usize,
    /// Of the convolution.
    pub(crate) activation: Activation,
    pub(crate) conv_bias: bool,
    pub(crate) in_bias: bool,
    pub(crate) out_bias: bool,
    /// Least and greatest step.
    pub(crate) dt_limit: (f32, f32),
    /// How the decay is stored.
    pub(crate) decay: fn(WeightId) -> Decay,
    pub(crate) gating: Gating,
    /// Factors on the five parts of the input projection.
    pub(crate) factors: [f32; 5],
}

/// Where the gate, `silu(z)`, goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Gating {
    /// Onto the result.
    Alone,
    /// Onto the result, which then goes through a norm of each group.
    ThenNorm(Norms),
    /// Onto the result of the norm.
    AfterNorm(Norms),
}

/// What a family's configurations call the sizes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keys {
    pub(crate) heads: &'static str,
    pub(crate) head_dim: &'static str,
    pub(crate) groups: &'static str,
    pub(crate) state: &'static str,
    pub(crate) kernel: &'static str,
    pub(crate) conv_bias: &'static str,
    pub(crate) in_bias: &'static str,
    pub(crate) out_bias: &'static str,
}

impl Keys {
    /// In hybrids that followed Bamba.
    pub(crate) const PREFIXED: Self = Self {
        heads: "mamba_n_heads",
        head_dim: "mamba_d_head",
        groups: "mamba_n_groups",
        state: "mamba_d_state",
        kernel: "mamba_d_conv",
        conv_bias: "mamba_conv_bias",
        in_bias: "mamba_proj_bias",
        out_bias: "mamba_proj_bias",
    };
}

/// What the input projection gives, in the order of its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Gate,
    Input,
    /// `B`: how the input enters the state.
    In,
    /// `C`: how the state is read.
    Out,
    Step,
}

impl Mamba2 {
    /// Reads the sizes; the gate is followed by the norm. Where heads have no width, they have `inner` elements
    /// together.
    pub(crate) fn read(source: &Source, keys: &Keys, inner: usize, norms: Norms) -> Checked<Self> {
        let config = &source.config;
        let heads = config.usize(keys.heads, 1..=MOST_HEADS)?;
        let groups = config.usize(keys.groups, 1..=MOST_HEADS)?;
        if heads % groups != 0 {
            let problem = format!("{groups} does not divide the {heads} heads");
            return Err(config.error(keys.groups, problem).into());
        }
        let head_dim = head_dim(config, keys, heads, inner)?;
        let state = config.usize(keys.state, 1..=WIDEST_HEAD)?;
        if heads * head_dim.max(state) > WIDEST {
            let problem =
                format!("{heads} heads of {head_dim} by {state} are more than {WIDEST} elements");
            return Err(config.error(keys.heads, problem).into());
        }
        Ok(Self {
            heads,
            head_dim,
            groups,
            state,
            kernel: config.usize(keys.kernel, 2..=LONGEST_KERNEL)?,
            activation: Activation::Silu,
            conv_bias: config.bool_or(keys.conv_bias, true)?,
            in_bias: config.bool_or(keys.in_bias, false)?,
            out_bias: config.bool_or(keys.out_bias, false)?,
            dt_limit: dt_limit(config)?,
            decay: if source.kind == Kind::Gguf { Decay::Rate } else { Decay::Log },
            gating: Gating::ThenNorm(norms),
            factors: [1.0; 5],
        })
    }

    /// Elements of the result.
    fn inner(&self) -> usize {
        self.heads * self.head_dim
    }

    /// First row of a part in the input projection, and how many it has.
    fn rows(&self, part: Part) -> [usize; 2] {
        let (inner, shared) = (self.inner(), self.groups * self.state);
        match part {
            Part::Gate => [0, inner],
            Part::Input => [inner, inner],
            Part::In => [2 * inner, shared],
            Part::Out => [2 * inner + shared, shared],
            Part::Step => [2 * (inner + shared), self.heads],
        }
    }

    fn project(&self, b: &mut Builder, x: ValueId, prefix: &str, part: Part) -> Result<ValueId> {
        let ([first, rows], cols) = (self.rows(part), b.dims(x).1);
        let slice =
            RowSlice::rows(first, rows, 2 * (self.inner() + self.groups * self.state) + self.heads);
        let matrix = b.matrix_slice(format!("{prefix}.in_proj.weight"), slice, rows, cols)?;
        let bias = self
            .in_bias
            .then(|| b.vector_slice(format!("{prefix}.in_proj.bias"), slice, rows))
            .transpose()?;
        let y = b.linear(x, matrix, bias)?;
        Ok(times(b, y, self.factors[part as usize]))
    }

    /// A projection, and each of its channels convolved with its own past. The reference convolves all three
    /// side by side; as channels do not meet, it is the same one by one.
    fn convolved(&self, b: &mut Builder, x: ValueId, prefix: &str, part: Part) -> Result<ValueId> {
        let x = self.project(b, x, prefix, part)?;
        let [first, rows] = self.rows(part);
        let channels = self.inner() + 2 * self.groups * self.state;
        let slice = RowSlice::rows(first - self.inner(), rows, channels);
        let weight = b.matrix_slice(format!("{prefix}.conv1d.weight"), slice, rows, self.kernel)?;
        let bias = self
            .conv_bias
            .then(|| b.vector_slice(format!("{prefix}.conv1d.bias"), slice, rows))
            .transpose()?;
        let state = b.conv_state(rows, self.kernel)?;
        b.conv(x, Conv { state, weight, bias, activation: Some(self.activation) })
    }

    fn gated(&self, b: &mut Builder, y: ValueId, gate: ValueId, prefix: &str) -> Result<ValueId> {
        let name = format!("{prefix}.norm.weight");
        match self.gating {
            Gating::Alone => b.glu(Activation::Silu, gate, y),
            Gating::ThenNorm(norms) => {
                let y = b.glu(Activation::Silu, gate, y)?;
                norms.groups(b, y, name, self.groups)
            }
            Gating::AfterNorm(norms) => {
                let y = norms.groups(b, y, name, self.groups)?;
                b.glu(Activation::Silu, gate, y)
            }
        }
    }
}

impl Block for Mamba2 {
    fn module(&self) -> &'static str {
        "mamba"
    }

    fn build(&self, b: &mut Builder, x: ValueId, sizes: &Sizes, prefix: &str) -> Result<ValueId> {
        let Self { heads, head_dim, groups, .. } = *self;
        let input = self.convolved(b, x, prefix, Part::Input)?;
        let [into, out] =
            [self.convolved(b, x, prefix, Part::In)?, self.convolved(b, x, prefix, Part::Out)?];
        let step = self.project(b, x, prefix, Part::Step)?;
        let state = b.scan_state(heads, head_dim, self.state)?;
        let scan = Scan {
            state,
            groups,
            decay: (self.decay)(b.vector(format!("{prefix}.A_log"), heads)?),
            dt_bias: b.vector(format!("{prefix}.dt_bias"), heads)?,
            skip: Some(b.vector(format!("{prefix}.D"), heads)?),
            dt_limit: self.dt_limit,
        };
        let y = b.scan(input, step, into, out, scan)?;
        let gate = self.project(b, x, prefix, Part::Gate)?;
        let y = self.gated(b, y, gate, prefix)?;
        let matrix = b.matrix(format!("{prefix}.out_proj.weight"), sizes.hidden, self.inner())?;
        let bias = super::attention::bias(b, self.out_bias, prefix, "out_proj", sizes.hidden)?;
        b.linear(y, matrix, bias)
    }
}

/// Limits of the step. transformers' own decoding of one token forgets them, its prefill and the kernels that
/// models are trained with do not.
fn dt_limit(config: &Config) -> Checked<(f32, f32)> {
    Ok(config.opt_interval("time_step_limit")?.unwrap_or((0.0, f32::INFINITY)))
}

/// Elements of each of the state space's heads.
fn head_dim(config: &Config, keys: &Keys, heads: usize, inner: usize) -> Checked<usize> {
    if config.get(keys.head_dim).is_some_and(|value| value != "auto") {
        return Ok(config.usize(keys.head_dim, 1..=WIDEST_HEAD)?);
    }
    if inner == 0 || !inner.is_multiple_of(heads) || inner / heads > WIDEST_HEAD {
        let problem = format!("{inner} elements are not {heads} heads of at most {WIDEST_HEAD}");
        return Err(config.error(keys.heads, problem).into());
    }
    Ok(inner / heads)
}
