//! How fast products of decoding are, in bytes of weights a second, beside a plain copy; and what reads prompts.

pub mod prompt;

use std::time::Instant;

use tessera_formats::GgmlType;
use tessera_gpu::{
    cuda::{Cuda, Memory, Pipeline},
    device::{Bound, Device, DeviceError},
};
use tessera_kernels::{
    codes::{Matrix, form_name},
    end::End,
    matvec::{Matvec, MatvecArgs},
};
use tessera_quant::{Float, Packing};
use tessera_tile::{Arguments, Program, Record, Spec, prelude::*};

/// Bytes between two uses of the same weights: more than any cache on the device holds.
const ROTATED: usize = 256 << 20;

/// Bytes of one measurement, about a millisecond's, so that starting it does not count; and launches of it at most.
const MEASURED: usize = 4 << 30;
const MOST_LAUNCHES: usize = 2000;

/// Measurements, after some to warm up; the second of these captures the launches as a graph.
const REPEATS: usize = 20;
const WARM: usize = 4;

/// `y = x`, 16 bytes a thread and step.
#[derive(Name)]
struct CopyWords;

#[derive(Clone, Copy, tessera_tile::Args)]
struct CopyWordsArgs {
    /// Vectors of four words.
    len: u32,
}

impl Spec for CopyWords {
    type Args = CopyWordsArgs;

    fn threads(&self) -> u32 {
        256
    }

    fn grid(&self, a: &CopyWordsArgs) -> [u32; 3] {
        [a.len.div_ceil(256 * 4), 1, 1]
    }

    fn check(&self, _: &CopyWordsArgs) -> Result<(), String> {
        Ok(())
    }
}

#[kernel]
fn copy_words(_k: &CopyWords, x: In<U32>, y: Out<U32>, a: Args<CopyWordsArgs>) {
    let first = group(0) * (threads() * 4) + thread();
    for i in 0..4u32 {
        let at = first + i * threads();
        if at < a.len {
            y.store(at * 4, x.load::<4>(at * 4));
        }
    }
}

/// A launch and the bytes it has to move, at several places that take turns.
struct Turns<'a, D: Device> {
    pipeline: &'a D::Pipeline,
    places: Vec<Vec<Bound<'a, D::Buffer>>>,
    args: Vec<u32>,
    grid: [u32; 3],
    bytes: usize,
}

/// Writes of weights: in pieces of several sizes, to the end of the last copy.
pub fn upload(device: &mut Cuda) -> Result<(), String> {
    let measured = [1 << 12, 1 << 16, 1 << 20, 4 << 20, 64 << 20].map(|piece| {
        let bytes = vec![1u8; piece];
        let mut memory = device.allocate(1 << 30, "what is written")?;
        let mut best = f64::INFINITY;
        for _ in 0..5 {
            let begun = Instant::now();
            for offset in (0..1 << 30).step_by(piece) {
                device.write(&mut memory, offset, &bytes)?;
            }
            // what is read was written before
            device.read(&memory, 0, &mut [0])?;
            best = best.min(begun.elapsed().as_secs_f64());
        }
        println!("  pieces of {:6} KiB: {:6.2} GB/s", piece >> 10, (1 << 30) as f64 / best / 1e9);
        Ok(())
    });
    measured.into_iter().collect::<Result<_, DeviceError>>().map_err(|error| error.to_string())
}

/// A plain copy.
pub fn copy(device: &mut Cuda) -> Result<(), String> {
    let pipelines = program(&CopyWords).and_then(|program| device.build(&[program]));
    let copied = pipelines.and_then(|pipelines| copy_speed(device, &pipelines[0]));
    copied.map(drop).map_err(|error| error.to_string())
}

/// The table of products.
pub fn matvec(device: &mut Cuda) -> Result<(), String> {
    table(device).map_err(|error| error.to_string())
}

/// GB/s of a plain copy, read and written.
fn copy_speed(device: &mut Cuda, pipeline: &Pipeline) -> Result<f64, DeviceError> {
    let (from, to) = (device.allocate(ROTATED, "copy")?, device.allocate(ROTATED, "copy")?);
    let args = CopyWordsArgs { len: (ROTATED / 16) as u32 };
    let whole = |buffer| Bound { buffer, offset: 0, bytes: ROTATED };
    let copy = Turns {
        pipeline,
        places: vec![vec![whole(&from), whole(&to)]],
        args: args.words(),
        grid: CopyWords.grid(&args),
        bytes: 2 * ROTATED,
    };
    let copied = speed(device, &copy)?;
    println!("copy of {} MiB: {copied:.0} GB/s, read and written", ROTATED >> 20);
    Ok(copied)
}

fn program(spec: &impl Record) -> Result<Program, DeviceError> {
    let kernel = spec.name();
    spec.record().map_err(|error| DeviceError::Build { kernel, why: error.to_string() })
}

