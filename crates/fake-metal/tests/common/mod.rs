//! A few kernels in one step, on any device.
#![allow(dead_code)] // each test uses its part

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use fake_metal::{World, spy::Spy};
use tessera_gpu::{
    MetalOptions,
    device::{Bound, Device, DeviceError},
    queue::{Counters, Queue},
};
use tessera_kernels::{
    codes::Matrix,
    end::End,
    matvec::{Matvec, MatvecArgs},
    rms_norm::{RmsNorm, RmsNormArgs},
    select::{SelectRows, SelectRowsArgs},
};
use tessera_quant::{Float, Packing, encode};
use tessera_tile::{Arguments, Program, Record};

/// Elements of a vector.
pub const WIDTH: usize = 96;

/// Bytes of a vector's place, which is larger than the vector.
const PLACE: usize = 512;

/// Vectors in the step's memory.
const PLACES: usize = 8;

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

pub fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

pub fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|&x| f32::from_le_bytes(x)).collect()
}

fn norm() -> RmsNorm {
    RmsNorm { per_head: false, threads: 64 }
}

fn product() -> (Matvec, Vec<Vec<u8>>) {
    let packing = Packing::Affine { bits: 4, group: 32, scale: Float::F16 };
    let weight = encode(packing, WIDTH, WIDTH, &random(7, WIDTH * WIDTH)).unwrap();
    let matrix = Matrix::of(&weight);
    let planes = matrix.pack(&weight).unwrap().planes;
    let kernel = Matvec {
        matrix,
        rows: 2,
        simdgroups: 2,
        batch: 1,
        split: 1,
        blocks: 32,
        turns: 1,
        ragged: false,
        norm: false,
        bias: false,
        end: End::Residual,
    };
    (kernel, planes)
}

/// The kernels of [`Step`].
pub fn programs() -> Vec<Program> {
    static PROGRAMS: LazyLock<Vec<Program>> = LazyLock::new(|| {
        vec![norm().record().unwrap(), PRODUCT.0.record().unwrap(), SelectRows.record().unwrap()]
    });
    PROGRAMS.clone()
}

/// A product, and the planes of its weight.
static PRODUCT: LazyLock<(Matvec, Vec<Vec<u8>>)> = LazyLock::new(product);

/// A step of nine launches: two chains that meet, with barriers where they are needed and nowhere else.
pub struct Step<D: Device> {
    pub queue: Queue<D>,
    pipelines: Vec<D::Pipeline>,
    pub arena: D::Buffer,
    planes: Vec<D::Buffer>,
    weights: D::Buffer,
    rows: D::Buffer,
}

impl<D: Device> Step<D> {
    pub fn new(device: D) -> Result<Self, DeviceError> {
        let mut queue = Queue::new(device);
        let pipelines = queue.build(&programs())?;
        let device = queue.device();
        let mut filled = |contents: &[u8], what| {
            let mut buffer = device.allocate(contents.len(), what)?;
            device.write(&mut buffer, 0, contents)?;
            Ok::<_, DeviceError>(buffer)
        };
        let planes =
            PRODUCT.1.iter().map(|plane| filled(plane, "planes")).collect::<Result<_, _>>()?;
        let weights = filled(&bytes(&random(3, 2 * PLACE / 4)), "weights")?;
        let rows = filled(&1u32.to_le_bytes(), "rows")?;
        let arena = filled(&[0; PLACE * PLACES], "vectors")?;
        Ok(Self { queue, pipelines, arena, planes, weights, rows })
    }

