//! Compares a real model on the oracle with reference logits, by hand:
//!
//! ```text
//! cargo run --release -p tessera-models --example oracle -- model.gguf reference.safetensors [most tokens]
//! ```
//!
//! The reference holds, for each prompt `N`, `prompt.N.tokens` (I32), `prompt.N.positions` (I32) and the
//! logits at those positions, `prompt.N.logits` (F32). Prompts longer than the limit are left out: the
//! oracle is slow.

use std::{error::Error, path::Path, time::Instant};

use tessera_formats::{Checkpoint, safetensors};
use tessera_graph::{Batch, Executable, KvType, Limits, oracle::Oracle, testing};
use tessera_models::{BuildOptions, open};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, reference, rest @ ..] = &arguments[..] else {
        return Err("wanted: model reference [most tokens]".into());
    };
    let most = rest.first().map_or(Ok(100), |n| n.parse())?;
    let bound = open(&Checkpoint::open(Path::new(model))?, &BuildOptions::default())?;
    println!("{:#?}", bound.info);
    let reference = safetensors::File::open(Path::new(reference))?;
    let words = |name: String| -> Option<Vec<[u8; 4]>> {
        let tensor = reference.tensors.iter().find(|tensor| tensor.name == name)?;
        Some(tensor.bytes.chunks_exact(4).filter_map(|b| b.try_into().ok()).collect())
    };
    let ids = |name| -> Option<Vec<u32>> {
        words(name).map(|words| words.into_iter().map(u32::from_le_bytes).collect())
    };
    let windows: Vec<_> = bound.graph.windows().collect();
    let limits = Limits { tokens: most, outputs: most, runs: 1, context: most, kv: KvType::F32 };
    for prompt in 0.. {
        let Some(tokens) = ids(format!("prompt.{prompt}.tokens")) else { break };
        if tokens.len() > most {
            continue;
        }
        let wanted = ids(format!("prompt.{prompt}.positions")).ok_or("no positions")?;
        let logits = words(format!("prompt.{prompt}.logits")).ok_or("no logits")?;
        let start = Instant::now();
        let mut exe = Oracle.interpreter(&bound.graph, bound.weights.clone(), &limits)?;
        for group in 0..windows.len() {
            exe.grow(group, most.div_ceil(tessera_graph::PAGE))?;
        }
        let mut batch = Batch::default();
        testing::push(&mut batch, &tokens, 0, &windows, |page| page as u32);
        batch.outputs.retain(|output| wanted.contains(&output.row));
        exe.step(&batch, &mut Vec::new())?;
        let mut found = vec![0.0; bound.graph.vocab()];
        let mut error = 0.0f32;
        for (i, row) in logits.chunks_exact(found.len()).enumerate() {
            exe.read_logits(i, &mut found);
            let pairs = found.iter().zip(row);
            error = pairs.map(|(a, b)| (a - f32::from_le_bytes(*b)).abs()).fold(error, f32::max);
        }
        let seconds = start.elapsed().as_secs_f32();
        println!("prompt {prompt}: {} tokens, max error {error:.2e}, {seconds:.1} s", tokens.len());
    }
    Ok(())
}
