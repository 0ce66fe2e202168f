//! Reading a chunk's scales, whatever their stored kind, as a vector of one f32 for each row.

use tessera_quant::{Float, Scales};

use crate::{
    isa::{Isa, LANES},
    tile::Tiles,
};

/// The scales of one chunk of a tile.
#[derive(Clone, Copy)]
pub(super) struct ChunkScales<'a> {
    weight: &'a Tiles,
    p: *const u8,
    groups: usize,
}

impl<'a> ChunkScales<'a> {
    /// The scales at `p`, the start of a chunk of `blocks` blocks of `weight`.
    #[inline(always)]
    pub fn new(weight: &'a Tiles, p: *const u8, blocks: usize) -> Self {
        Self { weight, p, groups: weight.groups(blocks) }
    }

    /// Scales of group `g`.
    ///
    /// # Safety
    /// The chunk is packed and has that group; the machine has `S`.
    #[inline(always)]
    pub unsafe fn scale<S: Isa>(&self, g: usize) -> S::F {
        let (p, at) = (self.p, g * LANES);
        // SAFETY: offsets follow the layout that `Tiles` planned: see `tile::pack`.
        unsafe {
            match self.weight.scales {
                Scales::None => S::splat(1.0),
                Scales::Float { float, .. } => load::<S>(float, p, at),
                Scales::E8M0 => S::load_e8m0(p.add(at)),
                Scales::E4M3 => S::load_f16(p.cast::<u16>().add(at)),
                Scales::TwoLevel { min } => {
                    let sub = S::load_i8(p.add(head(min) + at).cast());
                    S::mul(S::load_f16(p.cast()), sub)
                }
            }
        }
    }

    /// Biases of group `g`, of weights that have them.
    ///
    /// # Safety
    /// As for [`ChunkScales::scale`].
    #[inline(always)]
    pub unsafe fn bias<S: Isa>(&self, g: usize) -> S::F {
        let (p, at) = (self.p, (self.groups + g) * LANES);
        // SAFETY: as above; biases follow all scales.
        unsafe {
            match self.weight.scales {
                Scales::Float { float, .. } => load::<S>(float, p, at),
                Scales::TwoLevel { .. } => {
                    let min = S::load_u8(p.add(head(true) + at));
                    let d = S::load_f16(p.add(2 * LANES).cast());
                    S::mul(S::sub(S::splat(0.0), d), min)
                }
                _ => S::splat(0.0),
            }
        }
    }
}

/// Bytes of a two-level chunk's own scales, before those of its groups.
fn head(min: bool) -> usize {
    2 * LANES * (1 + usize::from(min))
}

/// 16 floats at element offset `at`.
///
/// # Safety
/// They are there; the machine has `S`.
#[inline(always)]
unsafe fn load<S: Isa>(float: Float, p: *const u8, at: usize) -> S::F {
    // SAFETY: the caller vouches for the memory and the machine.
    unsafe {
        match float {
            Float::F16 => S::load_f16(p.cast::<u16>().add(at)),
            Float::BF16 => S::load_bf16(p.cast::<u16>().add(at)),
            Float::F32 => S::load(p.cast::<f32>().add(at)),
        }
    }
}
