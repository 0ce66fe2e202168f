//! Operations on rows: norms, rotations, selection.

use tessera_graph::{BackendError, LayerNorm, Node, RmsNorm, RopeSpec};
use tessera_kernels::{layer_norm, rms_norm, rope, select};

use super::Lower;
use crate::stream::Shape;

/// Threads for a norm of `width` elements: one for every four, in whole simdgroups.
pub(super) fn threads_of_norm(width: u32) -> u32 {
    width.div_ceil(4).next_multiple_of(32).clamp(32, 256)
}

impl Lower<'_> {
    pub(super) fn rms_norm(&mut self, node: &Node, norm: &RmsNorm) -> Result<(), BackendError> {
        let (x, y) = (node.inputs[0], node.outputs[0]);
        let all = self.width(x);
        let heads = norm.heads as u32;
        let width = all / heads;
        let weight = self.vector(norm.weight);
        let per_head = heads > 1 && weight.bytes == all as usize * 4;
        let threads = threads_of_norm(width);
        let kernel = rms_norm::RmsNorm { per_head, threads };
        let bindings = vec![self.value(x), weight, self.value(y)];
        let (rows, eps, offset) = (self.rows(y), norm.eps, norm.offset);
        let args = move |shape: &Shape| rms_norm::RmsNormArgs {
            width,
            heads,
            rows: shape.rows(rows),
            eps,
            offset,
        };
        self.launch_tuned(&node.label, rows, (0, u32::MAX), kernel, &bindings, args)
    }

    pub(super) fn layer_norm(&mut self, node: &Node, norm: &LayerNorm) -> Result<(), BackendError> {
        let (x, y) = (node.inputs[0], node.outputs[0]);
        let (rows, width, eps) = (self.rows(y), self.width(x), norm.eps);
        let (weight, bias) = (self.vector(norm.weight), self.vector(norm.bias));
        let kernel = layer_norm::LayerNorm { threads: threads_of_norm(width) };
        let bindings = vec![self.value(x), weight, bias, self.value(y)];
        let args =
            move |shape: &Shape| layer_norm::LayerNormArgs { width, rows: shape.rows(rows), eps };
        self.launch(&node.label, rows, kernel, bindings, args)
    }

    pub(super) fn rope_table(&mut self, node: &Node, spec: &RopeSpec) -> Result<(), BackendError> {
        let y = node.outputs[0];
        let frequencies = self.plan.constants(&spec.frequencies);
        let bindings = vec![self.tables.positions, frequencies, self.value(y)];
        let (rows, pairs, scale) = (self.rows(y), spec.frequencies.len() as u32, spec.scale);
        let args =
            move |shape: &Shape| rope::RopeTableArgs { rows: shape.rows(rows), pairs, scale };
        self.launch(&node.label, rows, rope::RopeTable, bindings, args)
    }

    pub(super) fn rope(&mut self, node: &Node, heads: usize) -> Result<(), BackendError> {
        let (x, table, y) = (node.inputs[0], node.inputs[1], node.outputs[0]);
        let heads = heads as u32;
        let (head_dim, pairs) = (self.width(x) / heads, self.width(table) / 2);
        let bindings = vec![self.value(x), self.value(table), self.value(y)];
        let rows = self.rows(y);
        let args =
            move |shape: &Shape| rope::RopeArgs { rows: shape.rows(rows), heads, head_dim, pairs };
        self.launch(&node.label, rows, rope::Rope, bindings, args)
    }

    pub(super) fn select(&mut self, node: &Node) -> Result<(), BackendError> {
        let (x, y) = (node.inputs[0], node.outputs[0]);
        let bindings = vec![self.value(x), self.tables.output_rows, self.value(y)];
        let (rows, width) = (self.rows(y), self.width(x));
        let args = move |shape: &Shape| select::SelectRowsArgs { rows: shape.rows(rows), width };
        self.launch(&node.label, rows, select::SelectRows, bindings, args)
    }
}
