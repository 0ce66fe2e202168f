//! How fast products and attention of prompts are, in operations a second, for each geometry through one slot and through more.

use tessera_gpu::{
    cuda::{Cuda, Memory},
    device::{Bound, Device, DeviceError},
};
use tessera_kernels::{
    attend_tile::{AttendTile, AttendTileArgs},
    cache::Cache,
    codes::{Matrix, form_name},
    end::End,
    matmul::{Matmul, MatmulArgs},
    sight::Sight,
    tables::{PAGE, run},
};
use tessera_quant::{Float, Packing};
use tessera_tile::{Arguments, Record, ir::Elem};

use super::{Turns, Weights, program, speed};

const DEPTHS: [u32; 3] = [1, 2, 3];

/// The table of products.
pub fn matmul(device: &mut Cuda) -> Result<(), String> {
    products(device).map_err(|error| error.to_string())
}

/// The table of attention.
pub fn attend(device: &mut Cuda) -> Result<(), String> {
    attention(device).map_err(|error| error.to_string())
}

/// Tera-operations a second of kernels that differ by their depth, those that there can be.
fn line<'a, S: Record>(
    device: &mut Cuda,
    kernels: impl Iterator<Item = S>,
    args: &S::Args,
    operations: usize,
    places: impl Fn() -> Vec<Vec<Bound<'a, Memory>>>,
) -> Result<(), DeviceError> {
    for kernel in kernels {
        if let Err(why) = kernel.check(args) {
            print!("  ({why})");
            continue;
        }
        let pipelines = device.build(&[program(&kernel)?])?;
        let turns = Turns {
            pipeline: &pipelines[0],
            places: places(),
            args: args.words(),
            grid: kernel.grid(args),
            bytes: operations,
        };
        print!("  {:6.1}", speed(device, &turns)? / 1e3);
    }
    println!();
    Ok(())
}

fn products(device: &mut Cuda) -> Result<(), DeviceError> {
    let packings = [
        Packing::Affine { bits: 4, group: 64, scale: Float::F16 },
        Packing::Affine { bits: 8, group: 64, scale: Float::F16 },
        Packing::Dense(Float::BF16),
    ];
    let geometries =
        [(32, 32, 1, 2), (32, 64, 1, 4), (64, 64, 2, 2), (64, 64, 1, 4), (32, 128, 1, 4)];
    println!("\nTera-operations a second with {DEPTHS:?} slots");
    for (packing, (rows, cols), vectors) in packings
        .into_iter()
        .flat_map(|packing| [(4096, 4096), (14336, 4096)].map(|shape| (packing, shape)))
        .flat_map(|(packing, shape)| [32, 512].map(|vectors| (packing, shape, vectors)))
    {
        let matrix = Matrix { form: packing.form() };
        println!("\n{}, {rows} x {cols}, {vectors} vectors", form_name(matrix.form));
        let weights = Weights::new(device, &matrix, (rows, cols), vectors)?;
        let args = MatmulArgs {
            rows: rows as u32,
            cols: cols as u32,
            vectors: vectors as u32,
            ..MatmulArgs::default()
        };
        for (geometry, steps) in geometries.into_iter().flat_map(|g| [(g, 1), (g, 2)]) {
            let (vectors_at_once, rows_at_once, down, across) = geometry;
            print!("  {vectors_at_once} x {rows_at_once} by {down} x {across}, {steps} steps:");
            let kernels = DEPTHS.into_iter().map(|depth| Matmul {
                matrix,
                vectors: vectors_at_once,
                rows: rows_at_once,
                down,
                across,
                steps,
                depth,
                stage: Elem::F16,
                ragged: false,
                bias: false,
                end: End::Parts(1),
            });
            let operations = 2 * rows * cols * vectors;
            line(device, kernels, &args, operations, || weights.places(vectors))?;
        }
    }
    Ok(())
}

/// Heads of keys, and of queries for each.
const KV_HEADS: u32 = 8;
const GROUP: u32 = 4;

