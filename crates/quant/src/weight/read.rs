//! Rows as codes and scales, and as values: the reference of every packing.

use super::{RowOrder, Weight};
use crate::{
    Codes, Form, Packing, RowScales, Scales, e2m1_to_f32, e4m3_to_f32,
    float::widen,
    form::SUPER,
    gguf::{self, TwoLevel},
    mlx,
};

/// The stored bytes of whole blocks of one row.
#[derive(Clone, Copy)]
struct Stored<'a> {
    codes: &'a [u8],
    scales: &'a [u8],
    biases: &'a [u8],
}

impl Weight {
    /// Writes row `row` (as named: [`Weight::order`] is undone) as f32.
    ///
    /// This is the definition of every packing: bit for bit what gguf-py's `dequantize` gives, and
    /// mlx's `dequantize` on scales and biases widened to f32. Each element is
    /// `scale * value + bias`, rounded after the product and after the sum; two-level scales and
    /// mins are multiplied out first.
    ///
    /// # Panics
    /// When there is no such row or `out` is not `cols` long.
    pub fn decode_row(&self, row: usize, out: &mut [f32]) {
        assert_eq!(out.len(), self.cols, "a row has `cols` elements");
        if let RowOrder::Turned { width, .. } = self.order {
            return self.decode_column(row, width, out);
        }
        let stored = self.stored(row);
        match (self.packing, self.form().codes) {
            (_, Codes::Float(float)) => widen(float, stored.codes, out),
            // -0 exists in e2m1, but not in the table of integers.
            (Packing::Mxfp4 | Packing::Nvfp4, _) => {
                self.decode_with(stored, out, |c| 2.0 * e2m1_to_f32(c));
            }
            (_, Codes::Int { zero, .. }) => {
                let zero = f32::from(zero);
                self.decode_with(stored, out, |c| f32::from(c) - zero);
            }
            (_, codes @ Codes::Table4(_)) => self.decode_with(stored, out, |c| codes.value(c)),
            (_, Codes::E4M3) => self.decode_with(stored, out, e4m3_to_f32),
        }
    }

    /// A row of a [`RowOrder::Turned`] matrix.
    fn decode_column(&self, row: usize, width: usize, out: &mut [f32]) {
        assert!(row < self.rows, "row {row} of a matrix of {} rows", self.rows);
        let Packing::Dense(float) = self.packing else {
            panic!("only plain floats are turned: see Weight::turned")
        };
        let (column, size) = (self.stored_row(row), self.packing.block_bytes());
        for (i, out) in out.iter_mut().enumerate() {
            let at = (i * width + column) * size;
            widen(float, &self.codes[at..at + size], std::slice::from_mut(out));
        }
    }

    /// Decodes a row a piece of at most 256 elements at a time, on the stack.
    #[inline(always)]
    fn decode_with(&self, stored: Stored<'_>, out: &mut [f32], value: impl Fn(u8) -> f32) {
        let form = self.form();
        let mut scales = Piece::default();
        let mut codes = [0; SUPER];
        for (index, out) in out.chunks_mut(SUPER).enumerate() {
            let stored = self.piece(stored, index * SUPER, out.len());
            let codes = &mut codes[..out.len()];
            self.unpack_codes(stored.codes, codes);
            let biased = scales.read(self.packing, &form, stored, out.len());
            let groups = out.chunks_mut(form.group).zip(codes.chunks(form.group));
            for ((out, codes), (scale, bias)) in groups.zip(scales.groups()) {
                if biased {
                    out.iter_mut().zip(codes).for_each(|(o, &c)| *o = scale * value(c) + bias);
                } else {
                    // Not `+ 0`, which would lose the sign of a zero.
                    out.iter_mut().zip(codes).for_each(|(o, &c)| *o = scale * value(c));
                }
            }
        }
    }

    /// Writes the codes of row `row` (as named), one byte an element; [`Codes`] says what they mean.
    ///
    /// # Panics
    /// When there is no such row, `out` is not `cols` long, or the packing is [`Packing::Dense`],
    /// which has no codes.
    pub fn codes_row(&self, row: usize, out: &mut [u8]) {
        assert_eq!(out.len(), self.cols, "a row has `cols` codes");
        self.unpack_codes(self.stored(row).codes, out);
    }

