//! Building a graph: every method adds one operation and checks its shapes.

mod experts;
mod recurrent;

use std::collections::HashMap;

use crate::{
    Activation, Attend, Epilogue, GatedUnit, Graph, KvDecl, LayerNorm, Linear, Node, Op, Part,
    RmsNorm, RopeSpec, RowSlice, Rows, StateDecl, StateId, Value, ValueId, WeightDecl, WeightId,
};

/// A graph whose shapes do not fit; names the place in the model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{label}: {message}")]
pub struct GraphError {
    /// Where in the model: `layers.3.attention`.
    pub label: String,
    /// What does not fit, with both sizes.
    pub message: String,
}

/// Grows a [`Graph`], one checked operation at a time.
#[derive(Debug, Default)]
pub struct Builder {
    graph: Graph,
    label: String,
    /// Declared weights by name and slice.
    declared: HashMap<(String, Option<RowSlice>), WeightId>,
}

type Result<T> = std::result::Result<T, GraphError>;

impl Builder {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the part of the model that the following operations belong to.
    pub fn at(&mut self, label: impl Into<String>) {
        self.label = label.into();
    }

    /// Declares a matrix `[rows, cols]`. The same name twice is the same weight (tied embeddings).
    pub fn matrix(
        &mut self,
        name: impl Into<String>,
        rows: usize,
        cols: usize,
    ) -> Result<WeightId> {
        self.declare(WeightDecl { name: name.into(), shape: [rows, cols], slice: None })
    }

    /// Declares rows `first .. first + rows` of a stored matrix `[of, cols]` (fused projections).
    pub fn matrix_rows(
        &mut self,
        name: impl Into<String>,
        [first, rows, of]: [usize; 3],
        cols: usize,
    ) -> Result<WeightId> {
        self.matrix_slice(name, RowSlice::rows(first, rows, of), rows, cols)
    }

    /// Declares `rows` rows of a stored matrix `[slice.of, cols]` (projections fused head by head).
    pub fn matrix_slice(
        &mut self,
        name: impl Into<String>,
        slice: RowSlice,
        rows: usize,
        cols: usize,
    ) -> Result<WeightId> {
        let decl = WeightDecl { name: name.into(), shape: [rows, cols], slice: Some(slice) };
        if !slice.fits(rows) {
            return self.error(format!("weight {decl} of a matrix of {} rows", slice.of));
        }
        self.declare(decl)
    }

    /// Declares `len` elements of a stored vector `[slice.of]`.
    pub fn vector_slice(
        &mut self,
        name: impl Into<String>,
        slice: RowSlice,
        len: usize,
    ) -> Result<WeightId> {
        let decl = WeightDecl { name: name.into(), shape: [1, len], slice: Some(slice) };
        if !slice.fits(len) {
            return self.error(format!("weight {decl} of a vector of {}", slice.of));
        }
        self.declare(decl)
    }

    fn declare(&mut self, decl: WeightDecl) -> Result<WeightId> {
        let key = (decl.name.clone(), decl.slice);
        if let Some(&id) = self.declared.get(&key) {
            let known = &self.graph.weights[id.index()];
            return if *known == decl {
                Ok(id)
            } else {
                self.error(format!("weight {decl} is both {:?} and {:?}", known.shape, decl.shape))
            };
        }
        let id = WeightId(self.graph.weights.len() as u32);
        self.graph.weights.push(decl);
        self.declared.insert(key, id);
        Ok(id)
    }

    /// Declares a vector `[len]`.
    pub fn vector(&mut self, name: impl Into<String>, len: usize) -> Result<WeightId> {
        self.matrix(name, 1, len)
    }

    /// Declares a layer's remembered keys and values.
    pub fn kv(
        &mut self,
        kv_heads: usize,
        head_dim: usize,
        window: Option<usize>,
    ) -> Result<StateId> {
        if kv_heads == 0 || head_dim == 0 || window == Some(0) {
            return self.error(format!(
                "state with {kv_heads} heads of {head_dim} and window {window:?}; none may be zero"
            ));
        }
        Ok(self.remember(StateDecl::Kv(KvDecl { kv_heads, head_dim, window })))
    }

    fn remember(&mut self, state: StateDecl) -> StateId {
        self.graph.states.push(state);
        StateId(self.graph.states.len() as u32 - 1)
    }

