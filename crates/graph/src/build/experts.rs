//! Mixtures of experts.

use super::{Builder, Result};
use crate::{ExpertUnit, Experts, Op, Part, RouteGroups, Router, Scoring, ValueId};

/// Ids of experts are kept as floats, which are exact up to here.
const MOST_EXPERTS: usize = 1 << 24;

impl Builder {
    /// The experts each row goes to, from `logits`; see [`Router`].
    pub fn route(&mut self, logits: ValueId, op: Router) -> Result<ValueId> {
        let (rows, experts) = self.dims(logits);
        if op.k == 0 || op.k > experts || experts > MOST_EXPERTS {
            return self.error(format!("{} of {experts} experts for a row", op.k));
        }
        let plain = op.bias.is_none() && op.groups.is_none() && !op.normalise;
        if matches!(op.scoring, Scoring::OneByOne { .. }) && !plain {
            return self.error("experts one by one with a bias, groups or `normalise`".into());
        }
        if let Some(RouteGroups { count, kept }) = op.groups {
            let size = experts.checked_div(count).unwrap_or(0);
            let fits = count > 0 && experts % count == 0 && (1..=count).contains(&kept);
            if !fits || size < 2 || size * kept < op.k {
                return self.error(format!(
                    "{} experts from {kept} of {count} groups of {experts} experts",
                    op.k
                ));
            }
        }
        if let Some(bias) = op.bias {
            self.vector_of("routing biases", bias, experts)?;
        }
        let width = 2 * op.k;
        Ok(self.push(Op::Route(op), vec![logits], rows, width))
    }

    /// The weighted sum of what the experts in `routes` make of each row of `x`; see [`Experts`].
    pub fn experts(&mut self, x: ValueId, routes: ValueId, op: Experts) -> Result<ValueId> {
        let (rows, width) = self.dims(x);
        if self.dims(routes) != (rows, 2 * op.k) {
            return self.error(format!("routes {:?} for {} experts", self.dims(routes), op.k));
        }
        let Some(first) = op.experts.first() else {
            return self.error("a mixture without experts".into());
        };
        let inner = self.shape(first.up.weight)[0];
        let gated = matches!(op.unit, ExpertUnit::Gated(_));
        for expert in &op.experts {
            if expert.gate.is_some() != gated {
                return self.error(format!("experts of {:?} with or without gates", op.unit));
            }
            if let Some(gate) = &expert.gate {
                self.part(gate, [inner, width])?;
            }
            self.part(&expert.up, [inner, width])?;
            self.part(&expert.down, [width, inner])?;
        }
        Ok(self.push(Op::Experts(op), vec![x, routes], rows, width))
    }

    fn part(&self, part: &Part, shape: [usize; 2]) -> Result<()> {
        if self.shape(part.weight) != shape {
            let name = &self.graph.weights[part.weight.index()].name;
            return self.error(format!(
                "expert weight {name} is {:?}, {shape:?} wanted",
                self.shape(part.weight)
            ));
        }
        part.bias.map_or(Ok(()), |bias| self.vector_of("expert biases", bias, shape[0]))
    }
}
