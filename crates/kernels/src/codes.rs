//! Packed matrices as kernels see them: planes of codes and of scales, row after row.
//!
//! Codes of a row are a stream of `bits` bits each, the first in the lowest, in words of 32 bits: 32 columns are `bits` words,
//! whatever the width. This is mlx's layout as it lies in files; GGUF's blocks are taken apart when they are loaded.
//! Scales and biases are planes of one element a group.

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

/// The planes of a matrix, a kernel's parameter marked `#[of(matrix)]`.
pub struct Planes {
    matrix: Matrix,
    codes: Option<In<U32>>,
    floats: Option<In<AnyFloat>>,
    scales: Option<In<AnyFloat>>,
    biases: Option<In<AnyFloat>>,
    subs: Option<In<I8>>,
    mins: Option<In<U8>>,
    d: Option<In<F16>>,
    dmin: Option<In<F16>>,
    table: Option<In<F32>>,
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

/// Whether a product of a matrix with `cols` columns has something to do, `sizes` being what else it is made of, and
/// whether a kernel that is `ragged` or not can do it.
pub(crate) fn check_product(sizes: &[u32], cols: u32, ragged: bool) -> Result<(), String> {
    if cols == 0 || sizes.contains(&0) {
        return Err("an empty product".into());
    }
    check_columns(cols, ragged)
}

/// Whether a kernel that is `ragged` or not can read rows of `cols` columns.
pub(crate) fn check_columns(cols: u32, ragged: bool) -> Result<(), String> {
    match ragged || cols.is_multiple_of(STEP) {
        true => Ok(()),
        false => Err(format!("{cols} columns, not a multiple of {STEP}")),
    }
}

/// The product of a step with as many elements. `total` is the sum of these, where it is at hand.
fn dot(
    values: &[Val<f32>],
    groups: &[(Val<f32>, Option<Val<f32>>)],
    x: &[Val<f32>],
    total: Option<Val<f32>>,
) -> Val<f32> {
    let sum = |from: usize, to: usize| {
        let mut pairs = values[from..to].iter().zip(&x[from..to]);
        let (&w, &x) = pairs.next().expect("a step is not empty");
        pairs.fold(w * x, |sum, (&w, &x)| fma(w, x, sum))
    };
    if groups.is_empty() {
        return sum(0, x.len());
    }
    let total = total.filter(|_| groups.len() == 1);
    let size = x.len() / groups.len();
    let parts = groups.iter().enumerate().map(|(g, &(scale, bias))| {
        let (from, to) = (g * size, (g + 1) * size);
        let scaled = sum(from, to) * scale;
        let added = || x[from..to].iter().copied().reduce(|a, b| a + b);
        bias.map_or(scaled, |bias| {
            fma(total.or_else(added).expect("a group is not empty"), bias, scaled)
        })
    });
    parts.reduce(|a, b| a + b).expect("a step has groups")
}

/// [`STEP`] columns of a row: values of the codes, and what becomes of them.
pub struct Step {
    /// Value of each code, without its zero.
    pub values: Vec<Val<f32>>,
    /// `(scale, bias)` of each group of the step, in equal parts; empty for plain floats.
    pub groups: Vec<(Val<f32>, Option<Val<f32>>)>,
}

/// [`STEP`] columns of a row as they lie in memory.
pub struct Packed {
    /// Words of codes, or plain floats.
    codes: Result<Vec<Val<u32>>, Vec<Val<f32>>>,
    /// `(scale, bias)` of each group of the step; empty for plain floats.
    groups: Vec<(Val<f32>, Option<Val<f32>>)>,
}

impl Matrix {
    /// What elements of an input are multiplied by, those of columns 0 to 3 modulo 4, before [`Planes::product`]: its codes
    /// are the greater by so much.
    pub fn factors(&self) -> [f32; 4] {
        match self.form.codes {
            Codes::Int { bits: 4, .. } => [1.0, 1.0 / 16.0, 1.0 / 256.0, 1.0 / 4096.0],
            _ => [1.0; 4],
        }
    }
}

impl Planes {
    /// Reads columns `32 * block ..` of row `row`. `steps` is a row's number of blocks.
    pub fn step(&self, row: Val<u32>, block: Val<u32>, steps: Val<u32>) -> Step {
        let Packed { codes, groups } = self.read(row, block, steps);
        let values = match codes {
            Ok(words) => (0..STEP).map(|i| self.value(&words, i)).collect(),
            Err(values) => values,
        };
        Step { values, groups }
    }

