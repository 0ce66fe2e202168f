//! Packed matrices as kernels see them: planes of codes and of scales, row after row.
//!
//! Codes of a row are a stream of `bits` bits each, the first in the lowest, in words of 32 bits: 32 columns are `bits` words,
//! whatever the width. This is mlx's layout as it lies in files; GGUF's blocks are taken apart when they are loaded.
//! Scales and biases are planes of one element a group.

mod copied;
mod product;
mod read;

pub use copied::Copied;
pub use product::Step;
pub use read::{Group, Packed, Planes};
use tessera_quant::{Codes, Float, Form, Scales};
use tessera_tile::prelude::*;

/// Columns that a lane takes at once.
pub const STEP: u32 = 32;

/// A packing, as a part of a kernel's specialisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct Matrix {
    /// What the packing means.
    #[name(form_name)]
    pub form: Form,
}

/// Type of elements of a plain float.
pub fn elem(float: Float) -> Elem {
    match float {
        Float::F32 => Elem::F32,
        Float::F16 => Elem::F16,
        Float::BF16 => Elem::BF16,
    }
}

/// A packing in a kernel's name: `q4z8_f16_g32`. Values of a table are none of the kernel's constants.
pub fn form_name(form: Form) -> String {
    let Form { codes, scales, group } = form;
    let codes = match codes {
        Codes::Int { bits, zero: 0 } => format!("q{bits}"),
        Codes::Int { bits, zero } => format!("q{bits}z{zero}"),
        Codes::Table4(_) => "table4".into(),
        Codes::E4M3 => "e4m3".into(),
        Codes::Float(float) => format!("{float:?}"),
    };
    let scales = match scales {
        Scales::None => "".into(),
        Scales::Float { float, bias } => format!("_{float:?}{}", if bias { "b" } else { "" }),
        Scales::E8M0 | Scales::E4M3 => "_f32".into(),
        Scales::TwoLevel { min } => format!("_two{}", if min { "m" } else { "" }),
    };
    format!("{codes}{scales}_g{group}").to_lowercase()
}

impl Matrix {
    /// Bits of a code; 0 of plain floats.
    pub fn bits(&self) -> u32 {
        match self.form.codes {
            Codes::Int { bits, .. } => u32::from(bits),
            Codes::Table4(_) => 4,
            Codes::E4M3 => 8,
            Codes::Float(_) => 0,
        }
    }
}

/// Which planes a matrix has, in the order they are bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Plane {
    /// Words of codes, or plain floats.
    Codes,
    /// Scale of each group.
    Scales,
    /// Bias of each group.
    Biases,
    /// Small integer scale of each group.
    Subs,
    /// Small integer min of each group.
    Mins,
    /// Scale of 256 columns.
    D,
    /// Scale of mins of 256 columns.
    Dmin,
    /// Values of 4-bit codes, f32.
    Table,
}

impl Matrix {
    /// Its planes.
    pub fn planes(&self) -> Vec<Plane> {
        let mut planes = vec![Plane::Codes];
        match self.form.scales {
            Scales::None => {}
            Scales::Float { bias, .. } => {
                planes.push(Plane::Scales);
                planes.extend(bias.then_some(Plane::Biases));
            }
            Scales::E8M0 | Scales::E4M3 => planes.push(Plane::Scales),
            Scales::TwoLevel { min } => {
                planes.push(Plane::Subs);
                planes.extend(min.then_some(Plane::Mins));
                planes.push(Plane::D);
                planes.extend(min.then_some(Plane::Dmin));
            }
        }
        planes.extend(matches!(self.form.codes, Codes::Table4(_)).then_some(Plane::Table));
        planes
    }

    /// Type of a plane's elements.
    pub fn plane_elem(&self, plane: Plane) -> Elem {
        match (plane, self.form.codes, self.form.scales) {
            (Plane::Codes, Codes::Float(float), _) => elem(float),
            (Plane::Codes, ..) => Elem::U32,
            (Plane::Scales | Plane::Biases, _, Scales::Float { float, .. }) => elem(float),
            (Plane::Scales | Plane::Biases | Plane::Table, ..) => Elem::F32,
            (Plane::Subs, ..) => Elem::I8,
            (Plane::Mins, ..) => Elem::U8,
            (Plane::D | Plane::Dmin, ..) => Elem::F16,
        }
    }
}
