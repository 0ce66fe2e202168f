//! Expanding a chunk's scales: from their stored kinds to a vector of f32 for each 16 or 32 columns, so that
//! the dot products know one kind only.

use tessera_quant::{Float, Scales};

use crate::{
    isa::{Isa, LANES},
    tile::{BLOCK, CHUNK, Tiles},
};

/// Scales and biases of a chunk: `[step][row]`, a step being 32 columns, or 16 where groups are that small.
#[repr(align(64))]
pub(super) struct Expanded {
    pub scale: [[f32; LANES]; 2 * CHUNK],
    pub bias: [[f32; LANES]; 2 * CHUNK],
}

impl Expanded {
    /// Unspecified contents, written before they are read.
    #[inline(always)]
    pub fn new() -> Self {
        Self { scale: [[0.0; LANES]; 2 * CHUNK], bias: [[0.0; LANES]; 2 * CHUNK] }
    }

    /// Expands the scales at `p`, of a chunk of `blocks` blocks.
    ///
    /// # Safety
    /// `p` is the start of such a chunk of `w`; the machine has `S`.
    #[inline(always)]
    pub unsafe fn fill<S: Isa>(&mut self, w: &Tiles, p: *const u8, blocks: usize) {
        let groups = w.groups(blocks);
        // SAFETY: offsets follow the layout that `Tiles` planned: see `tile::pack`.
        unsafe {
            match w.scales {
                Scales::None => {}
                Scales::Float { float, bias } => {
                    match float {
                        Float::F16 => self
                            .floats::<S>(w, blocks, bias, |i| S::load_f16(p.cast::<u16>().add(i))),
                        Float::BF16 => self
                            .floats::<S>(w, blocks, bias, |i| S::load_bf16(p.cast::<u16>().add(i))),
                        Float::F32 => {
                            self.floats::<S>(w, blocks, bias, |i| S::load(p.cast::<f32>().add(i)))
                        }
                    }
                }
                Scales::E8M0 => self.floats::<S>(w, blocks, false, |i| S::load_e8m0(p.add(i))),
                Scales::E4M3 => {
                    self.floats::<S>(w, blocks, false, |i| S::load_f16(p.cast::<u16>().add(i)))
                }
                Scales::TwoLevel { min } => {
                    let head = 2 * LANES * (1 + usize::from(min));
                    let d = S::load_f16(p.cast());
                    for g in 0..groups {
                        let sub = S::load_i8(p.add(head + g * LANES).cast());
                        S::store(self.scale[g].as_mut_ptr(), S::mul(d, sub));
                    }
                    if min {
                        let d = S::sub(S::splat(0.0), S::load_f16(p.add(2 * LANES).cast()));
                        for g in 0..groups {
                            let m = S::load_u8(p.add(head + (groups + g) * LANES));
                            S::store(self.bias[g].as_mut_ptr(), S::mul(d, m));
                        }
                    }
                }
            }
        }
    }

    /// Single-level scales (then biases) read by `load` at element offsets.
    ///
    /// # Safety
    /// `load` is good for all the chunk's groups; the machine has `S`.
    #[inline(always)]
    unsafe fn floats<S: Isa>(
        &mut self,
        w: &Tiles,
        blocks: usize,
        bias: bool,
        load: impl Fn(usize) -> S::F,
    ) {
        let groups = w.groups(blocks);
        let steps = if w.group == 16 { 2 * blocks } else { blocks };
        let repeat = (w.group / BLOCK).max(1);
        for step in 0..steps {
            let g = step / repeat;
            // SAFETY: the arrays hold 16 steps, and a chunk has no more.
            unsafe {
                S::store(self.scale[step].as_mut_ptr(), load(g * LANES));
                if bias {
                    S::store(self.bias[step].as_mut_ptr(), load((groups + g) * LANES));
                }
            }
        }
    }
}
