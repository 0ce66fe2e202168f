//! Keys and values as kernels see them: one layer's pages, `[pages, 2, kv_heads, PAGE, head_dim]`, keys first.

use tessera_tile::prelude::*;

use crate::tables::PAGE;

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

impl Cache {
    /// Whether kernels can do with it; if not, why.
    pub fn check(&self) -> Result<(), String> {
        let (dim, elem) = (self.head_dim, self.elem);
        if dim == 0 || !dim.is_multiple_of(8) || dim > MAX_HEAD_DIM {
            return Err(format!(
                "heads of {dim} elements, not a multiple of 8 up to {MAX_HEAD_DIM}"
            ));
        }
        match elem {
            Elem::F32 | Elem::F16 | Elem::BF16 => Ok(()),
            _ => Err(format!("keys and values of {elem:?}, which is no float")),
        }
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
