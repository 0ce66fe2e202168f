//! Products and embeddings.

use tessera_graph::{BackendError, Epilogue, Linear, Node, WeightId};
use tessera_kernels::{
    codes::STEP,
    embed::{Embed, EmbedArgs},
    matvec::{Matvec, MatvecArgs},
};

use super::Lower;

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
        let args = move |shape: &crate::stream::Shape| EmbedArgs {
            rows: shape.rows(rows),
            cols,
            vocab,
            scale,
        };
        self.launch(&node.label, rows, kernel, bindings, args)
    }

    pub(super) fn linear(&mut self, node: &Node, linear: &Linear) -> Result<(), BackendError> {
        let x = node.inputs[0];
        let residual = match linear.epilogue {
            Epilogue::Residual => Some(node.inputs[1]),
            _ => None,
        };
        for (part, &y) in linear.parts.iter().zip(&node.outputs) {
            let planes = self.planes(&[part.weight])?;
            let (rows, cols) = (planes.rows as u32, planes.cols as u32);
            let kernel = Matvec {
                matrix: planes.matrix,
                rows: 2,
                simdgroups: 4,
                batch: 1,
                ragged: !cols.is_multiple_of(STEP),
                bias: part.bias.is_some(),
                residual: residual.is_some(),
            };
            let mut bindings = vec![self.value(x)];
            bindings.extend(&planes.ranges);
            if let Some(bias) = part.bias {
                let bias = self.vector(bias);
                bindings.push(bias);
            }
            bindings.extend(residual.map(|residual| self.value(residual)));
            bindings.push(self.value(y));
            let of = self.rows(y);
            let mut ways = Vec::new();
            for batch in BATCHES {
                let kernel = Matvec { batch, ..kernel };
                let args = move |shape: &crate::stream::Shape| MatvecArgs {
                    rows,
                    cols,
                    vectors: shape.rows(of),
                };
                ways.push(self.way(&node.label, batch, kernel, args)?);
            }
            self.push(&node.label, of, ways, bindings)?;
        }
        Ok(())
    }
}
