//! Operations that remember a state of fixed size.

use super::{Builder, Result};
use crate::{
    Conv, ConvDecl, Decay, Delta, DeltaDecl, Op, Rows, Scan, ScanDecl, StateDecl, StateId, ValueId,
    WeightId,
};

impl Builder {
    /// Declares the last inputs of a convolution over `kernel` positions.
    pub fn conv_state(&mut self, channels: usize, kernel: usize) -> Result<StateId> {
        if channels == 0 || kernel < 2 {
            return self.error(format!("convolution of {channels} channels over {kernel}"));
        }
        Ok(self.remember(StateDecl::Conv(ConvDecl { channels, kernel })))
    }

    /// Declares the state of a selective state space.
    pub fn scan_state(&mut self, heads: usize, head_dim: usize, state: usize) -> Result<StateId> {
        if heads == 0 || head_dim == 0 || state == 0 {
            return self.error(format!("state of {heads} heads of {head_dim} by {state}"));
        }
        Ok(self.remember(StateDecl::Scan(ScanDecl { heads, head_dim, state })))
    }

    /// Declares the state of a gated delta rule.
    pub fn delta_state(
        &mut self,
        heads: usize,
        key_dim: usize,
        value_dim: usize,
    ) -> Result<StateId> {
        if heads == 0 || key_dim == 0 || value_dim == 0 {
            return self.error(format!("state of {heads} heads of {key_dim} by {value_dim}"));
        }
        Ok(self.remember(StateDecl::Delta(DeltaDecl { heads, key_dim, value_dim })))
    }

    /// Causal convolution of each channel; see [`Conv`].
    pub fn conv(&mut self, x: ValueId, op: Conv) -> Result<ValueId> {
        let StateDecl::Conv(ConvDecl { channels, kernel }) = *self.state(op.state) else {
            return self.error(format!("a convolution that remembers {}", op.state));
        };
        self.tokens_of("inputs of a convolution", x, channels)?;
        if self.shape(op.weight) != [channels, kernel] {
            let found = self.shape(op.weight);
            return self.error(format!("weight {found:?} for {channels} channels over {kernel}"));
        }
        if let Some(bias) = op.bias {
            self.vector_of("biases", bias, channels)?;
        }
        Ok(self.push(Op::Conv(op), vec![x], Rows::Tokens, channels))
    }

    /// Selective state space; see [`Scan`].
    pub fn scan(
        &mut self,
        x: ValueId,
        dt: ValueId,
        b: ValueId,
        c: ValueId,
        op: Scan,
    ) -> Result<ValueId> {
        let StateDecl::Scan(ScanDecl { heads, head_dim, state }) = *self.state(op.state) else {
            return self.error(format!("a state space that remembers {}", op.state));
        };
        if op.groups == 0 || heads % op.groups != 0 {
            return self.error(format!("{heads} heads in {} groups", op.groups));
        }
        self.tokens_of("inputs", x, heads * head_dim)?;
        self.tokens_of("steps", dt, heads)?;
        self.tokens_of("input directions", b, op.groups * state)?;
        self.tokens_of("output directions", c, op.groups * state)?;
        self.by_head("rates", decay(op.decay), heads)?;
        self.by_head("step biases", op.dt_bias, heads)?;
        if let Some(skip) = op.skip {
            self.by_head("skips", skip, heads)?;
        }
        Ok(self.push(Op::Scan(op), vec![x, dt, b, c], Rows::Tokens, heads * head_dim))
    }

    /// Gated delta rule over `[q, k, v, a, b]`; see [`Delta`].
    pub fn delta(&mut self, [q, k, v, a, b]: [ValueId; 5], op: Delta) -> Result<ValueId> {
        let StateDecl::Delta(DeltaDecl { heads, key_dim, value_dim }) = *self.state(op.state)
        else {
            return self.error(format!("a delta rule that remembers {}", op.state));
        };
        if op.key_heads == 0 || heads % op.key_heads != 0 {
            return self.error(format!("{heads} value heads share {} key heads", op.key_heads));
        }
        self.tokens_of("queries", q, op.key_heads * key_dim)?;
        self.tokens_of("keys", k, op.key_heads * key_dim)?;
        self.tokens_of("values", v, heads * value_dim)?;
        self.tokens_of("decays", a, heads)?;
        self.tokens_of("rates", b, heads)?;
        self.by_head("decay rates", decay(op.decay), heads)?;
        self.by_head("decay biases", op.dt_bias, heads)?;
        Ok(self.push(Op::Delta(op), vec![q, k, v, a, b], Rows::Tokens, heads * value_dim))
    }

    fn state(&self, id: StateId) -> &StateDecl {
        &self.graph.states[id.index()]
    }

    fn by_head(&self, what: &str, weight: WeightId, heads: usize) -> Result<()> {
        self.vector_of(what, weight, heads)
    }
}

fn decay(decay: Decay) -> WeightId {
    match decay {
        Decay::Log(weight) | Decay::Rate(weight) => weight,
    }
}
