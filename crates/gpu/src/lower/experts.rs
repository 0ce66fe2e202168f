//! Mixtures of experts.

use tessera_graph::{BackendError, Experts, Node, Part, Router};
use tessera_kernels::{
    codes::STEP,
    end::End,
    experts::{
        matmul::ExpertMatmul,
        mix::{ExpertMix, ExpertMixArgs},
        product::{ExpertProduct, ExpertProductArgs},
        sort::{ExpertSort, ExpertSortArgs},
        sum::{ExpertSum, ExpertSumArgs},
    },
    matmul::{Matmul, MatmulArgs},
    route::{Route, RouteArgs, Scores},
    unit::Unit,
};

use super::{Lower, unsupported};
use crate::{
    stream::{Range, Shape},
    weights::Planes,
};

/// Rows for which each pair of a row and a route is a product by itself; more are sorted by expert.
const FEW: u32 = 4;

/// Pairs of a tile.
const TILE: u32 = 32;

/// Matrices of all experts, one under the other.
struct Stack {
    planes: Planes,
    bias: Option<Range>,
    /// Rows of one expert.
    rows: u32,
}

impl Stack {
    /// What kernels bind.
    fn ranges(&self) -> Vec<Range> {
        self.planes.ranges.iter().copied().chain(self.bias).collect()
    }

    fn cols(&self) -> u32 {
        self.planes.cols as u32
    }

    fn ragged(&self) -> bool {
        !self.cols().is_multiple_of(STEP)
    }
}

