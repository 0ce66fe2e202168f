//! The two shapes of a decoder layer.

use tessera_graph::{Builder, GraphError, ValueId};

use super::{Norms, Sizes};

type Result<T> = std::result::Result<T, GraphError>;

/// Part of a layer: attention, a recurrence, a feed-forward network, a mixture of experts.
pub(crate) trait Block {
    /// What the layer calls it: `self_attn`.
    fn module(&self) -> &'static str;

    /// What it makes of `x`, with the weights below `prefix`.
    fn build(&self, b: &mut Builder, x: ValueId, sizes: &Sizes, prefix: &str) -> Result<ValueId>;
}

impl<T: Block + ?Sized> Block for &T {
    fn module(&self) -> &'static str {
        (**self).module()
    }

    fn build(&self, b: &mut Builder, x: ValueId, sizes: &Sizes, prefix: &str) -> Result<ValueId> {
        (**self).build(b, x, sizes, prefix)
    }
}

/// One layer's parts.
#[derive(Debug, Clone)]
pub(crate) struct Layer<'a, A, F> {
    pub(crate) sizes: &'a Sizes,
    pub(crate) norms: Norms,
    /// What mixes positions.
    pub(crate) attention: A,
    /// What each position goes through by itself.
    pub(crate) mlp: F,
}

impl<A: Block, F: Block> Layer<'_, A, F> {
    /// Llama's: `x + attention(norm x)`, then `x + mlp(norm x)`.
    pub(crate) fn pre_norm(&self, b: &mut Builder, x: ValueId, index: usize) -> Result<ValueId> {
        let h = self.attend(b, x, index)?;
        let x = b.add(x, h)?;
        let h = self.feed(b, x, index, "post_attention_layernorm")?;
        b.add(x, h)
    }

    /// Gemma's: each part has a norm after it as well, inside the residual.
    pub(crate) fn sandwich(&self, b: &mut Builder, x: ValueId, index: usize) -> Result<ValueId> {
        let norm = |b: &mut Builder, h: ValueId, name: &str| {
            self.norms.row(b, h, format!("model.layers.{index}.{name}.weight"))
        };
        let h = self.attend(b, x, index)?;
        let h = norm(b, h, "post_attention_layernorm")?;
        let x = b.add(x, h)?;
        let h = self.feed(b, x, index, "pre_feedforward_layernorm")?;
        let h = norm(b, h, "post_feedforward_layernorm")?;
        b.add(x, h)
    }

    /// OLMo 2's: `x + norm(attention(x))`, then `x + norm(mlp(x))`.
    pub(crate) fn post_norm(&self, b: &mut Builder, x: ValueId, index: usize) -> Result<ValueId> {
        let name = format!("model.layers.{index}");
        b.at(format!("layers.{index}.attention"));
        let prefix = format!("{name}.{}", self.attention.module());
        let h = self.attention.build(b, x, self.sizes, &prefix)?;
        let h = self.norms.row(b, h, format!("{name}.post_attention_layernorm.weight"))?;
        let x = b.add(x, h)?;
        b.at(format!("layers.{index}.mlp"));
        let h = self.mlp.build(b, x, self.sizes, &format!("{name}.{}", self.mlp.module()))?;
        let h = self.norms.row(b, h, format!("{name}.post_feedforward_layernorm.weight"))?;
        b.add(x, h)
    }

    fn attend(&self, b: &mut Builder, x: ValueId, index: usize) -> Result<ValueId> {
        b.at(format!("layers.{index}.attention"));
        let name = format!("model.layers.{index}");
        let h = self.norms.row(b, x, format!("{name}.input_layernorm.weight"))?;
        self.attention.build(b, h, self.sizes, &format!("{name}.{}", self.attention.module()))
    }

    fn feed(&self, b: &mut Builder, x: ValueId, index: usize, norm: &str) -> Result<ValueId> {
        b.at(format!("layers.{index}.mlp"));
        let name = format!("model.layers.{index}");
        let h = self.norms.row(b, x, format!("{name}.{norm}.weight"))?;
        self.mlp.build(b, h, self.sizes, &format!("{name}.{}", self.mlp.module()))
    }
}
