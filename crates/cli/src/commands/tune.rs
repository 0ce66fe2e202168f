//! `tessera tune`: the fastest geometry of each of a model's kernels on a GPU, measured and kept.

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use anyhow::Result;
use serde_json::json;
use tessera_engine::LoadError;
use tessera_gpu::tune::{Key, Outcome, Report};
use tessera_graph::BackendError;
use tessera_models::{BuildOptions, CapabilitySet};

use crate::{
    args::TuneArgs,
    commands::model_and_text,
    context::Context,
    device::Device,
    errors::{Exit, usage},
    output,
    progress::Progress,
    table::Table,
    units,
};

/// Searches, and prints a line for each kernel.
///
/// # Errors
/// When the model cannot be had or the device does not run it, and when the choices cannot be kept.
pub fn run(context: &Context, args: TuneArgs) -> Result<Exit> {
    let (name, text) = model_and_text(args.model.clone(), None);
    if text.is_some() {
        return Err(usage("tune takes a model, not a text"));
    }
    if matches!(args.device, Device::Auto | Device::Cpu) {
        return Err(usage("kernels of GPUs are tuned: take --device cuda, metal or sim"));
    }
    let found = context.fetch(&name)?;
    let checkpoint = tessera_models::checkpoint(&found.path, CapabilitySet::TEXT)?;
    let model = tessera_models::open(&checkpoint, &BuildOptions { context: None })?;
    let mut rows = args.rows.clone();
    rows.sort_unstable();
    rows.dedup();

    let progress = Progress::new(context);
    let bar = progress.steps("tuning", 0);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let mut watch = |done: usize, total: usize, key: &Key| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        bar.set_message(key.kernel().to_owned());
        if stopped.load(Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let search = || args.device.tune(&model, args.kv, &rows, !args.dry_run, &mut watch);
    let (report, _) = context.interrupts.during(move || stop.store(true, Relaxed), search);
    bar.finish_and_clear();
    progress.finish();
    let report = report.map_err(|error| match error.downcast_ref() {
        Some(BackendError::Cancelled) => LoadError::Cancelled.into(),
        _ => error,
    })?;
    if let Some(note) = &report.note {
        context.note(note);
    }
    match context.json() {
        true => output::json(&json(&report))?,
        false => print(context, &report)?,
    }
    Ok(Exit::Success)
}

fn print(context: &Context, report: &Report) -> Result<()> {
    let mut table = Table::new(&["KERNEL", "ROWS", "SIZES", "DEFAULT", "BEST", "GAIN", "CHOICE"])
        .right(1)
        .right(3)
        .right(4)
        .right(5);
    for outcome in &report.outcomes {
        let Outcome { key, times, best, .. } = outcome;
        let (chosen, seconds) = &times[*best];
        table.row([
            key.kernel().to_owned(),
            key.rows().to_owned(),
            sizes(key),
            micros(times[0].1),
            micros(*seconds),
            format!("{:.2}", outcome.gain()),
            if *best == 0 { "-".into() } else { chosen.clone() },
        ]);
    }
    output::write(table)?;
    let better = report.outcomes.iter().filter(|outcome| outcome.best > 0).count();
    let kernels = units::plural(report.outcomes.len(), "kernel");
    context
        .note(&format!("{}: {better} of {kernels} are faster in another geometry", report.device));
    context.note(&match &report.saved {
        Some(path) => format!("saved in {}", path.display()),
        None => "nothing is kept".to_owned(),
    });
    Ok(())
}

/// What tells launches of a kernel apart.
fn sizes(key: &Key) -> String {
    let all: Vec<_> = key.sizes().map(|(name, size)| format!("{name} {size}")).collect();
    all.join(", ")
}

fn micros(seconds: f64) -> String {
    format!("{:.2} us", seconds * 1e6)
}

fn json(report: &Report) -> serde_json::Value {
    let outcomes = report.outcomes.iter().map(|outcome| {
        let Outcome { key, label, sites, times, best, refused, same_bits } = outcome;
        let times: Vec<_> = times
            .iter()
            .map(|(kernel, seconds)| json!({ "kernel": kernel, "seconds": seconds }))
            .collect();
        json!({
            "key": key.as_str(),
            "kernel": key.kernel(),
            "label": label,
            "sites": sites,
            "same_bits": same_bits,
            "times": times,
            "refused": refused,
            "chosen": outcome.times[*best].0,
            "gain": outcome.gain(),
        })
    });
    json!({
        "device": report.device,
        "kernels": outcomes.collect::<Vec<_>>(),
        "saved": report.saved,
    })
}
