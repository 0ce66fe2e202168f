//! Weights in the backend's own layout.
//!
//! A matrix is cut into tiles of 16 rows, one for each lane of a vector, and a tile into chunks of up to
//! 256 columns. A chunk is its scales, then its codes, so that a tile is read as one stream:
//!
//! ```text
//! chunk  = scales (16 rows side by side for each group), padded to 64 bytes
//!          codes of up to 8 blocks of 32 columns
//! block  = bit planes; a plane of b bits is b lines of 64 bytes
//! line   = 16 rows x 4 columns; k-step j (columns 4j .. 4j + 4) is in line j % b at bit (j / b) * b
//! ```
//!
//! So one integer dot product advances 16 rows by 4 columns, and codes of 2, 3, 4, 5, 6 and 8 bits are
//! planes of 4, 2 and 1 bits (8 is a plane of its own). The same tile serves every instruction set, decode
//! and prefill. Plain floats are stored column by column, 16 rows side by side.

mod fold;
mod pack;
mod read;

use tessera_graph::BackendError;
use tessera_quant::{Codes, Float, Form, Scales, Weight};

pub(crate) use pack::{Scratch, finite, pack_tile};

use crate::isa::LANES;

/// Columns of a block: activations have one scale for each.
pub(crate) const BLOCK: usize = 32;
/// Blocks of a chunk.
pub(crate) const CHUNK: usize = 8;

/// Bit planes of a code, as (bits, lowest bit's place in the code).
pub(crate) fn planes(bits: usize) -> &'static [(usize, usize)] {
    match bits {
        8 => &[(8, 0)],
        6 => &[(4, 0), (2, 4)],
        5 => &[(4, 0), (1, 4)],
        4 => &[(4, 0)],
        3 => &[(2, 0), (1, 2)],
        _ => &[(2, 0)],
    }
}

/// A matrix in tiles. The bytes belong to a region that outlives it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tiles {
    /// Output features.
    pub rows: usize,
    /// Input features.
    pub cols: usize,
    /// What a code stands for.
    pub codes: Codes,
    /// How scales are stored.
    pub scales: Scales,
    /// Columns that share a scale.
    pub group: usize,
    /// Subtracted from an integer code as it is read here.
    pub zero: i32,
    /// Values of 4-bit table codes plus `zero`, repeated four times.
    pub table: [u8; 64],
    /// Bytes of one tile.
    pub tile_bytes: usize,
    data: *mut u8,
}

// SAFETY: the bytes are written once, before anyone reads them.
unsafe impl Send for Tiles {}
// SAFETY: as above.
unsafe impl Sync for Tiles {}

impl Tiles {
    /// Plans the layout of `weight`; bytes are assigned by [`Tiles::place`] and written by
    /// [`pack_tile`].
    pub fn plan(weight: &Weight, name: &str) -> Result<Self, BackendError> {
        let Form { codes, scales, group } = fold::form(weight);
        let unsupported = |what: String| BackendError::Unsupported { backend: "cpu", what };
        if !matches!(codes, Codes::Float(_)) && !matches!(group, 16 | 32 | 64 | 128 | 256) {
            return Err(unsupported(format!("{name}: groups of {group}")));
        }
        let mut tiles = Self {
            rows: weight.rows,
            cols: weight.cols,
            codes,
            scales,
            group,
            zero: 0,
            table: [0; 64],
            tile_bytes: 0,
            data: std::ptr::null_mut(),
        };
        match codes {
            Codes::Int { zero, .. } => tiles.zero = i32::from(zero),
            Codes::Table4(values) => {
                tiles.zero = -values.iter().map(|&v| i32::from(v)).min().unwrap_or(0);
                for (i, byte) in tiles.table.iter_mut().enumerate() {
                    *byte = (i32::from(values[i % 16]) + tiles.zero) as u8;
                }
            }
            Codes::E4M3 | Codes::Float(_) => {}
        }
        tiles.tile_bytes = match codes {
            Codes::Float(float) => (LANES * tiles.cols * float_bytes(float)).next_multiple_of(64),
            _ => {
                let blocks = tiles.blocks();
                blocks / CHUNK * tiles.chunk_bytes(CHUNK)
                    + if blocks.is_multiple_of(CHUNK) {
                        0
                    } else {
                        tiles.chunk_bytes(blocks % CHUNK)
                    }
            }
        };
        Ok(tiles)
    }

    /// Assigns the memory: [`Tiles::bytes`] bytes, 64-byte aligned.
    pub fn place(&mut self, data: *mut u8) {
        self.data = data;
    }

    /// Number of tiles.
    pub fn count(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    /// Bytes in all.
    pub fn bytes(&self) -> usize {
        self.count() * self.tile_bytes
    }

    /// Blocks of a row; the last may be padded.
    pub fn blocks(&self) -> usize {
        self.cols.div_ceil(BLOCK)
    }

    /// Where tile `tile` begins.
    pub fn tile(&self, tile: usize) -> *mut u8 {
        debug_assert!(tile < self.count());
        self.data.wrapping_add(tile * self.tile_bytes)
    }

    /// Bits of a stored code.
    pub fn bits(&self) -> usize {
        match self.codes {
            Codes::Int { bits, .. } => usize::from(bits),
            Codes::Table4(_) => 4,
            Codes::E4M3 => 8,
            Codes::Float(_) => 0,
        }
    }

    /// Groups in a chunk of `blocks` blocks.
    pub fn groups(&self, blocks: usize) -> usize {
        (blocks * BLOCK).div_ceil(self.group)
    }

    /// Bytes of the scales of a chunk.
    pub fn scale_bytes(&self, blocks: usize) -> usize {
        let groups = self.groups(blocks);
        let bytes = match self.scales {
            Scales::None => 0,
            Scales::Float { float, bias } => {
                groups * LANES * float_bytes(float) * (1 + usize::from(bias))
            }
            Scales::E8M0 => groups * LANES,
            // kept as halves, which hold every e4m3 value exactly
            Scales::E4M3 => groups * LANES * 2,
            Scales::TwoLevel { min } => (2 * LANES + groups * LANES) * (1 + usize::from(min)),
        };
        bytes.next_multiple_of(64)
    }

    /// Bytes of a chunk of `blocks` blocks.
    pub fn chunk_bytes(&self, blocks: usize) -> usize {
        self.scale_bytes(blocks) + blocks * self.bits() * 64
    }

    /// Whether scales come with biases (or mins).
    pub fn has_bias(&self) -> bool {
        matches!(self.scales, Scales::Float { bias: true, .. } | Scales::TwoLevel { min: true })
    }
}

/// Bytes of a stored float.
pub(crate) fn float_bytes(float: Float) -> usize {
    match float {
        Float::F32 => 4,
        Float::F16 | Float::BF16 => 2,
    }
}
