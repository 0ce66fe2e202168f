//! A kernel with all that it is launched with, for any device.

use tessera_gpu::device::{Bound, Device, DeviceError};
use tessera_tile::{Arguments, Program, Record, ir::Access};

/// A launch.
pub struct Case {
    /// Which sizes, besides the kernel's name.
    pub what: String,
    /// The kernel.
    pub program: Program,
    /// Threadgroups.
    pub grid: [u32; 3],
    /// Argument words.
    pub args: Vec<u32>,
    /// What is in its buffers before.
    pub buffers: Vec<Vec<u8>>,
    /// How far results may lie from the simulator's, relative to the largest.
    pub limit: f32,
}

impl Case {
    /// Of a kernel and its buffers, results included.
    pub fn new<S: Record>(
        what: impl Into<String>,
        spec: &S,
        args: &S::Args,
        buffers: Vec<Vec<u8>>,
    ) -> Self {
        let program = spec.record().unwrap_or_else(|error| panic!("{}: {error}", spec.name()));
        spec.check(args).unwrap_or_else(|error| panic!("{}: {error}", spec.name()));
        assert_eq!(program.buffers.len(), buffers.len(), "buffers of {}", program.name);
        let (grid, args) = (spec.grid(args), args.words());
        Self { what: what.into(), program, grid, args, buffers, limit: 1e-5 }
    }

    /// Indices of the buffers it writes.
    pub fn results(&self) -> impl Iterator<Item = usize> {
        let buffers = self.program.buffers.iter().enumerate();
        buffers.filter(|(_, buffer)| buffer.access != Access::Read).map(|(i, _)| i)
    }

    /// Runs it: what is in each of [`Case::results`] afterwards.
    pub fn run<D: Device>(
        &self,
        device: &mut D,
        pipeline: &D::Pipeline,
    ) -> Result<Vec<Vec<u8>>, DeviceError> {
        let mut memory = Vec::new();
        for bytes in &self.buffers {
            let mut buffer = device.allocate(bytes.len(), "a case")?;
            device.write(&mut buffer, 0, bytes)?;
            memory.push(buffer);
        }
        let bound: Vec<_> = memory
            .iter()
            .zip(&self.buffers)
            .map(|(buffer, bytes)| Bound { buffer, offset: 0, bytes: bytes.len() })
            .collect();
        let mut commands = device.begin()?;
        device.dispatch(&mut commands, pipeline, &bound, &self.args, self.grid)?;
        device.barrier(&mut commands)?;
        for i in self.results() {
            device.download(&mut commands, bound[i])?;
        }
        let pending = device.commit(commands)?;
        let mut bytes = Vec::new();
        device.wait(pending, &mut bytes)?;
        let mut rest = bytes.as_slice();
        Ok(self
            .results()
            .map(|i| {
                let (own, others) = rest.split_at(self.buffers[i].len());
                rest = others;
                own.to_vec()
            })
            .collect())
    }
}

/// Numbers in -1..1, the same for the same seed.
pub fn random(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// Their bytes.
pub fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// Bytes of as many random numbers.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    floats(&random(seed, len))
}

/// Their bytes.
pub fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// A result of so many elements of four bytes.
pub fn zeros(len: usize) -> Vec<u8> {
    vec![0; len * 4]
}