/// What is measured: a packing, and shapes in which models have it.
fn cases() -> [(Packing, &'static [(usize, usize)]); 3] {
    let affine = Packing::Affine { bits: 4, group: 64, scale: Float::F16 };
    [
        (affine, &[(4096, 4096), (14336, 4096), (4096, 14336)]),
        (Packing::Ggml(GgmlType::Q4_0), &[(2048, 2048), (16384, 2048), (2048, 8192)]),
        (Packing::Ggml(GgmlType::Q6_K), &[(128_256, 2048)]),
    ]
}

/// Vectors at once.
const BATCHES: [u32; 1] = [1];

/// Kernels to choose from, for a number of columns; those of one geometry beside each other.
fn geometries(matrix: Matrix, cols: u32) -> Vec<Matvec> {
    let geometries = [1, 2, 4].into_iter().flat_map(|rows| [4, 8].map(|s| (rows, s)));
    let geometries = geometries.flat_map(|(rows, s)| [1, 2, 4].map(|split| (rows, s, split)));
    let kernels = geometries.flat_map(|(rows, simdgroups, split)| {
        BATCHES.map(|batch| {
            Matvec {
                matrix,
                rows,
                simdgroups,
                batch,
                split,
                blocks: 32,
                turns: 1,
                ragged: false,
                norm: false,
                bias: false,
                end: End::Parts(1),
            }
            .over(cols)
        })
    });
    let args = |batch| MatvecArgs { rows: 64, cols, vectors: batch, ..MatvecArgs::default() };
    kernels.filter(|kernel| kernel.check(&args(kernel.batch)).is_ok()).collect()
}

fn table(device: &mut Cuda) -> Result<(), DeviceError> {
    let copy = device.build(&[program(&CopyWords)?])?;
    let copied = copy_speed(device, &copy[0])?;
    println!("\nGB/s of weights (percent of the copy) for {BATCHES:?} vectors at once");
    for (packing, shapes) in cases() {
        let matrix = Matrix { form: packing.form() };
        println!("\n{}", form_name(matrix.form));
        for &(rows, cols) in shapes {
            let kernels = geometries(matrix, cols as u32);
            let programs: Vec<_> = kernels.iter().map(program).collect::<Result<_, _>>()?;
            let pipelines = device.build(&programs)?;
            let weights =
                Weights::new(device, &matrix, (rows, cols), BATCHES[BATCHES.len() - 1] as usize)?;
            let megabytes = weights.bytes as f64 / 1e6;
            println!("{rows} x {cols}: {megabytes:.1} MB, {} copies", weights.copies);
            for (kernel, pipeline) in kernels.iter().zip(&pipelines) {
                let Matvec { rows: each, simdgroups, batch, split, .. } = *kernel;
                if batch == BATCHES[0] {
                    print!("\n  rows {each} simdgroups {simdgroups} split {split}:");
                }
                let args = MatvecArgs {
                    rows: rows as u32,
                    cols: cols as u32,
                    vectors: batch,
                    ..MatvecArgs::default()
                };
                let turns = Turns {
                    pipeline,
                    places: weights.places(batch as usize),
                    args: args.words(),
                    grid: kernel.grid(&args),
                    bytes: weights.bytes,
                };
                let speed = speed(device, &turns)?;
                print!("  {speed:6.0} ({:3.0} %)", speed / copied * 100.0);
            }
        }
    }
    Ok(())
}

/// Copies of a matrix, with vectors and results.
struct Weights {
    memory: Memory,
    x: Memory,
    y: Memory,
    /// Bytes of each plane.
    planes: Vec<usize>,
    rows: usize,
    cols: usize,
    bytes: usize,
    copies: usize,
}

impl Weights {
    fn new(
        device: &mut Cuda,
        matrix: &Matrix,
        (rows, cols): (usize, usize),
        vectors: usize,
    ) -> Result<Self, DeviceError> {
        let planes = matrix.plane_bytes(rows, cols);
        let bytes = planes.iter().sum();
        let stride: usize = planes.iter().map(|bytes| bytes.next_multiple_of(256)).sum();
        let copies = ROTATED.div_ceil(stride);
        let mut memory = device.allocate(copies * stride, "weights")?;
        // what is in them does not matter, but zeros take less power than anything else
        let mut state = 1u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(stride)
        .collect();
        for copy in 0..copies {
            device.write(&mut memory, copy * stride, &noise)?;
        }
        Ok(Self {
            memory,
            x: device.allocate(vectors * cols * 4, "vectors")?,
            y: device.allocate(vectors * rows * 4, "results")?,
            planes,
            rows,
            cols,
            bytes,
            copies,
        })
    }

    /// What is bound for each copy.
    fn places(&self, vectors: usize) -> Vec<Vec<Bound<'_, Memory>>> {
        let mut offset = 0;
        (0..self.copies)
            .map(|_| {
                let mut bound =
                    vec![Bound { buffer: &self.x, offset: 0, bytes: vectors * self.cols * 4 }];
                for &bytes in &self.planes {
                    bound.push(Bound { buffer: &self.memory, offset, bytes });
                    offset += bytes.next_multiple_of(256);
                }
                bound.push(Bound { buffer: &self.y, offset: 0, bytes: vectors * self.rows * 4 });
                bound
            })
            .collect()
    }
}

/// GB/s: the median of [`REPEATS`] graphs of many launches.
fn speed(device: &mut Cuda, turns: &Turns<'_, Cuda>) -> Result<f64, DeviceError> {
    let once = turns.bytes * turns.places.len();
    let rounds = MEASURED.div_ceil(once).min(MOST_LAUNCHES / turns.places.len()).max(1);
    let mut times = Vec::new();
    for repeat in 0..WARM + REPEATS {
        let mut commands = device.begin()?;
        for place in turns.places.iter().cycle().take(rounds * turns.places.len()) {
            device.dispatch(&mut commands, turns.pipeline, place, &turns.args, turns.grid)?;
        }
        let begun = device.mark()?;
        let pending = device.commit(commands)?;
        let ended = device.mark()?;
        device.wait(pending, &mut Vec::new())?;
        if repeat >= WARM {
            times.push(ended.since(&begun)?);
        }
    }
    times.sort_by(f32::total_cmp);
    let seconds = f64::from(times[times.len() / 2]) / 1e3;
    Ok((once * rounds) as f64 / seconds / 1e9)
}