    /// Runs it on `x`, and gives what it came to.
    pub fn run(&mut self, x: &[f32]) -> Result<Vec<f32>, DeviceError> {
        let Self { queue, pipelines, arena, planes, weights, rows, .. } = self;
        let n = WIDTH as u32;
        let mut recording = queue.record()?;
        recording.upload(arena, 0, &bytes(x))?;
        let at = |place: usize| Bound { buffer: &*arena, offset: place * PLACE, bytes: WIDTH * 4 };
        let weight = |i: usize| Bound { buffer: &*weights, offset: i * PLACE, bytes: WIDTH * 4 };
        let norm_args = RmsNormArgs { width: n, heads: 1, rows: 1, eps: 1e-5, offset: 0.5 };
        let product_args = MatvecArgs { rows: n, cols: n, vectors: 1, ..Default::default() };
        macro_rules! norm {
            ($from:expr, $weight:expr, $to:expr) => {
                recording.dispatch(
                    &pipelines[0],
                    &[$from, $weight, $to],
                    &norm_args.words(),
                    tessera_tile::Spec::grid(&norm(), &norm_args),
                )?
            };
        }
        macro_rules! product {
            ($from:expr, $residual:expr, $to:expr) => {{
                let mut bound = vec![$from];
                bound.extend(planes.iter().zip(&PRODUCT.1).map(|(buffer, plane)| Bound {
                    buffer,
                    offset: 0,
                    bytes: plane.len(),
                }));
                bound.extend([$residual, $to]);
                let grid = tessera_tile::Spec::grid(&PRODUCT.0, &product_args);
                recording.dispatch(&pipelines[1], &bound, &product_args.words(), grid)?
            }};
        }
        norm!(at(0), weight(0), at(1));
        norm!(at(0), weight(1), at(2));
        recording.barrier()?;
        product!(at(1), at(0), at(3));
        product!(at(2), at(0), at(4));
        recording.barrier()?;
        norm!(at(3), weight(0), at(5));
        norm!(at(4), at(3), at(6));
        recording.barrier()?;
        // a place is used again
        product!(at(5), at(6), at(1));
        recording.barrier()?;
        // in place
        norm!(at(1), at(5), at(1));
        recording.barrier()?;
        let select_args = SelectRowsArgs { rows: 1, width: n };
        let row = |place: usize, rows: usize| Bound { bytes: rows * WIDTH * 4, ..at(place) };
        let chosen = Bound { buffer: &*rows, offset: 0, bytes: 4 };
        recording.dispatch(
            &pipelines[2],
            // the second row of what begins at the first place ends in the second
            &[row(0, 2), chosen, at(7)],
            &select_args.words(),
            tessera_tile::Spec::grid(&SelectRows, &select_args),
        )?;
        recording.download(at(1))?;
        recording.download(at(7))?;
        let mut downloaded = Vec::new();
        recording.commit()?.wait(&mut downloaded)?;
        Ok(floats(&downloaded))
    }

    /// Lets its end choose another row.
    pub fn choose(&mut self, row: u32) {
        self.queue.device().write(&mut self.rows, 0, &row.to_le_bytes()).unwrap();
    }

    pub fn counters(&self) -> Counters {
        self.queue.counters()
    }
}

/// Bytes of the step's arena.
pub const ARENA: usize = PLACE * PLACES;

/// The same on tile's own device.
pub fn expected(x: &[f32]) -> Vec<f32> {
    let device = tessera_gpu::sim::Sim::new(tessera_tile::sim::Checks::Access);
    Step::new(device).unwrap().run(x).unwrap()
}

/// A step on the fake, with a mistake.
pub fn watched(mistake: Option<fake_metal::spy::Mistake>) -> Step<Spy> {
    Step::new(Spy::open(mistake).unwrap()).unwrap()
}

/// The same with indirect commands.
pub fn indirect(mistake: Option<fake_metal::spy::Mistake>) -> Step<Spy> {
    Step::new(Spy::with(mistake, &INDIRECT).unwrap()).unwrap()
}

/// With indirect commands.
pub const INDIRECT: MetalOptions =
    MetalOptions { indirect: true, patience: Duration::from_secs(60) };

/// Asserts that nothing was done against the rules and nothing is left.
pub fn clean(world: &Arc<World>) {
    assert_eq!(world.violations(), [""; 0]);
    assert_eq!(world.live(), 0, "objects leak");
}

/// A file of safetensors whose first tensor begins at a multiple of 16.
pub fn aligned(file: &[u8]) -> Vec<u8> {
    let (len, rest) = file.split_at(8);
    let len = u64::from_le_bytes(len.try_into().unwrap()) as usize;
    let (header, tensors) = rest.split_at(len);
    let mut header = header.to_vec();
    header.resize(header.len() + (16 - (8 + len) % 16) % 16, b' ');
    [&(header.len() as u64).to_le_bytes()[..], &header, tensors].concat()
}
