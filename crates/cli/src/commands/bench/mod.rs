//! `tessera bench`: the speed of prefill and decode, as llama-bench users know it.

mod table;

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde::Serialize;
use tessera_engine::{BenchCase, BenchReport, KvType};

use crate::{
    args::{BenchArgs, LoadArgs},
    commands::model_and_text,
    context::Context,
    device::Machine,
    errors::{Exit, usage},
    loading::{self, Loaded},
    output,
    progress::Progress,
};

/// One test; fields as in llama-bench's JSON where there are such.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    build_version: &'static str,
    model: String,
    /// Family, size and packing: `llama 135M Q4_1`.
    model_type: String,
    model_size: u64,
    model_n_params: u64,
    backend: String,
    isa: String,
    precise: bool,
    type_k: &'static str,
    type_v: &'static str,
    n_threads: usize,
    n_prompt: usize,
    n_gen: usize,
    n_depth: usize,
    n_streams: usize,
    test_time: u64,
    avg_ts: f64,
    stddev_ts: f64,
    samples_ts: Vec<f64>,
    samples_ns: Vec<u64>,
}

/// What the machine could do at best.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Limit {
    /// `read`: memory, of as many bytes as the weights; `int8`: integer dot products.
    limit: &'static str,
    n_threads: usize,
    /// GB/s, or GOP/s.
    value: f64,
}

/// A line of the result.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
enum Line {
    Test(Box<Row>),
    Limit(Limit),
}

/// Measures the machine as the loaded model uses it.
fn limits(loaded: &Loaded) -> Result<[Limit; 2]> {
    let bytes = loaded.model.info().details.as_ref().map_or(1 << 28, |it| it.bytes);
    let Machine::Cpu(cpu) = &loaded.machine else {
        return Err(usage("--limits measures the processor; it is not what computes here"));
    };
    let found = cpu.measure(bytes)?;
    let n_threads = cpu.threads();
    let limit = |limit, per_second| Limit { limit, n_threads, value: per_second / 1e9 };
    Ok([limit("read", found.read), limit("int8", found.int8)])
}

/// Runs every combination of the lists and prints a line for each as it ends.
///
/// # Errors
/// When the model cannot be loaded, or a test does not fit its context.
pub fn run(context: &Context, args: BenchArgs) -> Result<Exit> {
    let (name, text) = model_and_text(args.model.clone(), None);
    if text.is_some() {
        return Err(usage("bench takes a model, not a text"));
    }
    let cases = cases(&args);
    if cases.is_empty() {
        return Err(usage("nothing to measure: all of -p and -n are 0"));
    }
    let longest =
        cases.iter().map(|it| it.depth.saturating_add(it.prompt).saturating_add(it.generate)).max();
    let threads: Vec<Option<usize>> = match args.threads[..] {
        [] => vec![None],
        ref list => list.iter().copied().map(Some).collect(),
    };
    let mut rows = Vec::new();
    for threads in threads {
        let load = LoadArgs {
            context: longest,
            device: args.device,
            threads,
            precise: args.precise,
            isa: args.isa,
            kv: args.kv,
            memory: None,
        };
        let most = args.streams.iter().copied().max().unwrap_or(1);
        let loaded = loading::load(context, &name, &load, |options| options.max_sequences = most)?;
        if args.limits {
            for limit in limits(&loaded)? {
                if !context.json() {
                    output::write(format_args!("{}", table::limit(&limit)))?;
                }
                rows.push(Line::Limit(limit));
            }
            loaded.model.unload().wait()?;
            continue;
        }
        let progress = Progress::new(context);
        let bar = progress.steps("measuring", cases.len() as u64);
        for &case in &cases {
            bar.set_message(table::test(case.prompt, case.generate, case.depth, case.streams));
            let report = loaded.model.bench(case).wait()?;
            let row = row(&name, &loaded, &args, &report);
            bar.inc(1);
            if !context.json() {
                let head = if rows.is_empty() { table::header() } else { String::new() };
                bar.suspend(|| output::write(format_args!("{head}{}", table::line(&row))))?;
            }
            rows.push(Line::Test(Box::new(row)));
        }
        bar.finish_and_clear();
        // Its memory is given back before the next one is loaded.
        loaded.model.unload().wait()?;
    }
    if context.json() {
        output::json(&rows)?;
    }
    Ok(Exit::Success)
}

/// Every depth with every prefill test, then with every decode test.
fn cases(args: &BenchArgs) -> Vec<BenchCase> {
    let mut cases = Vec::new();
    for &depth in &args.n_depth {
        for &streams in &args.streams {
            let case = |prompt, generate| {
                let repeats = args.repetitions;
                BenchCase { prompt, generate, depth, streams, repeats }
            };
            cases.extend(args.n_prompt.iter().filter(|&&n| n > 0).map(|&n| case(n, 0)));
            cases.extend(args.n_gen.iter().filter(|&&n| n > 0).map(|&n| case(0, n)));
        }
    }
    cases
}

fn row(name: &str, loaded: &Loaded, args: &BenchArgs, report: &BenchReport) -> Row {
    let info = loaded.model.info();
    let (size, parameters, kind) = match &info.details {
        Some(it) => {
            let packing =
                it.packings.first().map(|it| it.packing.to_uppercase()).unwrap_or_default();
            (
                it.bytes,
                it.parameters,
                format!("{} {} {packing}", it.family, table::rough(it.parameters)),
            )
        }
        None => (0, 0, info.name.clone()),
    };
    let case = report.case;
    let (seconds, tokens, rate) = match case.prompt {
        0 => (&report.decode, case.generate, report.decode_rate()),
        prompt => (&report.prefill, prompt, report.prefill_rate()),
    };
    let (avg_ts, stddev_ts) = rate.unwrap_or_default();
    let kv = match info.limits.kv {
        KvType::F16 => "f16",
        KvType::BF16 => "bf16",
        KvType::F32 => "f32",
    };
    Row {
        build_version: env!("CARGO_PKG_VERSION"),
        model: name.to_owned(),
        model_type: kind,
        model_size: size as u64,
        model_n_params: parameters as u64,
        backend: info.backend.to_owned(),
        isa: loaded.machine.level(),
        precise: args.precise,
        type_k: kv,
        type_v: kv,
        n_threads: loaded.machine.threads(),
        n_prompt: case.prompt,
        n_gen: case.generate,
        n_depth: case.depth,
        n_streams: case.streams,
        test_time: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs()),
        avg_ts,
        stddev_ts,
        samples_ts: seconds.iter().map(|s| (tokens * case.streams) as f64 / s.max(1e-12)).collect(),
        samples_ns: seconds.iter().map(|s| (s * 1e9) as u64).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_is_measured_once() {
        let args = BenchArgs {
            model: None,
            n_prompt: vec![128, 0, 512],
            n_gen: vec![32],
            n_depth: vec![0, 1024],
            threads: vec![],
            repetitions: 3,
            streams: vec![1],
            limits: false,
            precise: false,
            isa: None,
            device: Default::default(),
            kv: None,
        };
        let found: Vec<_> =
            cases(&args).iter().map(|it| (it.prompt, it.generate, it.depth)).collect();
        let expected =
            [(128, 0, 0), (512, 0, 0), (0, 32, 0), (128, 0, 1024), (512, 0, 1024), (0, 32, 1024)];
        assert_eq!(found, expected);
        assert!(cases(&BenchArgs { n_prompt: vec![0], n_gen: vec![], ..args }).is_empty());
    }
}
