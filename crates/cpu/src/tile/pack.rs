//! Re-laying a matrix: from its packing's normal form to tiles.

use half::{bf16, f16};
use tessera_quant::{Codes, Float, RowScales, Scales, Weight};

use super::{BLOCK, CHUNK, Tiles, planes};
use crate::isa::LANES;

/// Buffers of one packing thread, reused from tile to tile.
#[derive(Default)]
pub(crate) struct Scratch {
    /// Codes of the tile's rows, row after row, padded to whole blocks.
    codes: Vec<u8>,
    scales: [RowScales; LANES],
    floats: Vec<f32>,
}

/// Writes tile `tile` of `weight`. Rows and columns beyond the matrix are zeros. Gives the first row, if
/// any, that holds a scale or element which is not finite.
///
/// # Safety
/// `tiles` was planned for `weight` and placed in zeroed memory, and no one else touches this tile.
pub(crate) unsafe fn pack_tile(
    tiles: &Tiles,
    weight: &Weight,
    tile: usize,
    scratch: &mut Scratch,
) -> Result<(), usize> {
    // SAFETY: the caller gives this tile, `tile_bytes` long, to us alone.
    let out = unsafe { std::slice::from_raw_parts_mut(tiles.tile(tile), tiles.tile_bytes) };
    let first = tile * LANES;
    let rows = LANES.min(tiles.rows - first);
    if let Codes::Float(float) = tiles.codes {
        return pack_floats(tiles, weight, float, first, rows, out, scratch);
    }
    let width = tiles.blocks() * BLOCK;
    scratch.codes.clear();
    scratch.codes.resize(LANES * width, 0);
    for r in 0..rows {
        let row = &mut scratch.codes[r * width..][..tiles.cols];
        weight.codes_row(first + r, row);
        weight.read_scales(first + r, &mut scratch.scales[r]);
        let s = &scratch.scales[r];
        if ![&s.scale, &s.bias, &s.d, &s.dmin].iter().all(|v| finite(v)) {
            return Err(first + r);
        }
    }
    let mut rest = out;
    for chunk in 0..tiles.blocks().div_ceil(CHUNK) {
        let blocks = CHUNK.min(tiles.blocks() - chunk * CHUNK);
        let (scales, tail) = rest.split_at_mut(tiles.scale_bytes(blocks));
        let (codes, tail) = tail.split_at_mut(blocks * tiles.bits() * 64);
        rest = tail;
        pack_scales(tiles, &scratch.scales[..rows], chunk, scales);
        for (b, block) in codes.chunks_exact_mut(tiles.bits() * 64).enumerate() {
            let first_col = (chunk * CHUNK + b) * BLOCK;
            pack_block(&scratch.codes, width, first_col, tiles.bits(), block);
        }
    }
    Ok(())
}

/// Plain floats: column by column, 16 rows side by side.
fn pack_floats(
    tiles: &Tiles,
    weight: &Weight,
    float: Float,
    first: usize,
    rows: usize,
    out: &mut [u8],
    scratch: &mut Scratch,
) -> Result<(), usize> {
    scratch.floats.resize(tiles.cols, 0.0);
    for r in 0..rows {
        weight.decode_row(first + r, &mut scratch.floats);
        if !finite(&scratch.floats) {
            return Err(first + r);
        }
        for (k, &x) in scratch.floats.iter().enumerate() {
            put(float, out, k * LANES + r, x);
        }
    }
    Ok(())
}

/// Whether all are finite, without a branch an element.
pub(crate) fn finite(values: &[f32]) -> bool {
    // x * 0 is 0 for finite x and NaN otherwise
    values.iter().fold(0.0, |sum, x| sum + x * 0.0) == 0.0
}

/// One block's codes: gathered by k-step, then split into planes.
fn pack_block(codes: &[u8], width: usize, first_col: usize, bits: usize, out: &mut [u8]) {
    let mut steps = [[0u32; LANES]; 8];
    for r in 0..LANES {
        let row = &codes[r * width + first_col..][..BLOCK];
        for (j, four) in row.chunks_exact(4).enumerate() {
            steps[j][r] = u32::from_le_bytes([four[0], four[1], four[2], four[3]]);
        }
    }
    let mut rest = out;
    for &(b, place) in planes(bits) {
        let (plane, tail) = rest.split_at_mut(b * 64);
        rest = tail;
        let mask = ((1u32 << b) - 1) * 0x0101_0101;
        for (i, line) in plane.chunks_exact_mut(64).enumerate() {
            let mut words = [0u32; LANES];
            for s in 0..8 / b {
                for (word, &step) in words.iter_mut().zip(&steps[s * b + i]) {
                    *word |= ((step >> place) & mask) << (s * b);
                }
            }
            for (bytes, word) in line.chunks_exact_mut(4).zip(words) {
                bytes.copy_from_slice(&word.to_le_bytes());
            }
        }
    }
}

/// One chunk's scales; rows beyond the matrix keep zero scales.
fn pack_scales(tiles: &Tiles, rows: &[RowScales], chunk: usize, out: &mut [u8]) {
    let per_chunk = CHUNK * BLOCK / tiles.group.min(CHUNK * BLOCK);
    let first = chunk * per_chunk;
    let total = tiles.cols.div_ceil(tiles.group);
    let here = per_chunk.min(total - first);
    // groups whose room is in the chunk: more than `here` where the last block is padded
    let room = tiles.groups(CHUNK.min(tiles.blocks() - chunk * CHUNK));
    for (r, row) in rows.iter().enumerate() {
        for g in 0..here {
            let at = g * LANES + r;
            match tiles.scales {
                Scales::None => {}
                Scales::Float { float, bias } => {
                    put(float, out, at, row.scale[first + g]);
                    if bias {
                        put(float, out, room * LANES + at, row.bias[first + g]);
                    }
                }
                Scales::E8M0 => out[at] = (row.scale[first + g].to_bits() >> 23) as u8,
                Scales::E4M3 => put(Float::F16, out, at, row.scale[first + g]),
                Scales::TwoLevel { min } => {
                    let head = LANES * 2 * (1 + usize::from(min));
                    out[head + at] = row.sub[first + g] as u8;
                    if min {
                        out[head + room * LANES + at] = row.min[first + g];
                    }
                }
            }
        }
        if let Scales::TwoLevel { min } = tiles.scales {
            put(Float::F16, out, r, row.d[chunk]);
            if min {
                put(Float::F16, out, LANES + r, row.dmin[chunk]);
            }
        }
    }
}

/// Stores float number `index`; the value came from the same type, so nothing is lost.
fn put(float: Float, out: &mut [u8], index: usize, x: f32) {
    match float {
        Float::F32 => out[index * 4..][..4].copy_from_slice(&x.to_le_bytes()),
        Float::F16 => out[index * 2..][..2].copy_from_slice(&f16::from_f32(x).to_le_bytes()),
        Float::BF16 => out[index * 2..][..2].copy_from_slice(&bf16::from_f32(x).to_le_bytes()),
    }
}
