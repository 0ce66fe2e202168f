//! NaN and infinity, refused at load.

use tessera_formats::Bytes;

use super::{RowOrder, Weight};
use crate::{Error, Packing, Result, float::all_finite, gguf};

impl Weight {
    /// Checks that no scale, bias or plain value is NaN or infinite, so that no code can make an
    /// element NaN. `tensor` is the name to report.
    ///
    /// Reads the scales once (plain floats and e4m3 codes: everything), without a branch an element.
    ///
    /// # Errors
    /// [`Error::NotFinite`] with the first stored row that is not (the first row, where storage is turned).
    pub fn check_finite(&self, tensor: &str) -> Result<()> {
        let (codes, scales, biases) = self.row_bytes();
        let companion = |bytes: &Option<Bytes>, row: usize, each: usize| {
            bytes.as_ref().is_none_or(|b| self.companion_finite(&b[row * each..(row + 1) * each]))
        };
        let finite = |row: usize| {
            let codes = &self.codes[row * codes..(row + 1) * codes];
            self.codes_finite(codes)
                && companion(&self.scales, row, scales)
                && companion(&self.biases, row, biases)
        };
        let mut values = Vec::new();
        let mut column_finite = |row: usize| {
            values.resize(self.cols, 0.0);
            self.decode_row(row, &mut values);
            values.iter().all(|x| x.is_finite())
        };
        let found = match self.order {
            RowOrder::Turned { .. } => (0..self.rows).find(|&row| !column_finite(row)),
            _ => (0..self.rows).map(|row| self.stored_row(row)).find(|&row| !finite(row)),
        };
        match found {
            Some(row) => Err(Error::NotFinite { tensor: tensor.to_owned(), row }),
            None => Ok(()),
        }
    }

    fn codes_finite(&self, bytes: &[u8]) -> bool {
        match self.packing {
            Packing::Dense(float) => all_finite(float, bytes),
            Packing::Mxfp8 => e4m3_finite(bytes),
            Packing::Ggml(kind) => gguf::scales_finite(kind, bytes),
            Packing::Affine { .. } | Packing::Mxfp4 | Packing::Nvfp4 => true,
        }
    }

    fn companion_finite(&self, bytes: &[u8]) -> bool {
        match self.packing {
            Packing::Affine { scale, .. } => all_finite(scale, bytes),
            Packing::Mxfp4 | Packing::Mxfp8 => bytes.iter().all(|&b| b != 255),
            Packing::Nvfp4 => e4m3_finite(bytes),
            Packing::Dense(_) | Packing::Ggml(_) => true,
        }
    }
}

fn e4m3_finite(bytes: &[u8]) -> bool {
    bytes.iter().fold(0, |found, b| found | u8::from(b & 0x7f == 0x7f)) == 0
}