    /// As [`Planes::step`], and nothing is computed yet.
    pub fn read(&self, row: Val<u32>, block: Val<u32>, steps: Val<u32>) -> Packed {
        let at = row * steps + block;
        if let Some(floats) = self.floats {
            return Packed { codes: Err(self.floats(floats, at)), groups: Vec::new() };
        }
        let words = self.words(at);
        let size = self.matrix.form.group as u32;
        let groups = match size {
            16 => (0..2).map(|g| self.group(at * 2 + g, at / 8)).collect(),
            _ => {
                let groups = steps / (size / STEP);
                let group = block / (size / STEP);
                let supers = steps / 8;
                vec![self.group(row * groups + group, row * supers + block / 8)]
            }
        };
        Packed { codes: Ok(words), groups }
    }

    /// The product of a step with 32 elements that have been multiplied by [`Matrix::factors`]; `total` is the sum of the
    /// elements themselves.
    pub fn product(&self, packed: &Packed, x: &[Val<f32>], total: Val<f32>) -> Val<f32> {
        let values: Vec<Val<f32>> = match &packed.codes {
            Err(values) => values.clone(),
            Ok(words) if self.matrix.factors()[1] != 1.0 => {
                words.iter().flat_map(|&word| masked(word)).collect()
            }
            Ok(words) => (0..STEP).map(|i| self.value(words, i)).collect(),
        };
        dot(&values, &packed.groups, x, Some(total))
    }

    fn floats(&self, floats: In<AnyFloat>, at: Val<u32>) -> Vec<Val<f32>> {
        let first = at * STEP;
        match self.matrix.form.codes {
            Codes::Float(Float::F32) => {
                (0..8).flat_map(|i| floats.load::<4>(first + i * 4)).collect()
            }
            _ => (0..4).flat_map(|i| floats.load::<8>(first + i * 8)).collect(),
        }
    }

    fn words(&self, at: Val<u32>) -> Vec<Val<u32>> {
        let codes = self.codes.expect("a matrix without floats has codes");
        let bits = self.matrix.bits();
        let first = at * bits;
        match bits {
            4 | 8 => (0..bits / 4).flat_map(|i| codes.load::<4>(first + i * 4)).collect(),
            2 | 6 => (0..bits / 2).flat_map(|i| codes.load::<2>(first + i * 2)).collect(),
            _ => (0..bits).map(|i| codes.at(first + i)).collect(),
        }
    }

    /// The value of code `i`.
    fn value(&self, words: &[Val<u32>], i: u32) -> Val<f32> {
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

    /// Scale and bias of a group; `block` is the super-block it is in.
    fn group(&self, group: Val<u32>, block: Val<u32>) -> (Val<f32>, Option<Val<f32>>) {
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

impl Step {
    /// The product with as many elements.
    pub fn dot(&self, x: &[Val<f32>]) -> Val<f32> {
        dot(&self.values, &self.groups, x, None)
    }

    /// The elements themselves.
    pub fn values(&self) -> Vec<Val<f32>> {
        if self.groups.is_empty() {
            return self.values.clone();
        }
        let size = self.values.len() / self.groups.len();
        let groups = self.values.chunks(size).zip(&self.groups);
        groups
            .flat_map(|(values, &(scale, bias))| {
                values.iter().map(move |&value| match bias {
                    Some(bias) => fma(value, scale, bias),
                    None => value * scale,
                })
            })
            .collect()
    }
}

/// The eight codes of a word of 4-bit codes, each times 1, 16, 256 or 4096: what stands in a float's lower bits.
fn masked(word: Val<u32>) -> [Val<f32>; 8] {
    let halves = [word, word >> 16];
    std::array::from_fn(|i| {
        let bits = halves[i / 4] & (0xf << (4 * (i % 4)));
        (bits | WHOLE.to_bits()).as_float() - WHOLE
    })
}

/// Above it floats are whole numbers, and their lower bits those of the number itself.
const WHOLE: f32 = 8_388_608.0;