impl Lower<'_> {
    pub(super) fn route(&mut self, node: &Node, op: &Router) -> Result<(), BackendError> {
        let (x, y) = (node.inputs[0], node.outputs[0]);
        let (scores, reach) = Scores::of(op.scoring);
        let kernel = Route {
            experts: self.width(x),
            k: op.k as u32,
            scores,
            bias: op.bias.is_some(),
            groups: op.groups,
            normalise: op.normalise,
            simdgroups: 1,
        };
        let mut bindings = vec![self.value(x)];
        if let Some(bias) = op.bias {
            let bias = self.vector(bias);
            bindings.push(bias);
        }
        bindings.push(self.value(y));
        let (rows, scale) = (self.rows(y), op.scale);
        let args = move |shape: &Shape| RouteArgs { rows: shape.rows(rows), scale, reach };
        self.launch(&node.label, rows, kernel, bindings, args)
    }

    /// The parts of all experts, which are `each` of one.
    fn stack(&mut self, parts: &[&Part], each: usize) -> Result<Stack, BackendError> {
        let ids: Vec<_> = parts.iter().map(|part| part.weight).collect();
        let rows = ids[..each].iter().map(|&id| self.bound[id].rows as u32).sum();
        let planes = self.planes(&ids)?;
        let biases: Vec<_> = parts.iter().filter_map(|part| part.bias).collect();
        let bias = (!biases.is_empty()).then(|| self.plan.vectors(&biases, self.bound));
        Ok(Stack { planes, bias, rows })
    }

    pub(super) fn experts(&mut self, node: &Node, op: &Experts) -> Result<(), BackendError> {
        let label = &node.label;
        let (unit, limits) = Unit::of(op.unit);
        // a gate, and under it what it lets through
        let first: Vec<&Part> =
            op.experts.iter().flat_map(|expert| expert.gate.iter().chain([&expert.up])).collect();
        let second: Vec<&Part> = op.experts.iter().map(|expert| &expert.down).collect();
        let each = if unit.is_gated() { 2 } else { 1 };
        let biased = |parts: &[&Part]| parts.iter().filter(|part| part.bias.is_some()).count();
        let alike = |parts: &[&Part]| [0, parts.len()].contains(&biased(parts));
        if op.experts.is_empty() || first.len() != each * op.experts.len() {
            return Err(unsupported(label, "experts without matrices"));
        }
        if !alike(&first) || !alike(&second) {
            return Err(unsupported(label, "experts of which some have biases"));
        }
        let (up, down) = (self.stack(&first, each)?, self.stack(&second, 1)?);
        let (x, routes, y) = (node.inputs[0], node.inputs[1], node.outputs[0]);
        let (rows, k, experts) = (self.rows(y), op.k as u32, op.experts.len() as u32);
        let most_pairs = self.limits.tokens * op.k;
        let sort = ExpertSort { experts, k, tile: TILE, threads: 128 };
        let words = |n: usize| n * 4;
        let scratch = self.scratch(&[
            words(most_pairs * down.planes.cols),
            words(most_pairs * down.rows as usize),
            words(most_pairs),
            words(sort.tiles(most_pairs as u32) as usize * 4),
        ]);
        let [between, after, order, places] = scratch[..] else {
            return Err(unsupported(label, "scratch"));
        };
        let (x, routes, y) = (self.value(x), self.value(routes), self.value(y));
        let pairs = move |shape: &Shape| shape.rows(rows) * k;

        // few rows: gate and up of each pair, then the sum over down
        let few = (0, FEW);
        let kernel = ExpertProduct {
            matrix: up.planes.matrix,
            unit,
            k,
            bias: up.bias.is_some(),
            ragged: up.ragged(),
            rows: 2,
            simdgroups: 4,
        };
        let (up_rows, up_cols) = (up.rows, up.cols());
        let args = move |shape: &Shape| ExpertProductArgs {
            experts,
            rows: up_rows,
            cols: up_cols,
            pairs: pairs(shape),
            alpha: limits.alpha,
            limit: limits.limit,
        };
        let bindings = [vec![x, routes], up.ranges(), vec![between]].concat();
        self.launch_tuned(label, rows, few, kernel, &bindings, args)?;
        let kernel = ExpertSum {
            matrix: down.planes.matrix,
            k,
            bias: down.bias.is_some(),
            ragged: down.ragged(),
            rows: 2,
            simdgroups: 4,
        };
        let (out, cols) = (down.rows, down.cols());
        let args = move |shape: &Shape| ExpertSumArgs {
            experts,
            rows: out,
            cols,
            step_rows: shape.rows(rows),
        };
        let bindings = [vec![between, routes], down.ranges(), vec![y]].concat();
        self.launch_tuned(label, rows, few, kernel, &bindings, args)?;

        // many rows: sorted by expert, then in tiles
        let many = (FEW, u32::MAX);
        let args = move |shape: &Shape| {
            let pairs = pairs(shape);
            ExpertSortArgs { pairs, tiles: sort.tiles(pairs) }
        };
        self.launch_within(label, rows, many, sort, &[routes, order, places], args)?;
        let first = (&up, x, between, End::Unit(unit), k);
        for (stack, from, to, end, shared) in [first, (&down, between, after, End::Parts(1), 1)] {
            let product = Matmul {
                ragged: stack.ragged(),
                bias: stack.bias.is_some(),
                end,
                ..Matmul::of_experts(stack.planes.matrix, self.tuning.stage, TILE)
            };
            let kernel = ExpertMatmul { product: product.fitted(), shared };
            let (rows_of, cols) = (stack.rows, stack.cols());
            let args = move |shape: &Shape| MatmulArgs {
                rows: rows_of,
                cols,
                vectors: sort.tiles(pairs(shape)),
                first: 0,
                second: 0,
                alpha: limits.alpha,
                limit: limits.limit,
            };
            let bindings = [vec![from, order, places], stack.ranges(), vec![to]].concat();
            self.launch_tuned(label, rows, many, kernel, &bindings, args)?;
        }
        let mix = ExpertMix { k, threads: 128 };
        let args = move |shape: &Shape| ExpertMixArgs { width: out, rows: shape.rows(rows) };
        self.launch_within(label, rows, many, mix, &[after, routes, y], args)
    }
}