fn attention(device: &mut Cuda) -> Result<(), DeviceError> {
    println!("\nTera-operations a second with {DEPTHS:?} slots");
    for (head_dim, before, rows) in
        [(64, 0, 512), (64, 4096, 512), (128, 0, 512), (128, 4096, 512), (128, 32_256, 512)]
    {
        println!("\nheads of {head_dim}, {rows} rows after {before}");
        let step = AttentionStep::new(device, head_dim, before, rows)?;
        for (block, bands, dims) in
            [(16, 1, 64), (16, 1, 32), (16, 1, 16), (32, 1, 32), (32, 2, 32), (32, 2, 16)]
        {
            let blocks = rows / block;
            let args = AttendTileArgs {
                blocks,
                kv_heads: KV_HEADS,
                scale: 0.1,
                window: 0,
                softcap: 0.0,
                mask_words: 0,
            };
            print!("  {block} rows in {bands} bands, {dims} elements:");
            let cache = Cache { elem: Elem::F16, head_dim };
            let kernels = DEPTHS.into_iter().map(|depth| AttendTile {
                cache,
                group: GROUP,
                rows: block,
                bands,
                dims,
                depth,
                stage: Elem::F16,
                sight: Sight::default(),
                softcap: false,
                sinks: false,
            });
            // both products of what each row sees
            let seen: u32 = (1..=rows).map(|row| before + row).sum();
            let operations = 4 * (KV_HEADS * GROUP * head_dim) as usize * seen as usize;
            let firsts = step.blocks(device, block)?;
            line(device, kernels, &args, operations, || vec![step.bound(&firsts)])?;
        }
    }
    Ok(())
}

/// What attention of one run reads and writes.
struct AttentionStep {
    rows: u32,
    queries: Whole,
    runs: Whole,
    starts: Whole,
    table: Whole,
    pages: Whole,
    y: Whole,
}

/// A memory and its bytes.
type Whole = (Memory, usize);

impl AttentionStep {
    fn new(device: &mut Cuda, head_dim: u32, before: u32, rows: u32) -> Result<Self, DeviceError> {
        let width = (rows * KV_HEADS * GROUP * head_dim * 4) as usize;
        let pages = (before + rows).div_ceil(PAGE);
        let page = (2 * KV_HEADS * PAGE * head_dim) as usize;
        // halves between 1 and 2, in no order
        let noise: Vec<u8> = (0..page as u32)
            .flat_map(|i| (0x3c00 | (i.wrapping_mul(2_654_435_761) >> 22) as u16).to_le_bytes())
            .collect();
        let bytes = pages as usize * page * 2;
        let mut memory = device.allocate(bytes, "pages")?;
        for i in 0..pages as usize {
            device.write(&mut memory, i * page * 2, &noise)?;
        }
        let mut of_run = [0u32; run::WORDS as usize];
        of_run[run::LEN as usize] = rows;
        of_run[run::POSITION as usize] = before;
        Ok(Self {
            rows,
            queries: (device.allocate(width, "queries")?, width),
            runs: words(device, &of_run)?,
            starts: words(device, &[0; 4])?,
            table: words(device, &(0..pages).rev().collect::<Vec<_>>())?,
            pages: (memory, bytes),
            y: (device.allocate(width, "results")?, width),
        })
    }

    /// The table of blocks of so many rows, the last first, as it has most to do.
    fn blocks(&self, device: &mut Cuda, rows: u32) -> Result<Whole, DeviceError> {
        let firsts = (0..self.rows).step_by(rows as usize).rev();
        words(device, &firsts.flat_map(|first| [0, first]).collect::<Vec<_>>())
    }

    fn bound<'a>(&'a self, blocks: &'a Whole) -> Vec<Bound<'a, Memory>> {
        let Self { queries, runs, starts, table, pages, y, .. } = self;
        let whole = |(buffer, bytes): &'a Whole| Bound { buffer, offset: 0, bytes: *bytes };
        [queries, blocks, runs, starts, table, pages, y].map(whole).into()
    }
}

fn words(device: &mut Cuda, words: &[u32]) -> Result<Whole, DeviceError> {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let mut memory = device.allocate(bytes.len(), "table")?;
    device.write(&mut memory, 0, &bytes)?;
    Ok((memory, bytes.len()))
}
