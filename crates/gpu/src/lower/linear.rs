//! Products and embeddings.

use tessera_graph::{
    BackendError, Epilogue, ExpertUnit, Linear, Node, Part, Rows, ValueId, WeightId,
};
use tessera_kernels::{
    codes::STEP,
    embed::{Embed, EmbedArgs},
    end::End,
    matmul::{Matmul, MatmulArgs},
    matvec::{Matvec, MatvecArgs},
    rms_norm::{RmsNorm, RmsNormArgs},
    unit::{Limits, Unit},
};

use super::{Lower, rows::threads_of_norm, unsupported};
use crate::{
    stream::{Range, Shape},
    weights::{self, Planes},
};

/// Vectors that one pass over the weights serves, smallest first.
const BATCHES: [u32; 3] = [1, 2, 4];

/// More vectors are multiplied by matrix tiles.
const FEW: u32 = 8;

impl Lower<'_> {
    pub(super) fn embed(
        &mut self,
        node: &Node,
        table: WeightId,
        scale: f32,
    ) -> Result<(), BackendError> {
        let y = node.outputs[0];
        let planes = self.planes(&[table])?;
        let (cols, vocab) = (planes.cols as u32, planes.rows as u32);
        let kernel = Embed { matrix: planes.matrix, ragged: !cols.is_multiple_of(STEP) };
        let mut bindings = vec![self.tables.tokens];
        bindings.extend(&planes.ranges);
        bindings.push(self.value(y));
        let rows = self.rows(y);
        let args = move |shape: &Shape| EmbedArgs { rows: shape.rows(rows), cols, vocab, scale };
        self.launch(&node.label, rows, kernel, bindings, args)
    }

    pub(super) fn linear(&mut self, node: &Node, linear: &Linear) -> Result<(), BackendError> {
        if weights::are_one(linear, self.bound) {
            return self.product(node, linear, &linear.parts, &node.outputs);
        }
        if matches!(linear.epilogue, Epilogue::Glu(_)) {
            let what = "a gate that cannot lie with what it lets through";
            return Err(unsupported(&node.label, what));
        }
        for (part, y) in linear.parts.iter().zip(&node.outputs) {
            self.product(node, linear, std::slice::from_ref(part), std::slice::from_ref(y))?;
        }
        Ok(())
    }

    /// Some parts of a linear, whose matrices lie one under the other.
    fn product(
        &mut self,
        node: &Node,
        linear: &Linear,
        parts: &[Part],
        outputs: &[ValueId],
    ) -> Result<(), BackendError> {
        let ids: Vec<_> = parts.iter().map(|part| part.weight).collect();
        let biases: Vec<_> = parts.iter().filter_map(|part| part.bias).collect();
        let work = Product {
            node,
            linear,
            outputs,
            planes: self.planes(&ids)?,
            rows: ids.iter().map(|&id| self.bound[id].rows as u32).collect(),
            norm: linear.norm.as_ref().map(|norm| self.vector(norm.weight)),
            bias: (!biases.is_empty()).then(|| self.plan.vectors(&biases, self.bound)),
        };
        self.few(&work)?;
        self.many(&work)
    }

    /// A few vectors: everything in one kernel.
    fn few(&mut self, work: &Product<'_>) -> Result<(), BackendError> {
        let &Product { linear, ref planes, ref rows, norm, bias, .. } = work;
        let (part_rows, rows, cols) = (rows, planes.rows as u32, planes.cols as u32);
        let (end, Limits { alpha, limit }) = work.end();
        // each row of a small matrix has a simdgroup, so that there is work for a whole GPU
        let small = rows < 4096;
        let kernel = Matvec {
            matrix: planes.matrix,
            rows: if small || matches!(end, End::Unit(_)) { 1 } else { 2 },
            simdgroups: if rows < 1024 { 4 } else { 8 },
            batch: 1,
            split: 1,
            blocks: 32,
            turns: 1,
            ragged: !cols.is_multiple_of(STEP),
            norm: norm.is_some(),
            bias: bias.is_some(),
            end,
        };
        let mut bindings = vec![self.value(work.node.inputs[0])];
        bindings.extend(norm);
        bindings.extend(self.operands(work));
        let of = self.rows(work.outputs[0]);
        let (first, second) = (part_rows[0], part_rows.get(1).copied().unwrap_or(0));
        let (eps, offset) = linear.norm.as_ref().map_or((0.0, 0.0), |norm| (norm.eps, norm.offset));
        let mut least = 0;
        for batch in BATCHES {
            let last = batch == BATCHES[BATCHES.len() - 1];
            let most = if last { FEW } else { batch };
            let kernel = Matvec { batch, ..kernel }.over(cols);
            let args = move |shape: &Shape| MatvecArgs {
                rows,
                cols,
                vectors: shape.rows(of),
                first,
                second,
                eps,
                offset,
                alpha,
                limit,
            };
            self.launch_tuned(&work.node.label, of, (least, most), kernel, &bindings, args)?;
            least = most;
        }
        Ok(())
    }

    /// Many vectors: the norm, then the product by matrix tiles.
    fn many(&mut self, work: &Product<'_>) -> Result<(), BackendError> {
        let &Product { linear, ref planes, ref rows, norm, bias, .. } = work;
        let (label, of) = (&work.node.label, self.rows(work.outputs[0]));
        let (part_rows, rows, cols) = (rows, planes.rows as u32, planes.cols as u32);
        let within = (FEW, u32::MAX);
        let most = match of {
            Rows::Tokens => self.limits.tokens,
            Rows::Outputs => self.limits.outputs,
        };
        if most <= FEW as usize {
            return Ok(());
        }
        let mut input = self.value(work.node.inputs[0]);
        if let (Some(weight), Some(norm)) = (norm, &linear.norm) {
            let normed = self.scratch(&[most * cols as usize * 4])[0];
            let kernel = RmsNorm { per_head: false, threads: threads_of_norm(cols) };
            let (eps, offset) = (norm.eps, norm.offset);
            let args = move |shape: &Shape| RmsNormArgs {
                width: cols,
                heads: 1,
                rows: shape.rows(of),
                eps,
                offset,
            };
            self.launch_tuned(label, of, within, kernel, &[input, weight, normed], args)?;
            input = normed;
        }
        let (end, Limits { alpha, limit }) = work.end();
        let mut bindings = vec![input];
        bindings.extend(self.operands(work));
        let (first, second) = (part_rows[0], part_rows.get(1).copied().unwrap_or(0));
        let args = move |shape: &Shape| MatmulArgs {
            rows,
            cols,
            vectors: shape.rows(of),
            first,
            second,
            alpha,
            limit,
        };
        let mut least = FEW;
        let long = Matmul::is_long(rows, cols);
        for most in [16, 64, u32::MAX] {
            let kernel = Matmul {
                ragged: !cols.is_multiple_of(STEP),
                bias: bias.is_some(),
                end,
                ..Matmul::new(planes.matrix, self.tuning.stage, most, long)
            };
            let within = (std::mem::replace(&mut least, most), most);
            self.launch_tuned(label, of, within, kernel.fitted(), &bindings, args)?;
        }
        Ok(())
    }

    /// What is bound after a product's input.
    fn operands(&self, work: &Product<'_>) -> Vec<Range> {
        let mut bindings = work.planes.ranges.clone();
        bindings.extend(work.bias);
        if work.linear.epilogue == Epilogue::Residual {
            bindings.push(self.value(work.node.inputs[1]));
        }
        bindings.extend(work.outputs.iter().map(|&y| self.value(y)));
        bindings
    }
}

/// Parts of a linear whose matrices lie one under the other.
struct Product<'a> {
    node: &'a Node,
    linear: &'a Linear,
    outputs: &'a [ValueId],
    planes: Planes,
    /// Rows of each part.
    rows: Vec<u32>,
    norm: Option<Range>,
    bias: Option<Range>,
}

impl Product<'_> {
    /// What becomes of the products.
    fn end(&self) -> (End, Limits) {
        match self.linear.epilogue {
            Epilogue::None => (End::Parts(self.rows.len() as u32), Limits::default()),
            Epilogue::Residual => (End::Residual, Limits::default()),
            Epilogue::Glu(unit) => {
                let (unit, limits) = Unit::of(ExpertUnit::Gated(unit));
                (End::Unit(unit), limits)
            }
        }
    }
}
