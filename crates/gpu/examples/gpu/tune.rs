//! The search for a model's geometries, with the times of all of them.

use std::{ops::ControlFlow, path::Path, time::Duration};

use tessera_formats::Checkpoint;
use tessera_gpu::{
    cuda::Options,
    tune::{Outcome, ROWS, Search},
};
use tessera_graph::KvType;
use tessera_models::BuildOptions;

/// Measures the kernels of the model in a folder for so many minutes at most; nothing is kept.
pub fn run(options: Options, path: &Path, minutes: Option<f64>) -> Result<(), String> {
    let checkpoint = Checkpoint::open(path).map_err(|error| error.to_string())?;
    let model = tessera_models::open(&checkpoint, &BuildOptions { context: None })
        .map_err(|error| error.to_string())?;
    let limit = minutes.map(|minutes| Duration::from_secs_f64(60.0 * minutes));
    let search = Search { kv: KvType::F16, rows: ROWS.to_vec(), save: false, limit };
    let begun = std::time::Instant::now();
    let report = tessera_gpu::cuda(options)
        .tune(&model.graph, &model.weights, &search, &mut |_| ControlFlow::Continue(()))
        .map_err(|error| error.to_string())?;
    let (kernels, missed) = (report.outcomes.len(), report.missed);
    let measured: usize = report.outcomes.iter().map(|outcome| outcome.times.len()).sum();
    println!(
        "{}: {kernels} kernels in {measured} geometries, {missed} left out, in {:?}",
        report.device,
        begun.elapsed()
    );
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
