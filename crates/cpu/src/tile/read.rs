//! Reading a row back from its tile: embedding rows, and the check that packing lost nothing.

use half::{bf16, f16};
use tessera_quant::{Codes, Float, Scales};

use super::{BLOCK, CHUNK, Tiles, planes};
use crate::isa::LANES;

impl Tiles {
    /// Decodes row `row` into `out` (`[cols]`).
    ///
    /// # Safety
    /// The row's tile has been packed.
    pub unsafe fn read_row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.rows && out.len() == self.cols, "row {row} of {}", self.rows);
        // SAFETY: the tile lies within the placed memory and nobody writes it any more.
        let tile = unsafe { std::slice::from_raw_parts(self.tile(row / LANES), self.tile_bytes) };
        let r = row % LANES;
        if let Codes::Float(float) = self.codes {
            for (k, x) in out.iter_mut().enumerate() {
                *x = get(float, tile, k * LANES + r);
            }
            return;
        }
        let mut rest = tile;
        for (chunk, out) in out.chunks_mut(CHUNK * BLOCK).enumerate() {
            let blocks = CHUNK.min(self.blocks() - chunk * CHUNK);
            let (scales, tail) = rest.split_at(self.scale_bytes(blocks));
            let (codes, tail) = tail.split_at(blocks * self.bits() * 64);
            rest = tail;
            for (g, out) in out.chunks_mut(self.group).enumerate() {
                let (scale, bias) = self.scale_of(scales, self.groups(blocks), g, r);
                for (i, x) in out.iter_mut().enumerate() {
                    let k = g * self.group + i;
                    let code =
                        code_of(&codes[k / BLOCK * self.bits() * 64..], self.bits(), r, k % BLOCK);
                    *x = scale * self.value(code) + bias;
                }
            }
        }
    }

    fn value(&self, code: u8) -> f32 {
        match self.codes {
            Codes::Table4(_) => f32::from(self.table[usize::from(code)]) - self.zero as f32,
            codes => codes.value(code),
        }
    }

    /// Scale and bias of group `g` of row `r` of a chunk with `groups` groups.
    fn scale_of(&self, scales: &[u8], groups: usize, g: usize, r: usize) -> (f32, f32) {
        let at = g * LANES + r;
        match self.scales {
            Scales::None => (1.0, 0.0),
            Scales::Float { float, bias } => {
                let b = if bias { get(float, scales, groups * LANES + at) } else { 0.0 };
                (get(float, scales, at), b)
            }
            Scales::E8M0 => (f32::from_bits((u32::from(scales[at]) << 23).max(1 << 22)), 0.0),
            Scales::E4M3 => (get(Float::F16, scales, at), 0.0),
            Scales::TwoLevel { min } => {
                let head = LANES * 2 * (1 + usize::from(min));
                let scale = get(Float::F16, scales, r) * f32::from(scales[head + at] as i8);
                let bias = if min {
                    -(get(Float::F16, scales, LANES + r)
                        * f32::from(scales[head + groups * LANES + at]))
                } else {
                    0.0
                };
                (scale, bias)
            }
        }
    }
}

/// Code of column `k` (within a block) of row `r`.
fn code_of(block: &[u8], bits: usize, r: usize, k: usize) -> u8 {
    let (j, byte) = (k / 4, r * 4 + k % 4);
    let mut code = 0;
    let mut plane = block;
    for &(b, place) in planes(bits) {
        let field = plane[j % b * 64 + byte] >> (j / b * b);
        code |= (field & ((1u16 << b) - 1) as u8) << place;
        plane = &plane[b * 64..];
    }
    code
}

fn get(float: Float, bytes: &[u8], index: usize) -> f32 {
    let half = || [bytes[index * 2], bytes[index * 2 + 1]];
    match float {
        Float::F32 => {
            let b = &bytes[index * 4..][..4];
            f32::from_le_bytes([b[0], b[1], b[2], b[3]])
        }
        Float::F16 => f16::from_le_bytes(half()).to_f32(),
        Float::BF16 => bf16::from_le_bytes(half()).to_f32(),
    }
}
