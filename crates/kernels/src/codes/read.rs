//! Reading planes: columns of a row as they lie in memory.

use tessera_quant::{Codes, Float};
use tessera_tile::{memory::Element, prelude::*};

use super::{Matrix, Plane, STEP};

/// The planes of a matrix, a kernel's parameter marked `#[of(matrix)]`.
pub struct Planes {
    pub(super) matrix: Matrix,
    pub(super) codes: Option<In<U32>>,
    pub(super) floats: Option<In<AnyFloat>>,
    scales: Option<In<AnyFloat>>,
    biases: Option<In<AnyFloat>>,
    subs: Option<In<I8>>,
    mins: Option<In<U8>>,
    d: Option<In<F16>>,
    dmin: Option<In<F16>>,
    table: Option<In<F32>>,
}

impl tessera_tile::Parameter for Planes {
    type Of = Matrix;

    fn declare(name: &'static str, matrix: Matrix) -> Self {
        let planes = matrix.planes();
        let named = |suffix: &str| tessera_tile::record::intern(format!("{name}_{suffix}"));
        // in the order of `planes`
        let float = |plane, suffix| {
            let elem = matrix.plane_elem(plane);
            planes.contains(&plane).then(|| In::declare(named(suffix), Some(elem)))
        };
        let is_float = matches!(matrix.form.codes, Codes::Float(_));
        let floats = if is_float { float(Plane::Codes, "values") } else { None };
        let codes = (!is_float).then(|| In::declare(named("codes"), None));
        let scales = float(Plane::Scales, "scales");
        let biases = float(Plane::Biases, "biases");
        let subs = planes.contains(&Plane::Subs).then(|| In::declare(named("subs"), None));
        let mins = planes.contains(&Plane::Mins).then(|| In::declare(named("mins"), None));
        let d = planes.contains(&Plane::D).then(|| In::declare(named("d"), None));
        let dmin = planes.contains(&Plane::Dmin).then(|| In::declare(named("dmin"), None));
        let table = planes.contains(&Plane::Table).then(|| In::declare(named("table"), None));
        Self { matrix, codes, floats, scales, biases, subs, mins, d, dmin, table }
    }
}

/// [`STEP`] columns of a row as they lie in memory.
pub struct Packed {
    /// Words of codes, or plain floats.
    pub(super) codes: Result<Vec<Val<u32>>, Vec<Val<f32>>>,
    /// `(scale, bias)` of each group of the step; empty for plain floats.
    pub(super) groups: Vec<Group>,
}

/// Scale of a group, and its bias if it has one.
pub type Group = (Val<f32>, Option<Val<f32>>);

/// Memory that steps are read from.
pub(super) trait From<E: Element>: Copy {
    fn load<const N: usize>(self, index: Val<u32>) -> [Val<E::Value>; N];
}

macro_rules! from {
    ($($memory:ident),*) => { $(
        impl<E: Element> From<E> for $memory<E> {
            fn load<const N: usize>(self, index: Val<u32>) -> [Val<E::Value>; N] {
                $memory::load(self, index)
            }
        }
    )* };
}
from!(In, Shared);

impl Planes {
    /// Reads columns `32 * block ..` of row `row`, as they are. `steps` is a row's number of blocks.
    pub fn read(&self, row: Val<u32>, block: Val<u32>, steps: Val<u32>) -> Packed {
        let at = row * steps + block;
        let codes = match (self.codes, self.floats) {
            (Some(codes), _) => Ok(self.words(codes, at)),
            (_, floats) => Err(self.floats(floats.expect("a matrix has elements"), at)),
        };
        Packed { codes, groups: self.groups(row, block, steps) }
    }

    /// Of the same columns, what is said of their groups, in equal parts; nothing of plain floats.
    pub fn groups(&self, row: Val<u32>, block: Val<u32>, steps: Val<u32>) -> Vec<Group> {
        let (at, size) = (row * steps + block, self.matrix.form.group as u32);
        match size {
            _ if self.floats.is_some() => Vec::new(),
            16 => (0..2).map(|g| self.group(at * 2 + g, at / 8)).collect(),
            _ => {
                let groups = steps / (size / STEP);
                let group = block / (size / STEP);
                let supers = steps / 8;
                vec![self.group(row * groups + group, row * supers + block / 8)]
            }
        }
    }

    /// Step `at` of plain floats.
    pub(super) fn floats(&self, floats: impl From<AnyFloat>, at: Val<u32>) -> Vec<Val<f32>> {
        let first = at * STEP;
        match self.matrix.form.codes {
            Codes::Float(Float::F32) => {
                (0..8).flat_map(|i| floats.load::<4>(first + i * 4)).collect()
            }
            _ => (0..4).flat_map(|i| floats.load::<8>(first + i * 8)).collect(),
        }
    }

    /// Step `at` of codes.
    pub(super) fn words(&self, codes: impl From<U32>, at: Val<u32>) -> Vec<Val<u32>> {
        let bits = self.matrix.bits();
        let first = at * bits;
        match bits {
            4 | 8 => (0..bits / 4).flat_map(|i| codes.load::<4>(first + i * 4)).collect(),
            2 | 6 => (0..bits / 2).flat_map(|i| codes.load::<2>(first + i * 2)).collect(),
            _ => (0..bits).flat_map(|i| codes.load::<1>(first + i)).collect(),
        }
    }

    /// The value of code `i`.
    pub(super) fn value(&self, words: &[Val<u32>], i: u32) -> Val<f32> {
        let bits = self.matrix.bits();
        let (word, shift) = ((i * bits / 32) as usize, i * bits % 32);
        let mut code = words[word];
        if shift > 0 {
            code = code >> shift;
        }
        if shift + bits > 32 {
            code = code | (words[word + 1] << (32 - shift));
        }
        if shift + bits != 32 {
            code = code & ((1u32 << bits) - 1);
        }
        match (self.matrix.form.codes, self.table) {
            (Codes::E4M3, _) => {
                // as half precision, whose exponent is one bit longer and its bias 8 more
                let half = ((code & 0x80) << 8) | ((code & 0x7f) << 7);
                half_bits(half) * 256.0
            }
            (Codes::Table4(_), Some(table)) => table.at(code),
            _ => code.f32(),
        }
    }

    /// Whether groups have biases, of the matrix or for the zero of its codes.
    pub fn has_biases(&self) -> bool {
        let zero = matches!(self.matrix.form.codes, Codes::Int { zero, .. } if zero > 0);
        zero || self.biases.is_some() || self.mins.is_some()
    }

    /// Scale and bias of a group; `block` is the super-block it is in.
    fn group(&self, group: Val<u32>, block: Val<u32>) -> Group {
        let (scale, bias) = match (self.scales, self.subs, self.d) {
            (Some(scales), ..) => (scales.at(group), self.biases.map(|b| b.at(group))),
            (_, Some(subs), Some(d)) => {
                let bias = self.mins.zip(self.dmin);
                let bias = bias.map(|(mins, dmin)| -(dmin.at(block) * mins.at(group).f32()));
                (d.at(block) * subs.at(group).f32(), bias)
            }
            _ => unreachable!("a matrix with codes has scales"),
        };
        match self.matrix.form.codes {
            Codes::Int { zero, .. } if zero > 0 => {
                let shift = scale * -f32::from(zero);
                (scale, Some(bias.map_or(shift, |bias| bias + shift)))
            }
            _ => (scale, bias),
        }
    }
}
