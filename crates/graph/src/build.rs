//! Building a graph: every method adds one operation and checks its shapes.

use crate::{
    Activation, Attend, Epilogue, Graph, KvDecl, Linear, Node, Op, Part, RmsNorm, RopeSpec,
    RowSlice, Rows, StateId, Value, ValueId, WeightDecl, WeightId,
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
        let slice = Some(RowSlice { first, of });
        let decl = WeightDecl { name: name.into(), shape: [rows, cols], slice };
        if first.checked_add(rows).is_none_or(|end| end > of) {
            return self.error(format!("weight {decl} of a matrix of {of} rows"));
        }
        self.declare(decl)
    }

    fn declare(&mut self, decl: WeightDecl) -> Result<WeightId> {
        let same = |w: &WeightDecl| w.name == decl.name && w.slice == decl.slice;
        if let Some(i) = self.graph.weights.iter().position(same) {
            let known = &self.graph.weights[i];
            return if *known == decl {
                Ok(WeightId(i as u32))
            } else {
                self.error(format!("weight {decl} is both {:?} and {:?}", known.shape, decl.shape))
            };
        }
        self.graph.weights.push(decl);
        Ok(WeightId(self.graph.weights.len() as u32 - 1))
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
        self.graph.states.push(KvDecl { kv_heads, head_dim, window });
        Ok(StateId(self.graph.states.len() as u32 - 1))
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
        if norm.heads == 0 || len * norm.heads != width {
            return self
                .error(format!("norm of {} x {len} elements over rows of {width}", norm.heads));
        }
        Ok(self.push(Op::RmsNorm(norm), vec![x], rows, width))
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
        let kv = self.graph.states[op.state.index()].clone();
        let width = op.heads * kv.head_dim;
        let kv_width = kv.kv_heads * kv.head_dim;
        if op.heads == 0 || !op.heads.is_multiple_of(kv.kv_heads) {
            return self
                .error(format!("{} query heads share {} key/value heads", op.heads, kv.kv_heads));
        }
        for (name, x, want) in
            [("queries", q, width), ("keys", k, kv_width), ("values", v, kv_width)]
        {
            if self.dims(x) != (Rows::Tokens, want) {
                return self
                    .error(format!("{name} have {} elements, {want} wanted", self.dims(x).1));
            }
        }
        Ok(self.push(Op::Attend(op), vec![q, k, v], Rows::Tokens, width))
    }

    /// `activation(gate) * up`.
    pub fn glu(&mut self, activation: Activation, gate: ValueId, up: ValueId) -> Result<ValueId> {
        self.same("gate and up", gate, up)?;
        let (rows, width) = self.dims(gate);
        Ok(self.push(Op::Glu(activation), vec![gate, up], rows, width))
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
