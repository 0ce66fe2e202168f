//! The normal form of a packing: what a backend needs to know to lay a matrix out.

use tessera_formats::GgmlType;

use crate::{Float, Packing, e4m3_to_f32};

/// What a code stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codes {
    /// An unsigned integer of `bits` bits (2, 3, 4, 5, 6, 8) minus `zero`.
    Int {
        /// Bits of a code.
        bits: u8,
        /// Subtracted from the code.
        zero: u8,
    },
    /// A 4-bit index into a table of small integers.
    Table4(&'static [i8; 16]),
    /// An e4m3 float.
    E4M3,
    /// A plain float.
    Float(Float),
}

impl Codes {
    /// The exact value of one code; NaN for [`Codes::Float`], which has no one-byte codes.
    pub fn value(self, code: u8) -> f32 {
        match self {
            Self::Int { zero, .. } => f32::from(code) - f32::from(zero),
            Self::Table4(table) => f32::from(table[usize::from(code & 15)]),
            Self::E4M3 => e4m3_to_f32(code),
            Self::Float(_) => f32::NAN,
        }
    }
}

/// How a group's scale (and bias) are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scales {
    /// None: codes are values.
    None,
    /// One float a group, and a bias of the same type if `bias`.
    Float {
        /// Storage type.
        float: Float,
        /// Whether each group has a bias.
        bias: bool,
    },
    /// A power of two. [`RowScales::scale`] holds it ready for use: already halved where codes are
    /// doubled e2m1 values.
    E8M0,
    /// An e4m3 float. [`RowScales::scale`] holds it ready for use: already halved, as codes are
    /// doubled e2m1 values.
    E4M3,
    /// `d * sub` with a small integer `sub` a group and an f16 `d` a super-block of 256 elements; with
    /// `min`, a bias `-dmin * m` of the same kind.
    TwoLevel {
        /// Whether each group has a min.
        min: bool,
    },
}

/// A packing as affine groups: element = `scale * value(code) + bias`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Form {
    /// What a code stands for.
    pub codes: Codes,
    /// How scales are stored.
    pub scales: Scales,
    /// Elements that share a scale: 16, 32, 64 or 128 (0 without scales).
    pub group: usize,
}

/// The scales of one row, in buffers that are reused from row to row.
///
/// Only what the form's [`Scales`] uses is filled; the rest is empty. All floats are the exact
/// values of what is stored.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RowScales {
    /// Scale of each group, ready for use (single-level packings).
    pub scale: Vec<f32>,
    /// Bias of each group ([`Scales::Float`] with `bias`).
    pub bias: Vec<f32>,
    /// Integer scale of each group ([`Scales::TwoLevel`]).
    pub sub: Vec<i8>,
    /// Integer min of each group ([`Scales::TwoLevel`] with `min`).
    pub min: Vec<u8>,
    /// Scale of each super-block of 256 elements ([`Scales::TwoLevel`]).
    pub d: Vec<f32>,
    /// Min scale of each super-block of 256 elements ([`Scales::TwoLevel`] with `min`).
    pub dmin: Vec<f32>,
}

/// Elements of a super-block, which share `d` and `dmin`.
pub(crate) const SUPER: usize = 256;

impl RowScales {
    /// Scale and bias of group `index` of a row in `form`: element = `scale * value + bias`.
    ///
    /// Two-level scales are multiplied out here in f32, `d` by `sub` first, as GGUF's reference
    /// does; a packing without biases has 0, one without scales has 1.
    ///
    /// # Panics
    /// When the row has no group `index`.
    pub fn group(&self, form: &Form, index: usize) -> (f32, f32) {
        match form.scales {
            Scales::None => (1.0, 0.0),
            Scales::Float { bias: true, .. } => (self.scale[index], self.bias[index]),
            Scales::Float { .. } | Scales::E8M0 | Scales::E4M3 => (self.scale[index], 0.0),
            Scales::TwoLevel { min } => {
                let block = index * form.group / SUPER;
                let scale = self.d[block] * f32::from(self.sub[index]);
                (scale, if min { -(self.dmin[block] * f32::from(self.min[index])) } else { 0.0 })
            }
        }
    }

    /// Sizes the buffers that `form` uses for a row of `cols` elements and empties the others.
    pub(crate) fn reshape(&mut self, form: &Form, cols: usize) {
        let groups = cols.checked_div(form.group).unwrap_or(0);
        let (mut single, mut bias, mut two, mut min) = (0, 0, 0, 0);
        match form.scales {
            Scales::None => {}
            Scales::Float { bias: with, .. } => {
                (single, bias) = (groups, groups * usize::from(with))
            }
            Scales::E8M0 | Scales::E4M3 => single = groups,
            Scales::TwoLevel { min: with } => (two, min) = (groups, groups * usize::from(with)),
        }
        self.scale.resize(single, 0.0);
        self.bias.resize(bias, 0.0);
        self.sub.resize(two, 0);
        self.min.resize(min, 0);
        self.d.resize(if two == 0 { 0 } else { cols / SUPER }, 0.0);
        self.dmin.resize(if min == 0 { 0 } else { cols / SUPER }, 0.0);
    }
}

/// The non-linear 4-bit values of IQ4_NL and IQ4_XS.
pub(crate) static IQ4: [i8; 16] =
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// The values of e2m1, doubled so that they are integers.
pub(crate) static E2M1_DOUBLED: [i8; 16] =
    [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

impl Packing {
    /// The normal form.
    pub fn form(self) -> Form {
        let int = |bits, zero| Codes::Int { bits, zero };
        let half = |bias| Scales::Float { float: Float::F16, bias };
        let (codes, scales, group) = match self {
            Self::Dense(float) => (Codes::Float(float), Scales::None, 0),
            Self::Affine { bits, group, scale } => {
                (int(bits, 0), Scales::Float { float: scale, bias: true }, usize::from(group))
            }
            Self::Mxfp4 => (Codes::Table4(&E2M1_DOUBLED), Scales::E8M0, 32),
            Self::Nvfp4 => (Codes::Table4(&E2M1_DOUBLED), Scales::E4M3, 16),
            Self::Mxfp8 => (Codes::E4M3, Scales::E8M0, 32),
            Self::Ggml(kind) => match kind {
                GgmlType::Q4_0 => (int(4, 8), half(false), 32),
                GgmlType::Q4_1 => (int(4, 0), half(true), 32),
                GgmlType::Q5_0 => (int(5, 16), half(false), 32),
                GgmlType::Q5_1 => (int(5, 0), half(true), 32),
                GgmlType::Q8_0 => (int(8, 128), half(false), 32),
                GgmlType::Q2_K => (int(2, 0), Scales::TwoLevel { min: true }, 16),
                GgmlType::Q3_K => (int(3, 4), Scales::TwoLevel { min: false }, 16),
                GgmlType::Q4_K => (int(4, 0), Scales::TwoLevel { min: true }, 32),
                GgmlType::Q5_K => (int(5, 0), Scales::TwoLevel { min: true }, 32),
                GgmlType::Q6_K => (int(6, 32), Scales::TwoLevel { min: false }, 16),
                GgmlType::IQ4_NL => (Codes::Table4(&IQ4), half(false), 32),
                GgmlType::IQ4_XS => (Codes::Table4(&IQ4), Scales::TwoLevel { min: false }, 32),
                GgmlType::MXFP4 => (Codes::Table4(&E2M1_DOUBLED), Scales::E8M0, 32),
            },
        };
        Form { codes, scales, group }
    }
}
