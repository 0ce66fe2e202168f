//! Both ends of a decoder, and its norms.

use tessera_graph::{Builder, Graph, GraphError, RmsNorm, ValueId, WeightId};

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

/// Final norm, output matrix (the embedding, if tied), soft cap, and the draw.
pub(crate) fn head(
    mut b: Builder,
    x: ValueId,
    sizes: &Sizes,
    norms: Norms,
    softcap: Option<f32>,
) -> Result<Graph> {
    b.at("head");
    let x = b.select(x)?;
    let x = norms.row(&mut b, x, "model.norm.weight".into())?;
    let matrix = if sizes.tied {
        table(&mut b, sizes)?
    } else {
        b.matrix("lm_head.weight", sizes.vocab, sizes.hidden)?
    };
    let logits = b.linear(x, matrix, None)?;
    let logits = softcap.map_or(logits, |cap| b.softcap(logits, cap));
    b.sample(logits)
}
