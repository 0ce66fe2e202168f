//! Both ends of a decoder, and its norms.

use tessera_graph::{Builder, Graph, GraphError, LayerNorm, RmsNorm, ValueId, WeightId};

use super::Sizes;

type Result<T> = std::result::Result<T, GraphError>;

/// How a family's norms are computed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Norms {
    pub(crate) eps: f32,
    /// Added to the weight.
    pub(crate) offset: f32,
}

impl Norms {
    /// Norm of whole rows by the weight `name`.
    pub(crate) fn row(self, b: &mut Builder, x: ValueId, name: String) -> Result<ValueId> {
        self.heads(b, x, name, 1)
    }

    /// Norm of each of `heads` heads by the same weight.
    pub(crate) fn heads(
        self,
        b: &mut Builder,
        x: ValueId,
        name: String,
        heads: usize,
    ) -> Result<ValueId> {
        let width = b.dims(x).1 / heads;
        let weight = b.vector(name, width)?;
        b.rms_norm(x, RmsNorm { weight, eps: self.eps, offset: self.offset, heads })
    }

    /// Norm of each of `groups` parts of a row by its own weights.
    pub(crate) fn groups(
        self,
        b: &mut Builder,
        x: ValueId,
        name: String,
        groups: usize,
    ) -> Result<ValueId> {
        let weight = b.vector(name, b.dims(x).1)?;
        b.rms_norm(x, RmsNorm { weight, eps: self.eps, offset: self.offset, heads: groups })
    }
}

/// Norm of whole rows about their mean, by the weight and the bias of `module`.
pub(crate) fn layer_norm(b: &mut Builder, x: ValueId, module: &str, eps: f32) -> Result<ValueId> {
    let width = b.dims(x).1;
    let weight = b.vector(format!("{module}.weight"), width)?;
    let bias = b.vector(format!("{module}.bias"), width)?;
    b.layer_norm(x, LayerNorm { weight, bias, eps })
}

fn table(b: &mut Builder, sizes: &Sizes) -> Result<WeightId> {
    b.matrix("model.embed_tokens.weight", sizes.vocab, sizes.hidden)
}

/// Token embeddings times `scale`.
pub(crate) fn embed(b: &mut Builder, sizes: &Sizes, scale: f32) -> Result<ValueId> {
    b.at("embed");
    let table = table(b, sizes)?;
    Ok(b.embed(table, scale))
}

/// `x * factor`.
pub(crate) fn times(b: &mut Builder, x: ValueId, factor: f32) -> ValueId {
    if factor == 1.0 { x } else { b.scale(x, factor) }
}

/// Final norm, output matrix (the embedding, if tied), soft cap, and the draw.
pub(crate) fn head(
    mut b: Builder,
    x: ValueId,
    sizes: &Sizes,
    norms: Norms,
    softcap: Option<f32>,
) -> Result<Graph> {
    let logits = logits(&mut b, x, sizes, norms)?;
    let logits = softcap.map_or(logits, |cap| b.softcap(logits, cap));
    b.sample(logits)
}

/// The same with a factor on the logits in place of a soft cap.
pub(crate) fn head_scaled(
    mut b: Builder,
    x: ValueId,
    sizes: &Sizes,
    norms: Norms,
    factor: f32,
) -> Result<Graph> {
    let logits = logits(&mut b, x, sizes, norms)?;
    let logits = times(&mut b, logits, factor);
    b.sample(logits)
}

fn logits(b: &mut Builder, x: ValueId, sizes: &Sizes, norms: Norms) -> Result<ValueId> {
    b.at("head");
    let x = b.select(x)?;
    let x = norms.row(b, x, "model.norm.weight".into())?;
    let matrix = if sizes.tied {
        table(b, sizes)?
    } else {
        b.matrix("lm_head.weight", sizes.vocab, sizes.hidden)?
    };
    b.linear(x, matrix, None)
}
