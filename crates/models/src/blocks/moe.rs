//! A mixture of experts in place of the feed-forward network (Shazeer et al., 2017; Fedus et al., 2022).

use tessera_graph::{
    Builder, Expert, ExpertUnit, Experts, GatedUnit, GraphError, Part, RouteGroups, Router,
    Scoring, ValueId,
};

use super::{Block, Mlp, Sizes, attention::bias};

type Result<T> = std::result::Result<T, GraphError>;

/// Names of an expert's gate, up and down matrices, as in most files.
pub(crate) const PROJECTIONS: [&str; 3] = ["gate_proj", "up_proj", "down_proj"];
/// The same in Mixtral's files and those that follow it.
pub(crate) const NUMBERED: [&str; 3] = ["w1", "w3", "w2"];

/// A router and its experts.
#[derive(Debug, Clone)]
pub(crate) struct Mixture {
    /// What the layer calls it: `mlp`.
    pub(crate) module: &'static str,
    pub(crate) routing: Routing,
    /// How many experts there are.
    pub(crate) experts: usize,
    /// Width of an expert.
    pub(crate) inner: usize,
    /// What is between an expert's matrices.
    pub(crate) unit: ExpertUnit,
    /// Whether experts' matrices have biases.
    pub(crate) bias: bool,
    /// Names of an expert's matrices: gate, up, down.
    pub(crate) names: [&'static str; 3],
    /// The expert that every row goes through as well.
    pub(crate) shared: Option<Shared>,
}

/// How rows find their experts.
#[derive(Debug, Clone)]
pub(crate) struct Routing {
    /// Module of the matrix: `gate`, `router`.
    pub(crate) module: &'static str,
    /// Whether the logits have a bias.
    pub(crate) bias: bool,
    /// Experts a row goes to.
    pub(crate) k: usize,
    pub(crate) scoring: Scoring,
    /// Tensor, below the mixture, that is added to the scores for the choice alone.
    pub(crate) correction: Option<&'static str>,
    pub(crate) groups: Option<RouteGroups>,
    /// Whether the chosen weights are divided by their sum.
    pub(crate) normalise: bool,
    /// Factor on the weights.
    pub(crate) scale: f32,
}

/// An expert for every row.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    /// `shared_expert`.
    pub(crate) module: &'static str,
    pub(crate) mlp: Mlp,
    /// Its width.
    pub(crate) inner: usize,
    /// Module, beside it, whose one output goes through a sigmoid and says how much of it to take.
    pub(crate) gate: Option<&'static str>,
}

impl Mixture {
    /// The usual: gated experts without biases below `mlp`, softmax over `gate`, nothing shared.
    pub(crate) fn new(experts: usize, k: usize, inner: usize, unit: impl Into<GatedUnit>) -> Self {
        let routing = Routing {
            module: "gate",
            bias: false,
            k,
            scoring: Scoring::Softmax,
            correction: None,
            groups: None,
            normalise: true,
            scale: 1.0,
        };
        let unit = ExpertUnit::Gated(unit.into());
        let (module, names) = ("mlp", PROJECTIONS);
        Self { module, routing, experts, inner, unit, bias: false, names, shared: None }
    }

    /// The mixture over `x` with the weights below `prefix`.
    pub(crate) fn over(&self, b: &mut Builder, x: ValueId, prefix: &str) -> Result<ValueId> {
        let routes = self.routing.build(b, x, self.experts, prefix)?;
        let experts = (0..self.experts)
            .map(|e| self.expert(b, b.dims(x).1, &format!("{prefix}.experts.{e}")))
            .collect::<Result<_>>()?;
        let op = Experts { unit: self.unit, experts, k: self.routing.k };
        b.experts(x, routes, op)
    }

    fn expert(&self, b: &mut Builder, hidden: usize, prefix: &str) -> Result<Expert> {
        let inner = self.inner;
        let mut part = |name: &str, rows: usize, cols: usize| -> Result<Part> {
            let weight = b.matrix(format!("{prefix}.{name}.weight"), rows, cols)?;
            Ok(Part { weight, bias: bias(b, self.bias, prefix, name, rows)? })
        };
        let [gate, up, down] = self.names;
        let gate = match self.unit {
            ExpertUnit::Gated(_) => Some(part(gate, inner, hidden)?),
            ExpertUnit::Plain(_) => None,
        };
        Ok(Expert { gate, up: part(up, inner, hidden)?, down: part(down, hidden, inner)? })
    }
}

impl Block for Mixture {
    fn module(&self) -> &'static str {
        self.module
    }

    /// The experts' sum and the shared one.
    fn build(&self, b: &mut Builder, x: ValueId, sizes: &Sizes, prefix: &str) -> Result<ValueId> {
        let y = self.over(b, x, prefix)?;
        match &self.shared {
            None => Ok(y),
            Some(shared) => {
                let all = shared.build(b, x, sizes, prefix)?;
                b.add(y, all)
            }
        }
    }
}

impl Routing {
    fn build(&self, b: &mut Builder, x: ValueId, experts: usize, prefix: &str) -> Result<ValueId> {
        let hidden = b.dims(x).1;
        let matrix = b.matrix(format!("{prefix}.{}.weight", self.module), experts, hidden)?;
        let offset = bias(b, self.bias, prefix, self.module, experts)?;
        let logits = b.linear(x, matrix, offset)?;
        let correction = self
            .correction
            .map(|name| b.vector(format!("{prefix}.{name}"), experts))
            .transpose()?;
        let Self { k, scoring, groups, normalise, scale, .. } = *self;
        b.route(logits, Router { k, scoring, bias: correction, groups, normalise, scale })
    }
}

impl Shared {
    fn build(&self, b: &mut Builder, x: ValueId, sizes: &Sizes, prefix: &str) -> Result<ValueId> {
        let sizes = Sizes { intermediate: self.inner, ..sizes.clone() };
        let y = self.mlp.build(b, x, &sizes, &format!("{prefix}.{}", self.module))?;
        let Some(gate) = self.gate else { return Ok(y) };
        let matrix = b.matrix(format!("{prefix}.{gate}.weight"), 1, sizes.hidden)?;
        let share = b.linear(x, matrix, None)?;
        let share = b.activate(tessera_graph::Activation::Sigmoid, share);
        b.mul(y, share)
    }
}
