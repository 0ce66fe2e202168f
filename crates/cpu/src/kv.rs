//! Storage of keys and values, by page.
//!
//! Within a page, each layer has for each of its heads a block of keys `[PAGE / 16][dim][16]`, so that a
//! vector holds 16 positions and scores need no horizontal sums, and a block of values `[PAGE][dim]`. `dim` is
//! `head_dim` rounded up to 16.

use half::{bf16, f16};
use tessera_graph::{BackendError, Graph, KvType, PAGE, PageGroup, StateId};

use crate::{
    isa::{Isa, LANES},
    region::Region,
};

/// Where a layer's keys and values are in its group's pages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layer {
    /// Index of the page group.
    pub group: usize,
    /// Byte offset in a page.
    pub offset: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    /// `head_dim` rounded up to a whole vector.
    pub dim: usize,
    pub window: Option<usize>,
}

impl Layer {
    /// Bytes of one head's keys, or values, in a page.
    pub fn block_bytes(&self, kv: KvType) -> usize {
        PAGE * self.dim * kv.bytes()
    }

    /// Address of head `head`'s keys in the page at `page`; its values follow them.
    pub fn keys(&self, page: *mut u8, head: usize, kv: KvType) -> *mut u8 {
        page.wrapping_add(self.offset + 2 * head * self.block_bytes(kv))
    }
}

/// The pages of one group.
pub(crate) struct Pages {
    /// Bytes of a page.
    pub bytes: usize,
    slabs: Vec<Region>,
    addresses: Vec<*mut u8>,
}

// SAFETY: the addresses point into the slabs beside them.
unsafe impl Send for Pages {}

impl Pages {
    /// Makes at least `pages` pages available; their memory is taken as it is touched.
    pub fn grow(&mut self, pages: usize) -> Result<(), BackendError> {
        let more = pages.saturating_sub(self.addresses.len());
        if more == 0 {
            return Ok(());
        }
        let what = "key and value pages";
        let bytes =
            more.checked_mul(self.bytes).ok_or(BackendError::Memory { bytes: usize::MAX, what })?;
        let slab = Region::new(bytes, what)?;
        self.addresses.extend((0..more).map(|i| slab.at(i * self.bytes)));
        self.slabs.push(slab);
        Ok(())
    }

    /// Pages available.
    pub fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Address of a page.
    pub fn address(&self, page: u32) -> Option<*mut u8> {
        self.addresses.get(page as usize).copied()
    }
}

/// Lays the graph's states out in pages.
pub(crate) fn layout(graph: &Graph, groups: &[PageGroup], kv: KvType) -> (Vec<Layer>, Vec<Pages>) {
    let mut layers: Vec<Option<Layer>> = vec![None; graph.states.len()];
    let mut pages = Vec::new();
    for (group, g) in groups.iter().enumerate() {
        let mut offset = 0;
        for &StateId(id) in &g.states {
            let decl = &graph.states[id as usize];
            let layer = Layer {
                group,
                offset,
                kv_heads: decl.kv_heads,
                head_dim: decl.head_dim,
                dim: decl.head_dim.next_multiple_of(LANES),
                window: decl.window,
            };
            offset += 2 * decl.kv_heads * layer.block_bytes(kv);
            layers[id as usize] = Some(layer);
        }
        pages.push(Pages { bytes: offset, slabs: Vec::new(), addresses: Vec::new() });
    }
    (layers.into_iter().flatten().collect(), pages)
}

/// Element type of pages.
pub(crate) trait Element {
    /// 16 elements at element offset `index`.
    ///
    /// # Safety
    /// They are there; the machine has `S`.
    unsafe fn load<S: Isa>(p: *const u8, index: usize) -> S::F;

    /// Stores one element.
    ///
    /// # Safety
    /// There is room for it.
    unsafe fn put(p: *mut u8, index: usize, x: f32);
}

macro_rules! element {
    ($name:ident, $ty:ty, $load:ident, |$x:ident| $convert:expr) => {
        pub(crate) struct $name;

        impl Element for $name {
            #[inline(always)]
            unsafe fn load<S: Isa>(p: *const u8, index: usize) -> S::F {
                // SAFETY: the caller vouches for the memory and the machine.
                unsafe { S::$load(p.cast::<$ty>().add(index)) }
            }

            #[inline(always)]
            unsafe fn put(p: *mut u8, index: usize, $x: f32) {
                // SAFETY: the caller vouches for the memory.
                unsafe { p.cast::<$ty>().add(index).write($convert) }
            }
        }
    };
}

element!(HalfElement, u16, load_f16, |x| f16::from_f32(x).to_bits());
element!(BrainElement, u16, load_bf16, |x| bf16::from_f32(x).to_bits());
element!(FloatElement, f32, load, |x| x);

/// Writes one token's keys and values (`[kv_heads * head_dim]` each) at `slot` of the page at `page`.
///
/// # Safety
/// The page belongs to the layer's group, `slot < PAGE`, and nobody else touches the slot.
pub(crate) unsafe fn write(
    layer: &Layer,
    kv: KvType,
    page: *mut u8,
    slot: usize,
    k: *const f32,
    v: *const f32,
) {
    // SAFETY: passed on.
    unsafe {
        match kv {
            KvType::F16 => write_as::<HalfElement>(layer, kv, page, slot, k, v),
            KvType::BF16 => write_as::<BrainElement>(layer, kv, page, slot, k, v),
            KvType::F32 => write_as::<FloatElement>(layer, kv, page, slot, k, v),
        }
    }
}

unsafe fn write_as<E: Element>(
    layer: &Layer,
    kv: KvType,
    page: *mut u8,
    slot: usize,
    k: *const f32,
    v: *const f32,
) {
    let (block, lane) = (slot / LANES, slot % LANES);
    for head in 0..layer.kv_heads {
        let keys = layer.keys(page, head, kv);
        let values = keys.wrapping_add(layer.block_bytes(kv));
        for d in 0..layer.head_dim {
            // SAFETY: `d < dim`, `slot < PAGE`: inside the head's blocks; the inputs hold all heads.
            unsafe {
                E::put(
                    keys,
                    (block * layer.dim + d) * LANES + lane,
                    *k.add(head * layer.head_dim + d),
                );
                E::put(values, slot * layer.dim + d, *v.add(head * layer.head_dim + d));
            }
        }
    }
}