    /// Reads the scales of row `row` (as named) into `out`, whose buffers are reused.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn read_scales(&self, row: usize, out: &mut RowScales) {
        let form = self.form();
        out.reshape(&form, self.cols);
        let stored = self.stored(row);
        match (form.scales, self.packing) {
            (Scales::TwoLevel { .. }, Packing::Ggml(kind)) => {
                let RowScales { sub, min, d, dmin, .. } = out;
                gguf::two_level_scales(kind, stored.codes, TwoLevel { sub, min, d, dmin });
            }
            _ => single_scales(self.packing, stored, &mut out.scale, &mut out.bias),
        }
    }

    /// The stored bytes of row `row` (as named).
    ///
    /// # Panics
    /// When there is no such row.
    fn stored(&self, row: usize) -> Stored<'_> {
        assert!(row < self.rows, "row {row} of a matrix of {} rows", self.rows);
        let row = self.stored_row(row);
        let (codes, scales, biases) = self.row_bytes();
        Stored {
            codes: &self.codes[row * codes..(row + 1) * codes],
            scales: self.scales.as_ref().map_or(&[], |b| &b[row * scales..(row + 1) * scales]),
            biases: self.biases.as_ref().map_or(&[], |b| &b[row * biases..(row + 1) * biases]),
        }
    }

    /// The bytes of `len` elements from `start` on, both whole blocks.
    fn piece<'a>(&self, stored: Stored<'a>, start: usize, len: usize) -> Stored<'a> {
        let block = self.packing.block();
        let part = |bytes: &'a [u8], each: usize| {
            &bytes[start / block * each..(start + len) / block * each]
        };
        let (scale, bias) = self.packing.companion_bytes();
        Stored {
            codes: part(stored.codes, self.packing.block_bytes()),
            scales: part(stored.scales, scale),
            biases: part(stored.biases, bias),
        }
    }

    fn unpack_codes(&self, bytes: &[u8], out: &mut [u8]) {
        match self.packing {
            Packing::Dense(_) => panic!("plain floats have no codes: see Weight::form"),
            Packing::Affine { bits, .. } => mlx::codes(bits, bytes, out),
            Packing::Mxfp4 | Packing::Nvfp4 => mlx::codes(4, bytes, out),
            Packing::Mxfp8 => mlx::codes(8, bytes, out),
            Packing::Ggml(kind) => gguf::codes(kind, bytes, out),
        }
    }
}

/// Scales (and biases) of single-level packings, one a group.
fn single_scales(packing: Packing, stored: Stored<'_>, scale: &mut [f32], bias: &mut [f32]) {
    match packing {
        Packing::Ggml(kind) => gguf::single_scales(kind, stored.codes, scale, bias),
        _ => mlx::scales(packing, stored.scales, stored.biases, scale, bias),
    }
}

/// Most groups in 256 elements.
const GROUPS: usize = SUPER / 16;

/// Scale and bias of each group of at most 256 elements.
#[derive(Default)]
struct Piece {
    groups: usize,
    scale: [f32; GROUPS],
    bias: [f32; GROUPS],
}

impl Piece {
    /// Reads the scales of `len` elements; whether they have biases.
    fn read(&mut self, packing: Packing, form: &Form, stored: Stored<'_>, len: usize) -> bool {
        let n = len / form.group;
        self.groups = n;
        match (form.scales, packing) {
            (Scales::TwoLevel { min: with_min }, Packing::Ggml(kind)) => {
                let (mut sub, mut min, mut d, mut dmin) = ([0; GROUPS], [0; GROUPS], [0.0], [0.0]);
                let all =
                    TwoLevel { sub: &mut sub[..n], min: &mut min[..n], d: &mut d, dmin: &mut dmin };
                gguf::two_level_scales(kind, stored.codes, all);
                self.scale.iter_mut().zip(sub).for_each(|(o, s)| *o = d[0] * f32::from(s));
                self.bias.iter_mut().zip(min).for_each(|(o, m)| *o = -(dmin[0] * f32::from(m)));
                with_min
            }
            (scales, _) => {
                let biased = matches!(scales, Scales::Float { bias: true, .. });
                let biases = if biased { n } else { 0 };
                single_scales(packing, stored, &mut self.scale[..n], &mut self.bias[..biases]);
                biased
            }
        }
    }

    fn groups(&self) -> impl Iterator<Item = (f32, f32)> {
        self.scale.iter().copied().zip(self.bias).take(self.groups)
    }
}
