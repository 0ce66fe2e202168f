//! Operations element by element.

use tessera_graph::{Activation, BackendError, ExpertUnit, GatedUnit, Node};
use tessera_kernels::{
    pointwise::{Op, Pointwise, PointwiseArgs},
    unit::Unit,
};

use super::Lower;
use crate::stream::Shape;

impl Lower<'_> {
    pub(super) fn glu(&mut self, node: &Node, unit: GatedUnit) -> Result<(), BackendError> {
        let (unit, limits) = Unit::of(ExpertUnit::Gated(unit));
        self.pointwise(node, Op::Unit(unit), limits.alpha, limits.limit)
    }

    pub(super) fn activate(
        &mut self,
        node: &Node,
        activation: Activation,
    ) -> Result<(), BackendError> {
        self.pointwise(node, Op::Unit(Unit::Plain(activation)), 0.0, 0.0)
    }

    pub(super) fn mul(&mut self, node: &Node) -> Result<(), BackendError> {
        let (a, b) = (self.width(node.inputs[0]), self.width(node.inputs[1]));
        let op = if b == 1 && a > 1 { Op::MulByOne } else { Op::Mul };
        self.pointwise(node, op, 0.0, 0.0)
    }

    /// `factor` and `limit` are those of the kernel's arguments.
    pub(super) fn pointwise(
        &mut self,
        node: &Node,
        op: Op,
        factor: f32,
        limit: f32,
    ) -> Result<(), BackendError> {
        let y = node.outputs[0];
        let operands = if op.has_two() { 2 } else { 1 };
        let mut bindings: Vec<_> =
            node.inputs[..operands].iter().map(|&id| self.value(id)).collect();
        bindings.push(self.value(y));
        let (rows, width) = (self.rows(y), self.width(y));
        let args =
            move |shape: &Shape| PointwiseArgs { rows: shape.rows(rows), width, factor, limit };
        self.launch(&node.label, rows, Pointwise { op }, bindings, args)
    }
}
