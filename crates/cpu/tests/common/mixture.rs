//! Small graphs with a mixture of experts.

use tessera_graph::{
    Activation, Attend, Builder, Expert, ExpertUnit, Experts, Graph, LayerNorm, Part, RmsNorm,
    RouteGroups, Router, Scoring, WeightDecl, Weights,
};
use tessera_quant::{Float, Packing};

use super::weights;

/// Shape of a mixture.
#[derive(Debug, Clone)]
pub struct Mix {
    pub hidden: usize,
    pub width: usize,
    pub experts: usize,
    pub k: usize,
    pub unit: ExpertUnit,
    /// Biases of the experts' matrices.
    pub biases: bool,
    pub scoring: Scoring,
    pub groups: Option<RouteGroups>,
    /// A bias for the choice.
    pub choice_bias: bool,
    /// A norm about the mean before the mixture, not a root-mean-square one.
    pub about_mean: bool,
    pub vocab: usize,
    /// Attention before the mixture, and another mixture after it, on the wanted rows alone.
    pub deep: bool,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            hidden: 64,
            width: 96,
            experts: 8,
            k: 2,
            unit: ExpertUnit::Gated(Activation::Silu.into()),
            biases: false,
            scoring: Scoring::Softmax,
            groups: None,
            choice_bias: false,
            about_mean: false,
            vocab: 70,
            deep: false,
        }
    }
}

impl Mix {
    /// The graph, with weights in `packing`; routers are plain.
    pub fn model(&self, packing: Packing, seed: u64) -> (Graph, Weights) {
        self.model_of(seed, |_| packing)
    }

    /// With the packing of each matrix.
    pub fn model_of(
        &self,
        seed: u64,
        packing: impl Fn(&WeightDecl) -> Packing,
    ) -> (Graph, Weights) {
        let graph = self.graph();
        let weights = weights(&graph, seed, |decl| match decl.name.contains("router") {
            true => Packing::Dense(Float::F32),
            false => packing(decl),
        });
        (graph, weights)
    }

    fn graph(&self) -> Graph {
        let mut b = Builder::new();
        let table = b.matrix("embed", self.vocab, self.hidden).unwrap();
        let mut x = b.embed(table, 1.0);
        if self.deep {
            let state = b.kv(2, 16, None).unwrap();
            let project = |b: &mut Builder, name: &str, rows: usize| {
                let w = b.matrix(name, rows, self.hidden).unwrap();
                b.linear(x, w, None).unwrap()
            };
            let q = project(&mut b, "q", 64);
            let (k, v) = (project(&mut b, "k", 32), project(&mut b, "v", 32));
            let op = Attend { state, heads: 4, scale: 0.3, softcap: None, sinks: None };
            let a = b.attend(q, k, v, op).unwrap();
            let w = b.matrix("o", self.hidden, 64).unwrap();
            let a = b.linear(a, w, None).unwrap();
            x = b.add(x, a).unwrap();
            x = self.mixture(&mut b, "first", x);
        }
        x = self.mixture(&mut b, "last", x);
        let x = b.select(x).unwrap();
        let w = b.matrix("head", self.vocab, self.hidden).unwrap();
        let logits = b.linear(x, w, None).unwrap();
        b.sample(logits).unwrap()
    }

    fn mixture(
        &self,
        b: &mut Builder,
        name: &str,
        x: tessera_graph::ValueId,
    ) -> tessera_graph::ValueId {
        let weight = b.vector(format!("{name}.norm"), self.hidden).unwrap();
        let h = if self.about_mean {
            let bias = b.vector(format!("{name}.centre"), self.hidden).unwrap();
            b.layer_norm(x, LayerNorm { weight, bias, eps: 1e-5 }).unwrap()
        } else {
            b.rms_norm(x, RmsNorm { weight, eps: 1e-5, offset: 0.0, heads: 1 }).unwrap()
        };
        let w = b.matrix(format!("{name}.router"), self.experts, self.hidden).unwrap();
        let logits = b.linear(h, w, None).unwrap();
        let bias = self
            .choice_bias
            .then(|| b.vector(format!("{name}.router.bias"), self.experts).unwrap());
        let router = Router {
            k: self.k,
            scoring: self.scoring,
            bias,
            groups: self.groups,
            normalise: !matches!(self.scoring, Scoring::OneByOne { .. }),
            scale: 1.5,
        };
        let routes = b.route(logits, router).unwrap();
        let experts = (0..self.experts).map(|e| {
            let mut part = |part: &str, rows: usize, cols: usize| Part {
                weight: b.matrix(format!("{name}.{e}.{part}"), rows, cols).unwrap(),
                bias: self
                    .biases
                    .then(|| b.vector(format!("{name}.{e}.{part}.bias"), rows).unwrap()),
            };
            let gated = matches!(self.unit, ExpertUnit::Gated(_));
            Expert {
                gate: gated.then(|| part("gate", self.width, self.hidden)),
                up: part("up", self.width, self.hidden),
                down: part("down", self.hidden, self.width),
            }
        });
        let experts = experts.collect();
        let op = Experts { unit: self.unit, experts, k: self.k };
        let y = b.experts(h, routes, op).unwrap();
        b.add(x, y).unwrap()
    }
}