    /// Rows of `table` (`[vocab, hidden]`) at the token ids, times `scale`: `[Tokens, hidden]`.
    pub fn embed(&mut self, table: WeightId, scale: f32) -> ValueId {
        let width = self.shape(table)[1];
        self.push(Op::Embed { table, scale }, vec![], Rows::Tokens, width)
    }

    /// Root-mean-square norm of `x`; see [`RmsNorm`].
    pub fn rms_norm(&mut self, x: ValueId, norm: RmsNorm) -> Result<ValueId> {
        let (rows, width) = self.dims(x);
        let len = self.shape(norm.weight)[1];
        let shared = norm.heads > 0 && len.checked_mul(norm.heads) == Some(width);
        let whole = norm.heads > 0 && width % norm.heads == 0 && len == width;
        if !shared && !whole {
            return self
                .error(format!("norm of {} x {len} elements over rows of {width}", norm.heads));
        }
        Ok(self.push(Op::RmsNorm(norm), vec![x], rows, width))
    }

    /// Norm of whole rows about their mean; see [`LayerNorm`].
    pub fn layer_norm(&mut self, x: ValueId, norm: LayerNorm) -> Result<ValueId> {
        let (rows, width) = self.dims(x);
        self.vector_of("norm's weight", norm.weight, width)?;
        self.vector_of("norm's bias", norm.bias, width)?;
        Ok(self.push(Op::LayerNorm(norm), vec![x], rows, width))
    }

    /// `x * weight^T + bias`: `[rows, out]`.
    pub fn linear(
        &mut self,
        x: ValueId,
        weight: WeightId,
        bias: Option<WeightId>,
    ) -> Result<ValueId> {
        let (rows, width) = self.dims(x);
        let [out, inner] = self.shape(weight);
        if inner != width {
            return self.error(format!(
                "weight {} is [{out}, {inner}] but its input has {width} elements",
                self.graph.weights[weight.index()].name
            ));
        }
        if let Some(bias) = bias
            && self.shape(bias) != [1, out]
        {
            return self.error(format!("bias of {} for {out} outputs", self.shape(bias)[1]));
        }
        let op =
            Linear { norm: None, parts: vec![Part { weight, bias }], epilogue: Epilogue::None };
        Ok(self.push(Op::Linear(op), vec![x], rows, out))
    }

    /// Cosines and sines of the step's positions; share one among layers.
    pub fn rope_table(&mut self, spec: RopeSpec) -> ValueId {
        let width = 2 * spec.frequencies.len();
        self.push(Op::RopeTable(spec), vec![], Rows::Tokens, width)
    }

    /// Rotates the leading elements of each of `heads` heads; see [`Op::Rope`].
    pub fn rope(&mut self, x: ValueId, table: ValueId, heads: usize) -> Result<ValueId> {
        let (rows, width) = self.dims(x);
        let rotary = self.dims(table).1;
        if heads == 0 || width % heads != 0 || rotary > width / heads {
            return self
                .error(format!("rotating {rotary} elements of {heads} heads in rows of {width}"));
        }
        Ok(self.push(Op::Rope { heads }, vec![x, table], rows, width))
    }

    /// Causal attention of `q` over the state, after `k` and `v` are appended to it.
    pub fn attend(&mut self, q: ValueId, k: ValueId, v: ValueId, op: Attend) -> Result<ValueId> {
        let Some(kv) = self.graph.states[op.state.index()].kv().cloned() else {
            return self.error(format!("attention over {}, which is no keys and values", op.state));
        };
        let width = op.heads * kv.head_dim;
        let kv_width = kv.kv_heads * kv.head_dim;
        if op.heads == 0 || !op.heads.is_multiple_of(kv.kv_heads) {
            return self
                .error(format!("{} query heads share {} key/value heads", op.heads, kv.kv_heads));
        }
        if let Some(sinks) = op.sinks {
            self.vector_of("sinks", sinks, op.heads)?;
        }
        self.tokens_of("queries", q, width)?;
        self.tokens_of("keys", k, kv_width)?;
        self.tokens_of("values", v, kv_width)?;
        Ok(self.push(Op::Attend(op), vec![q, k, v], Rows::Tokens, width))
    }

