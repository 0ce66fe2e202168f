//! Mixtures of experts.

use tessera_graph::{BackendError, Expert, Experts, Node, Part, Router};
use tessera_kernels::{
    codes::STEP,
    experts::{
        mix::{ExpertMix, ExpertMixArgs},
        product::{ExpertProduct, ExpertProductArgs},
        sort::{ExpertSort, ExpertSortArgs},
        sum::{ExpertSum, ExpertSumArgs},
    },
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

/// Pairs of a tile, for which weights are read once.
const TILE: u32 = 8;

/// One of an expert's three matrices, stacked over all experts.
struct Stack {
    planes: Planes,
    bias: Option<Range>,
    /// Rows of one expert.
    rows: u32,
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

    /// A matrix of all experts.
    fn stack<'b>(
        &mut self,
        experts: &'b [Expert],
        part: impl Fn(&'b Expert) -> Option<&'b Part>,
    ) -> Result<Option<Stack>, BackendError> {
        let parts: Vec<&Part> = experts.iter().filter_map(part).collect();
        if parts.len() < experts.len() {
            return Ok(None);
        }
        let ids: Vec<_> = parts.iter().map(|part| part.weight).collect();
        let rows = self.bound[ids[0]].rows as u32;
        let planes = self.planes(&ids)?;
        let biases: Vec<_> = parts.iter().filter_map(|part| part.bias).collect();
        let all = biases.len() == parts.len();
        let bias = all.then(|| self.plan.vectors(&biases, self.bound));
        Ok(Some(Stack { planes, bias, rows }))
    }

    pub(super) fn experts(&mut self, node: &Node, op: &Experts) -> Result<(), BackendError> {
        let label = &node.label;
        let gate = self.stack(&op.experts, |expert| expert.gate.as_ref())?;
        let missing = || unsupported(label, "experts without matrices");
        let up = self.stack(&op.experts, |expert| Some(&expert.up))?.ok_or_else(missing)?;
        let down = self.stack(&op.experts, |expert| Some(&expert.down))?.ok_or_else(missing)?;
        let (unit, limits) = Unit::of(op.unit);
        if gate.as_ref().is_some_and(|gate| {
            gate.planes.matrix != up.planes.matrix || gate.bias.is_some() != up.bias.is_some()
        }) {
            return Err(unsupported(label, "experts whose gates are in another packing"));
        }
        let (x, routes, y) = (node.inputs[0], node.inputs[1], node.outputs[0]);
        let (rows, k) = (self.rows(y), op.k as u32);
        let (experts, width, cols) = (op.experts.len() as u32, up.rows, up.planes.cols as u32);
        let sort = ExpertSort { experts, k, tile: TILE, threads: 128 };
        let pairs = self.limits.tokens * op.k;
        let words = |n: usize| n * 4;
        let scratch = self.scratch(&[
            words(pairs * width as usize),
            words(pairs * down.rows as usize),
            words(pairs),
            words(sort.tiles(pairs as u32) as usize * 4),
        ]);
        let [between, after, order, tiles] = scratch[..] else {
            return Err(unsupported(label, "scratch"));
        };
        let (x, routes, y) = (self.value(x), self.value(routes), self.value(y));
        let pairs = move |shape: &Shape| shape.rows(rows) * k;

        // few rows: gate and up of each pair, then the sum over down
        let product = ExpertProduct {
            matrix: up.planes.matrix,
            unit: Some(unit),
            k,
            tile: None,
            bias: up.bias.is_some(),
            ragged: !cols.is_multiple_of(STEP),
            rows: 2,
            simdgroups: 4,
        };
        let weights = weights_of(gate.as_ref(), &up);
        let first = move |items: u32| ExpertProductArgs {
            experts,
            rows: width,
            cols,
            items,
            alpha: limits.alpha,
            limit: limits.limit,
        };
        let bindings = [vec![x, routes], weights.clone(), vec![between]].concat();
        let few = (0, FEW);
        let args = move |shape: &Shape| first(pairs(shape));
        self.launch_tuned(label, rows, few, product, &bindings, args)?;
        let sum = ExpertSum {
            matrix: down.planes.matrix,
            k,
            bias: down.bias.is_some(),
            ragged: !width.is_multiple_of(STEP),
            rows: 2,
            simdgroups: 4,
        };
        let mut bindings = vec![between, routes];
        bindings.extend(weights_of(None, &down));
        bindings.push(y);
        let out = down.rows;
        let args = move |shape: &Shape| ExpertSumArgs {
            experts,
            rows: out,
            cols: width,
            step_rows: shape.rows(rows),
        };
        self.launch_tuned(label, rows, few, sum, &bindings, args)?;

        // many rows: sorted by expert, then in tiles
        let many = (FEW, u32::MAX);
        let args = move |shape: &Shape| {
            let pairs = pairs(shape);
            ExpertSortArgs { pairs, tiles: sort.tiles(pairs) }
        };
        self.launch_within(label, rows, many, sort, &[routes, order, tiles], args)?;
        let items = move |shape: &Shape| sort.tiles(pairs(shape));
        let tiled = ExpertProduct { tile: Some(TILE), ..product };
        let bindings = [vec![x, order, tiles], weights, vec![between]].concat();
        let args = move |shape: &Shape| first(items(shape));
        self.launch_tuned(label, rows, many, tiled, &bindings, args)?;
        let second = ExpertProduct {
            matrix: down.planes.matrix,
            unit: None,
            bias: down.bias.is_some(),
            ragged: !width.is_multiple_of(STEP),
            ..tiled
        };
        let bindings = [vec![between, order, tiles], weights_of(None, &down), vec![after]].concat();
        let args = move |shape: &Shape| ExpertProductArgs {
            rows: out,
            cols: width,
            ..first(items(shape))
        };
        self.launch_tuned(label, rows, many, second, &bindings, args)?;
        let mix = ExpertMix { k, threads: 128 };
        let args = move |shape: &Shape| ExpertMixArgs { width: out, rows: shape.rows(rows) };
        self.launch_within(label, rows, many, mix, &[after, routes, y], args)
    }
}

/// Buffers of a gate, if there is one, and of what it lets through, each with its bias.
fn weights_of(gate: Option<&Stack>, up: &Stack) -> Vec<Range> {
    let of = |stack: &Stack| {
        let planes = stack.planes.ranges.iter().copied();
        planes.chain(stack.bias).collect::<Vec<_>>()
    };
    [gate.map(of).unwrap_or_default(), of(up)].concat()
}
