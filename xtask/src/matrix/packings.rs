//! Packings. A row is written after doing what it claims: an error in place of it says what failed.

use tessera_cpu::{Cpu, CpuOptions, Level};
use tessera_graph::{Backend, Builder, Graph, KvType, Limits, Weights, print, testing};
use tessera_quant::{Float, Packing, Weight, encode};

use super::{Result, Table};

/// Elements of a row: whole blocks of every packing.
const COLS: usize = 256;
const ROWS: usize = 16;

/// What packings differ in that share a row.
struct Row {
    name: String,
    stored: &'static str,
    groups: Vec<String>,
    scales: Vec<String>,
    /// Least and most bits an element takes, scales included.
    bits: (f32, f32),
    /// Whether the CPU backend multiplies codes with int8 activations by default.
    int8: bool,
}

/// A row for each packing; those of mlx that differ in groups and scales only share one.
pub fn table() -> Result<Table> {
    let mut rows: Vec<Row> = Vec::new();
    for packing in Packing::all() {
        let found = describe(packing)?;
        match rows.iter_mut().find(|row| row.name == found.name && row.stored == found.stored) {
            Some(row) => merge(row, found)?,
            None => rows.push(found),
        }
    }
    let mut table = Table::new([
        "packing",
        "in",
        "groups of",
        "scales",
        "bits a weight",
        "decode",
        "encode",
        "CPU, int8",
        "CPU, f32",
    ]);
    for row in rows {
        let bits = match row.bits {
            (least, most) if least == most => format!("{least}"),
            (least, most) => format!("{least} to {most}"),
        };
        let list = |all: Vec<String>| if all.is_empty() { "—".into() } else { all.join(", ") };
        let yes = |is| if is { "yes" } else { "—" }.to_owned();
        let (groups, scales) = (list(row.groups), list(row.scales));
        table.row([
            row.name,
            row.stored.into(),
            groups,
            scales,
            bits,
            yes(true),
            yes(true),
            yes(row.int8),
            yes(true),
        ]);
    }
    Ok(table)
}

fn merge(row: &mut Row, other: Row) -> Result {
    if row.int8 != other.int8 {
        return Err(format!("{}: the CPU backend treats its groups differently", row.name));
    }
    for (list, more) in [(&mut row.groups, other.groups), (&mut row.scales, other.scales)] {
        for item in more {
            if !list.contains(&item) {
                list.push(item);
            }
        }
    }
    row.bits = (row.bits.0.min(other.bits.0), row.bits.1.max(other.bits.1));
    Ok(())
}

/// Encodes, decodes and multiplies a matrix in `packing`, and says what that showed.
fn describe(packing: Packing) -> Result<Row> {
    let values: Vec<f32> = (0..ROWS * COLS).map(|i| (i as f32 * 0.7).sin()).collect();
    let weight = encode(packing, ROWS, COLS, &values).map_err(|e| format!("{packing:?}: {e}"))?;
    let mut row = vec![0.0; COLS];
    weight.decode_row(0, &mut row);
    // Two bits are four steps over a range of 2.
    if !row.iter().zip(&values).all(|(a, b)| (a - b).abs() < 0.7) {
        return Err(format!("{packing:?}: decoding does not undo encoding"));
    }
    let bits = weight.bytes() as f32 * 8.0 / (ROWS * COLS) as f32;
    let (fast, precise) = (product(&weight, false)?, product(&weight, true)?);
    let group = packing.form().group;
    let float = |float| print::packing(&Packing::Dense(float));
    let (name, stored, scales) = match packing {
        Packing::Dense(_) => (print::packing(&packing), "safetensors, GGUF", vec![]),
        Packing::Affine { bits, scale, .. } => {
            (format!("affine, {bits} bits"), "safetensors (mlx)", vec![float(scale)])
        }
        Packing::Mxfp4 | Packing::Mxfp8 => {
            (print::packing(&packing), "safetensors (mlx)", vec!["e8m0".into()])
        }
        Packing::Nvfp4 => (print::packing(&packing), "safetensors (mlx)", vec!["e4m3".into()]),
        Packing::Ggml(kind) => (format!("{kind:?}"), "GGUF", vec![ggml_scales(packing)]),
    };
    Ok(Row {
        name,
        stored,
        groups: if group == 0 { vec![] } else { vec![group.to_string()] },
        scales,
        bits: (bits, bits),
        int8: fast != precise,
    })
}

fn ggml_scales(packing: Packing) -> String {
    use tessera_quant::Scales::*;
    match packing.form().scales {
        TwoLevel { .. } => "two levels".into(),
        E8M0 => "e8m0".into(),
        E4M3 => "e4m3".into(),
        Float { float, .. } => print::packing(&Packing::Dense(float)),
        None => "none".into(),
    }
}

/// The bits of a product with `weight` on the CPU backend.
fn product(weight: &Weight, precise: bool) -> Result<Vec<u32>> {
    let failed = |e: &dyn std::fmt::Display| format!("{:?} on the CPU: {e}", weight.packing);
    let table: Vec<f32> = (0..2 * COLS).map(|i| (i as f32 * 0.3).cos()).collect();
    let table = encode(Packing::Dense(Float::F32), 2, COLS, &table).map_err(|e| failed(&e))?;
    let graph = graph().map_err(|e| failed(&e))?;
    let options = CpuOptions { threads: Some(1), precise, isa: Some(Level::Portable) };
    let limits = Limits { tokens: 2, outputs: 2, runs: 1, context: 2, kv: KvType::F32 };
    let weights = Weights(vec![table, weight.clone()]);
    let backend = Cpu::new(&options).map_err(|e| failed(&e))?;
    let mut exe = backend
        .compile(&graph, weights, &limits, &mut tessera_graph::unwatched)
        .map_err(|e| failed(&e))?;
    let logits = testing::run_logits(exe.as_mut(), &graph, &[&[0, 1]], &[]);
    Ok(logits.concat().iter().map(|x| x.to_bits()).collect())
}

/// A model of one matrix.
fn graph() -> std::result::Result<Graph, tessera_graph::GraphError> {
    let mut builder = Builder::new();
    let table = builder.matrix("embed", 2, COLS)?;
    let x = builder.embed(table, 1.0);
    let x = builder.select(x)?;
    let head = builder.matrix("head", ROWS, COLS)?;
    let logits = builder.linear(x, head, None)?;
    builder.sample(logits)
}
