//! The search for a model's geometries, with the times of all of them.

use std::{ops::ControlFlow, path::Path};

use tessera_formats::Checkpoint;
use tessera_gpu::{
    cuda::Options,
    tune::{Outcome, ROWS},
};
use tessera_graph::KvType;
use tessera_models::BuildOptions;

/// Measures the kernels of the model in a folder; nothing is kept.
pub fn run(options: Options, path: &Path) -> Result<(), String> {
    let checkpoint = Checkpoint::open(path).map_err(|error| error.to_string())?;
    let model = tessera_models::open(&checkpoint, &BuildOptions { context: None })
        .map_err(|error| error.to_string())?;
    let begun = std::time::Instant::now();
    let report = tessera_gpu::cuda(options)
        .tune(&model.graph, &model.weights, KvType::F16, &ROWS, false, &mut |_, _, _| {
            ControlFlow::Continue(())
        })
        .map_err(|error| error.to_string())?;
    println!("{}: {} kernels in {:?}", report.device, report.outcomes.len(), begun.elapsed());
    for Outcome { key, times, best, refused, sites, .. } in &report.outcomes {
        println!("\n{key}, {sites} places, {refused} refused");
        let mut order: Vec<_> = times.iter().enumerate().collect();
        order.sort_by(|a, b| a.1.1.total_cmp(&b.1.1));
        for (i, (name, seconds)) in order {
            let mark = match i {
                0 => " (default)",
                _ if i == *best => " (chosen)",
                _ => "",
            };
            println!("  {:8.2} us {name}{mark}", seconds * 1e6);
        }
    }
    Ok(())
}
