//! Products and embeddings.

use tessera_graph::{BackendError, Epilogue, ExpertUnit, Linear, Node, Part, ValueId, WeightId};
use tessera_kernels::{
    codes::{Matrix, STEP},
    embed::{Embed, EmbedArgs},
    matvec::{End, Matvec, MatvecArgs},
    unit::{Limits, Unit},
};

use super::{Lower, unsupported};
use crate::stream::Shape;

/// Vectors that one pass over the weights serves, smallest first.
const BATCHES: [u32; 4] = [1, 2, 4, 8];

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
        // matrices of one packing that share their input become one
        let alike = |part: &Part| {
            let form = |part: &Part| Matrix::of(&self.bound[part.weight]);
            form(part) == form(&linear.parts[0])
                && part.bias.is_some() == linear.parts[0].bias.is_some()
        };
        let together = linear.parts.len() <= 3 && linear.parts.iter().all(alike);
        let gated = matches!(linear.epilogue, Epilogue::Glu(_));
        if together {
            return self.product(node, linear, &linear.parts, &node.outputs);
        }
        if gated {
            return Err(unsupported(
                &node.label,
                "a gate in another packing than what it lets through",
            ));
        }
        for (part, y) in linear.parts.iter().zip(&node.outputs) {
            self.product(node, linear, std::slice::from_ref(part), std::slice::from_ref(y))?;
        }
        Ok(())
    }

    /// Some parts of a linear, in one kernel.
    fn product(
        &mut self,
        node: &Node,
        linear: &Linear,
        parts: &[Part],
        outputs: &[ValueId],
    ) -> Result<(), BackendError> {
        let ids: Vec<_> = parts.iter().map(|part| part.weight).collect();
        let part_rows: Vec<_> = ids.iter().map(|&id| self.bound[id].rows as u32).collect();
        let planes = self.planes(&ids)?;
        let (rows, cols) = (planes.rows as u32, planes.cols as u32);
        let (end, limits) = match linear.epilogue {
            Epilogue::None => (End::Parts(parts.len() as u32), Limits::default()),
            Epilogue::Residual => (End::Residual, Limits::default()),
            Epilogue::Glu(unit) => {
                let (unit, limits) = Unit::of(ExpertUnit::Gated(unit));
                (End::Gated(unit), limits)
            }
        };
        let kernel = Matvec {
            matrix: planes.matrix,
            rows: if matches!(end, End::Gated(_)) { 1 } else { 2 },
            simdgroups: 4,
            batch: 1,
            ragged: !cols.is_multiple_of(STEP),
            norm: linear.norm.is_some(),
            bias: parts[0].bias.is_some(),
            end,
        };
        let mut bindings = vec![self.value(node.inputs[0])];
        if let Some(norm) = &linear.norm {
            let weight = self.vector(norm.weight);
            bindings.push(weight);
        }
        bindings.extend(&planes.ranges);
        let biases: Vec<_> = parts.iter().filter_map(|part| part.bias).collect();
        if !biases.is_empty() {
            let bias = self.plan.vectors(&biases, self.bound);
            bindings.push(bias);
        }
        if linear.epilogue == Epilogue::Residual {
            bindings.push(self.value(node.inputs[1]));
        }
        bindings.extend(outputs.iter().map(|&y| self.value(y)));
        let of = self.rows(outputs[0]);
        let first = part_rows[0];
        let second = part_rows.get(1).copied().unwrap_or(0);
        let (eps, offset) = linear.norm.as_ref().map_or((0.0, 0.0), |norm| (norm.eps, norm.offset));
        let Limits { alpha, limit } = limits;
        let mut least = 0;
        for batch in BATCHES {
            let last = batch == BATCHES[BATCHES.len() - 1];
            let most = if last { u32::MAX } else { batch };
            let kernel = Matvec { batch, ..kernel };
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
            self.launch_within(&node.label, of, (least, most), kernel, &bindings, args)?;
            least = most;
        }
        Ok(())
    }
}
