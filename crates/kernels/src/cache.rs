//! Keys and values as kernels see them: one layer's pages, `[pages, 2, kv_heads, PAGE, head_dim]`, keys first.

use tessera_tile::prelude::*;

use crate::{check::ensure, tables::PAGE};

/// How a layer's keys and values are kept, as a part of a kernel's specialisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct Cache {
    /// Type of an element: a float.
    pub elem: Elem,
    /// Elements of a key and of a value, a multiple of 8 up to [`MAX_HEAD_DIM`].
    pub head_dim: u32,
}

/// Elements of a key at most.
pub const MAX_HEAD_DIM: u32 = 256;

/// Whether kernels can do with keys of `dim` elements; if not, why.
pub(crate) fn check_head(dim: u32) -> Result<(), String> {
    let vectors = dim > 0 && dim.is_multiple_of(8) && dim <= MAX_HEAD_DIM;
    ensure!(vectors, "heads of {dim} elements, not a multiple of 8 up to {MAX_HEAD_DIM}");
    Ok(())
}

impl Cache {
    /// Whether kernels can do with it; if not, why.
    pub fn check(&self) -> Result<(), String> {
        let elem = self.elem;
        check_head(self.head_dim)?;
        let is_float = matches!(elem, Elem::F32 | Elem::F16 | Elem::BF16);
        ensure!(is_float, "keys and values of {elem:?}, which is no float");
        Ok(())
    }

    /// Elements of a vector of 16 bytes.
    pub fn width(&self) -> u32 {
        16 / self.elem.bytes() as u32
    }

    /// Vectors of a key.
    pub fn vectors(&self) -> u32 {
        self.head_dim / self.width()
    }

    /// Where a key begins: that of `head` at `slot` of a page.
    pub fn key(
        &self,
        page: Val<u32>,
        head: Val<u32>,
        kv_heads: Val<u32>,
        slot: Val<u32>,
    ) -> Val<u32> {
        ((page * 2 * kv_heads + head) * PAGE + slot) * self.head_dim
    }

    /// From a key to the value beside it.
    pub fn to_value(&self, kv_heads: Val<u32>) -> Val<u32> {
        kv_heads * (PAGE * self.head_dim)
    }

    /// A vector of 16 bytes.
    pub fn load(&self, pages: In<AnyFloat>, at: Val<u32>) -> Vec<Val<f32>> {
        match self.width() {
            4 => pages.load::<4>(at).to_vec(),
            _ => pages.load::<8>(at).to_vec(),
        }
    }
}
