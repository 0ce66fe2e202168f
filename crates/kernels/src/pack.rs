//! Laying a matrix out in the planes that kernels read.

use half::{bf16, f16};
use tessera_formats::Bytes;
use tessera_quant::{Codes, Float, Packing, RowOrder, RowScales, Weight};
use tessera_tile::ir::Elem;

use crate::codes::{Matrix, Plane, STEP};

/// A matrix's planes, in the order of [`Matrix::planes`].
#[derive(Debug, Clone)]
pub struct Packed {
    /// Its packing.
    pub matrix: Matrix,
    /// Bytes of each plane.
    pub planes: Vec<Vec<u8>>,
}

/// A weight that cannot be laid out: the first row with a scale or element that is not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("row {row} holds a number that is not finite")]
pub struct NotFinite {
    /// Which row.
    pub row: usize,
}

impl Matrix {
    /// The form in which a weight is laid out.
    pub fn of(weight: &Weight) -> Self {
        Self { form: weight.form() }
    }

    /// Bytes of each plane of `rows` rows of `cols` columns.
    pub fn plane_bytes(&self, rows: usize, cols: usize) -> Vec<usize> {
        let steps = cols.div_ceil(STEP as usize);
        let padded = steps * STEP as usize;
        let groups = padded.checked_div(self.form.group).unwrap_or(0);
        let len = |plane| match plane {
            Plane::Codes if self.bits() == 0 => rows * padded,
            Plane::Codes => rows * steps * self.bits() as usize,
            Plane::Scales | Plane::Biases | Plane::Subs | Plane::Mins => rows * groups,
            Plane::D | Plane::Dmin => rows * padded.div_ceil(256),
            Plane::Table => 16,
        };
        let planes = self.planes();
        planes.into_iter().map(|plane| len(plane) * self.plane_elem(plane).bytes()).collect()
    }

    /// For each plane the bytes of a weight that are just what [`Matrix::pack`] would make, if there are such.
    pub fn stored<'a>(&self, weight: &'a Weight) -> Vec<Option<&'a Bytes>> {
        let whole = weight.order == RowOrder::Plain && weight.cols.is_multiple_of(STEP as usize);
        let of = |plane| match (plane, weight.packing) {
            (_, Packing::Ggml(_)) => None,
            (Plane::Codes, _) => Some(&weight.codes),
            (Plane::Scales, Packing::Affine { .. }) => weight.scales.as_ref(),
            (Plane::Biases, Packing::Affine { .. }) => weight.biases.as_ref(),
            _ => None,
        };
        let fits = |plane| of(plane).filter(|_| whole && cfg!(target_endian = "little"));
        self.planes().into_iter().map(fits).collect()
    }

    /// Lays a weight out; columns beyond its own are zeros.
    pub fn pack(&self, weight: &Weight) -> Result<Packed, NotFinite> {
        let kinds = self.planes();
        let bytes = self.plane_bytes(weight.rows, weight.cols);
        let mut planes: Vec<Vec<u8>> = bytes.into_iter().map(Vec::with_capacity).collect();
        let mut scales = RowScales::default();
        let padded = weight.cols.next_multiple_of(STEP as usize);
        let (mut codes, mut floats) = (vec![0; padded], vec![0.0; padded]);
        let (groups, supers) = match self.form.group {
            0 => (0, 0),
            group => (padded / group, padded.div_ceil(256)),
        };
        for row in 0..weight.rows {
            match self.form.codes {
                Codes::Float(float) => {
                    weight.decode_row(row, &mut floats[..weight.cols]);
                    finite(row, &floats)?;
                    put_floats(float, &floats, &mut planes[0]);
                    continue;
                }
                _ => weight.codes_row(row, &mut codes[..weight.cols]),
            }
            weight.read_scales(row, &mut scales);
            let s = &scales;
            [&s.scale, &s.bias, &s.d, &s.dmin].into_iter().try_for_each(|v| finite(row, v))?;
            for (&kind, out) in kinds.iter().zip(&mut planes) {
                let elem = self.plane_elem(kind);
                let mut put = |values: &[f32], len: usize| {
                    let padding = std::iter::repeat_n(&0.0, len - values.len());
                    values.iter().chain(padding).for_each(|&x| put_float(elem, x, out));
                };
                match kind {
                    Plane::Codes => put_codes(self.bits(), &codes, out),
                    Plane::Scales => put(&s.scale, groups),
                    Plane::Biases => put(&s.bias, groups),
                    Plane::D => put(&s.d, supers),
                    Plane::Dmin => put(&s.dmin, supers),
                    Plane::Subs => {
                        out.extend(s.sub.iter().map(|&x| x as u8));
                        out.extend(std::iter::repeat_n(0, groups - s.sub.len()));
                    }
                    Plane::Mins => {
                        out.extend(&s.min);
                        out.extend(std::iter::repeat_n(0, groups - s.min.len()));
                    }
                    Plane::Table => {}
                }
            }
        }
        if let (Codes::Table4(table), Some(last)) = (self.form.codes, planes.last_mut()) {
            table.iter().for_each(|&x| last.extend(f32::from(x).to_le_bytes()));
        }
        Ok(Packed { matrix: *self, planes })
    }
}

fn finite(row: usize, values: &[f32]) -> Result<(), NotFinite> {
    match values.iter().all(|x| x.is_finite()) {
        true => Ok(()),
        false => Err(NotFinite { row }),
    }
}

fn put_floats(float: Float, values: &[f32], out: &mut Vec<u8>) {
    values.iter().for_each(|&x| put_float(crate::codes::elem(float), x, out));
}

fn put_float(elem: Elem, x: f32, out: &mut Vec<u8>) {
    match elem {
        Elem::F16 => out.extend(f16::from_f32(x).to_le_bytes()),
        Elem::BF16 => out.extend(bf16::from_f32(x).to_le_bytes()),
        _ => out.extend(x.to_le_bytes()),
    }
}

/// A row's codes as a stream of `bits` bits each.
fn put_codes(bits: u32, codes: &[u8], out: &mut Vec<u8>) {
    let (mut stream, mut held) = (0u64, 0);
    for &code in codes {
        stream |= u64::from(code) << held;
        held += bits;
        while held >= 8 {
            out.push(stream as u8);
            stream >>= 8;
            held -= 8;
        }
    }
}