    /// The unit over a gate and what it lets through, `activation(gate) * up` mostly.
    pub fn glu(
        &mut self,
        unit: impl Into<GatedUnit>,
        gate: ValueId,
        up: ValueId,
    ) -> Result<ValueId> {
        self.same("gate and up", gate, up)?;
        let (rows, width) = self.dims(gate);
        Ok(self.push(Op::Glu(unit.into()), vec![gate, up], rows, width))
    }

    /// `activation(x)`.
    pub fn activate(&mut self, activation: Activation, x: ValueId) -> ValueId {
        let (rows, width) = self.dims(x);
        self.push(Op::Activate(activation), vec![x], rows, width)
    }

    /// `a * b`; `b` may be one element wide, and then goes with all of `a`.
    pub fn mul(&mut self, a: ValueId, b: ValueId) -> Result<ValueId> {
        let ((rows, width), other) = (self.dims(a), self.dims(b));
        if other != (rows, 1) {
            self.same("factors", a, b)?;
        }
        Ok(self.push(Op::Mul, vec![a, b], rows, width))
    }

    /// `a + b`.
    pub fn add(&mut self, a: ValueId, b: ValueId) -> Result<ValueId> {
        self.same("terms", a, b)?;
        let (rows, width) = self.dims(a);
        Ok(self.push(Op::Add, vec![a, b], rows, width))
    }

    /// `x * factor`.
    pub fn scale(&mut self, x: ValueId, factor: f32) -> ValueId {
        let (rows, width) = self.dims(x);
        self.push(Op::Scale(factor), vec![x], rows, width)
    }

    /// `cap * tanh(x / cap)`.
    pub fn softcap(&mut self, x: ValueId, cap: f32) -> ValueId {
        let (rows, width) = self.dims(x);
        self.push(Op::Softcap(cap), vec![x], rows, width)
    }

    /// Keeps the rows whose logits are wanted.
    pub fn select(&mut self, x: ValueId) -> Result<ValueId> {
        let (rows, width) = self.dims(x);
        if rows != Rows::Tokens {
            return self.error("rows are selected already".into());
        }
        Ok(self.push(Op::Select, vec![x], Rows::Outputs, width))
    }

    /// Ends the graph: draws tokens from `logits` (`[Outputs, vocab]`).
    pub fn sample(mut self, logits: ValueId) -> Result<Graph> {
        if self.dims(logits).0 != Rows::Outputs {
            return self.error("logits are wanted for selected rows only".into());
        }
        let label = std::mem::take(&mut self.label);
        self.graph.nodes.push(Node {
            op: Op::Sample,
            inputs: vec![logits],
            outputs: vec![],
            label,
        });
        Ok(self.graph)
    }

    /// Rows and width of a value.
    pub fn dims(&self, x: ValueId) -> (Rows, usize) {
        let value = &self.graph.values[x.index()];
        (value.rows, value.width)
    }

    fn shape(&self, weight: WeightId) -> [usize; 2] {
        self.graph.weights[weight.index()].shape
    }

    /// Whether `weight` is a vector of `len`.
    fn vector_of(&self, what: &str, weight: WeightId, len: usize) -> Result<()> {
        if self.shape(weight) == [1, len] {
            return Ok(());
        }
        self.error(format!("{what} of shape {:?} where {len} are wanted", self.shape(weight)))
    }

    /// Whether `x` is `[Tokens, width]`.
    fn tokens_of(&self, what: &str, x: ValueId, width: usize) -> Result<()> {
        match self.dims(x) {
            (Rows::Tokens, found) if found == width => Ok(()),
            (rows, found) => self.error(format!(
                "{what} are {found} elements for each of the {rows:?}, {width} of the Tokens wanted"
            )),
        }
    }

    fn same(&self, what: &str, a: ValueId, b: ValueId) -> Result<()> {
        if self.dims(a) == self.dims(b) {
            return Ok(());
        }
        self.error(format!("{what} differ: {:?} and {:?}", self.dims(a), self.dims(b)))
    }

    fn push(&mut self, op: Op, inputs: Vec<ValueId>, rows: Rows, width: usize) -> ValueId {
        let id = ValueId(self.graph.values.len() as u32);
        self.graph.values.push(Value { rows, width });
        self.graph.nodes.push(Node { op, inputs, outputs: vec![id], label: self.label.clone() });
        id
    }

    fn error<T>(&self, message: String) -> Result<T> {
        Err(GraphError { label: self.label.clone(), message })
    }
}
