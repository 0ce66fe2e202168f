//! `tessera tune`: the fastest geometry of each of a model's kernels on a GPU, measured and kept.

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use serde_json::json;
use tessera_gpu::tune::{Ended, Key, Outcome, Reached, Report, Search};
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

/// How often something is told where there is no bar.
const TELL: Duration = Duration::from_secs(10);

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

    let search = Search {
        kv: args.kv,
        rows,
        save: !args.dry_run,
        limit: Some(Duration::from_secs_f64(60.0 * args.minutes)),
    };

    let progress = Progress::new(context);
    let bar = progress.steps("tuning", 0);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let mut told = Instant::now();
    let mut watch = |Reached { done, total, key, left }: Reached<'_>| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        let left = left.map(|left| format!(", {} left", units::time(left))).unwrap_or_default();
        bar.set_message(format!("{}{left}", key.kernel()));
        // where there is no bar
        if bar.is_hidden() && told.elapsed() > TELL {
            told = Instant::now();
            context.note(&format!("{done} of {total} kernels{left}"));
        }
        if stopped.load(Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let work = || args.device.tune(&model, &search, &mut watch);
    let (report, _) = context.interrupts.during(move || stop.store(true, Relaxed), work);
    bar.finish_and_clear();
    progress.finish();
    let report = report?;
    if let Some(note) = &report.note {
        context.note(note);
    }
    match context.json() {
        true => output::json(&json(&report))?,
        false => print(context, &report)?,
    }
    Ok(match report.ended {
        Ended::Stopped => Exit::Interrupted,
        Ended::Done | Ended::Limit => Exit::Success,
    })
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
    let missed = units::plural(report.missed, "kernel");
    match report.ended {
        Ended::Done => {}
        Ended::Limit => context.note(&format!(
            "{missed} not measured: the time is over; --minutes gives more, and what is measured once stays"
        )),
        Ended::Stopped => context.note(&format!("{missed} not measured: stopped")),
    }
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
        "missed": report.missed,
        "saved": report.saved,
    })
}
