//! From an operation to a mixture with addresses.

use tessera_graph::{BackendError, Expert, Experts, Part};

use super::{Mixture, made_at};
use crate::{
    kernels::matmul::Wants,
    lower::{Lower, Slot, limit_of},
};

impl Lower<'_> {
    /// A mixture of experts over `x` and its routes.
    pub fn mixture(
        &self,
        op: &Experts,
        [x, routes, out]: [Slot; 3],
    ) -> Result<Mixture, BackendError> {
        let all = |part: fn(&Expert) -> Option<&Part>| {
            let parts = op.experts.iter().filter_map(part);
            parts.map(|part| self.matrix(part)).collect::<Result<Vec<_>, _>>()
        };
        let (gates, ups) = (all(|e| e.gate.as_ref())?, all(|e| Some(&e.up))?);
        let downs = all(|e| Some(&e.down))?;
        let width = ups.first().map_or(0, |m| m.weight.rows);
        let routes_at_most = limit_of(x.rows, self.limits) * op.k;
        Ok(Mixture {
            unit: op.unit,
            k: op.k,
            up_wants: Wants::of(gates.iter().chain(&ups).map(|m| &m.weight), self.precise),
            down_wants: Wants::of(downs.iter().map(|m| &m.weight), self.precise),
            width,
            inner: self.mixed.at(0).cast(),
            made: self.mixed.at(made_at(routes_at_most, width)).cast(),
            gates,
            ups,
            downs,
            x,
            routes,
            out,
        })
    }
}
