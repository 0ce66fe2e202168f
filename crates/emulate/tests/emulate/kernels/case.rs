//! A launch and what must come of it.

use tessera_emulate::{Error, Library, Order};
use tessera_tile::{
    Arguments, Program, Record, Spec,
    ir::Elem,
    sim::{Binding, Checks, Fault, Kernel, Memory},
};

/// What a buffer must hold afterwards.
#[derive(Clone)]
pub enum Expected {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Floats of a type, within a part of the largest.
    Near(Elem, Vec<f64>, f64),
}

/// A launch.
#[derive(Clone)]
pub struct Case {
    /// The recorded kernel.
    pub program: Program,
    grid: [u32; 3],
    args: Vec<u32>,
    buffers: Vec<Vec<u8>>,
    /// Index of a buffer, and what it must hold.
    expected: Vec<(usize, Expected)>,
}

impl Case {
    pub fn new<S: Record + Spec>(
        spec: &S,
        args: S::Args,
        buffers: Vec<Vec<u8>>,
        expected: Vec<(usize, Expected)>,
    ) -> Self {
        spec.check(&args).unwrap();
        let (grid, program) = (spec.grid(&args), spec.record().unwrap());
        Self { program, grid, args: args.words(), buffers, expected }
    }

    /// The same launch of a changed program.
    pub fn of(&self, program: Program) -> Self {
        Self { program, ..self.clone() }
    }

    /// Runs the program in the simulator, with everything checked.
    pub fn simulate(&self) -> Result<(), Fault> {
        let memories: Vec<_> = self.buffers.iter().map(|bytes| Memory::of(bytes)).collect();
        let bindings: Vec<_> = memories.iter().map(Binding::all).collect();
        let kernel = Kernel::new(self.program.clone());
        kernel.launch(self.grid, &self.args, &bindings, Checks::All).map(drop)
    }

    /// Launches; what is wrong with the result is told as a text.
    pub fn launch(&self, library: &Library, order: Order) -> Result<Option<String>, Error> {
        let mut buffers = self.buffers.clone();
        let mut slices: Vec<_> = buffers.iter_mut().map(Vec::as_mut_slice).collect();
        let (name, grid) = (&self.program.name, self.grid);
        library.launch_ordered(order, name, grid, &self.args, &mut slices)?;
        Ok(self.expected.iter().find_map(|(index, expected)| {
            let what = wrong(expected, &buffers[*index])?;
            Some(format!("{} of {name}: {what}", self.program.buffers[*index].name))
        }))
    }
}

fn wrong(expected: &Expected, found: &[u8]) -> Option<String> {
    match expected {
        Expected::Bytes(bytes) => {
            assert_eq!(bytes.len(), found.len());
            let at = (0..bytes.len()).find(|&i| bytes[i] != found[i])?;
            Some(format!("byte {at} is {}, not {}", found[at], bytes[at]))
        }
        Expected::Near(elem, values, tolerance) => {
            let found = floats(*elem, found);
            assert_eq!(values.len(), found.len());
            let largest = values.iter().fold(1e-30f64, |m, x| m.max(x.abs()));
            // A result that is not a number is far from all.
            let near = |i: &usize| (values[*i] - found[*i]).abs() <= tolerance * largest;
            let at = (0..values.len()).find(|i| !near(i))?;
            Some(format!("element {at} is {}, not {}", found[at], values[at]))
        }
    }
}

fn floats(elem: Elem, bytes: &[u8]) -> Vec<f64> {
    match elem {
        Elem::F16 => {
            let halves = bytes.as_chunks().0.iter().map(|&b| half::f16::from_ne_bytes(b));
            halves.map(f64::from).collect()
        }
        _ => bytes.as_chunks().0.iter().map(|&b| f32::from_ne_bytes(b).into()).collect(),
    }
}

/// Numbers that look random, the same each time.
pub struct Draw(u64);

impl Draw {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(1))
    }

    pub fn word(&mut self) -> u32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    /// Between -1 and 1.
    pub fn float(&mut self) -> f32 {
        self.word() as i32 as f32 / 2_147_483_648.0
    }

    pub fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.float()).collect()
    }

    /// Numbers that half precision can hold.
    pub fn halves(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| half::f16::from_f32(self.float()).into()).collect()
    }
}

pub fn bytes_f32(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_ne_bytes()).collect()
}

pub fn bytes_f16(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|&x| half::f16::from_f32(x).to_ne_bytes()).collect()
}

pub fn bytes_u32(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_ne_bytes()).collect()
}
