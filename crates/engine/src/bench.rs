//! How fast the model runs, without text around it.
//!
//! The layout is the one that users of llama-bench know: `pp` prompt tokens in chunks, or `tg` tokens one
//! by one, each at a depth of tokens that are there already.

use std::{sync::Arc, time::Instant};

use tessera_graph::Sampling;
use tessera_state::SequenceId;

use crate::{GenerateError, runner::Runner, work::Cancel};

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BenchCase {
    /// Prompt tokens run at once (in chunks of the load option's size); 0 measures no prefill.
    pub prompt: usize,
    /// Tokens drawn one by one, each after the prompt and those before it; 0 measures no decode.
    pub generate: usize,
    /// Tokens that the sequence holds before the clock starts.
    pub depth: usize,
    /// Sequences that are computed side by side, each with all of the above.
    pub streams: usize,
    /// Measured repeats, after one that is not.
    pub repeats: usize,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchReport {
    /// As asked for.
    pub case: BenchCase,
    /// Seconds for the prompt, one for each repeat; empty when none was asked for.
    pub prefill: Vec<f64>,
    /// Seconds for all generated tokens, one for each repeat; empty when none was asked for.
    pub decode: Vec<f64>,
}

impl BenchReport {
    /// Tokens a second of all prompts: mean and standard deviation over repeats.
    pub fn prefill_rate(&self) -> Option<(f64, f64)> {
        rates(self.case.prompt * self.case.streams, &self.prefill)
    }

    /// Tokens a second of generation, all streams together: mean and standard deviation over repeats.
    pub fn decode_rate(&self) -> Option<(f64, f64)> {
        rates(self.case.generate * self.case.streams, &self.decode)
    }
}

/// Mean and sample standard deviation of `tokens / seconds`.
fn rates(tokens: usize, seconds: &[f64]) -> Option<(f64, f64)> {
    let n = seconds.len() as f64;
    if seconds.is_empty() {
        return None;
    }
    let rate = |s: &f64| tokens as f64 / s.max(1e-12);
    let mean = seconds.iter().map(rate).sum::<f64>() / n;
    let square = seconds.iter().map(|s| (rate(s) - mean).powi(2)).sum::<f64>();
    Some((mean, if n > 1.0 { (square / (n - 1.0)).sqrt() } else { 0.0 }))
}

/// Most repeats and tokens of a case; a typing mistake should not keep the machine for days.
const MAX_REPEATS: usize = 10_000;

/// Measures `case` on sequences of its own, with pseudo-random tokens. Drawing is greedy.
pub(crate) fn bench(
    runner: &mut Runner,
    case: BenchCase,
    cancel: &Cancel,
) -> Result<BenchReport, GenerateError> {
    let context = runner.state.options().context;
    let tokens = case.depth.saturating_add(case.prompt).saturating_add(case.generate);
    if tokens > context {
        return Err(GenerateError::PromptTooLong { tokens, context });
    }
    let most = runner.limits.runs.min(runner.limits.outputs);
    if tokens == case.depth
        || case.repeats == 0
        || case.repeats > MAX_REPEATS
        || !(1..=most).contains(&case.streams)
    {
        return Err(GenerateError::Invalid {
            field: "bench",
            value: format!(
                "{} + {} tokens, {} times, {} streams",
                case.prompt, case.generate, case.repeats, case.streams
            ),
            allowed: format!(
                "at least one token, 1 to {MAX_REPEATS} times, 1 to {most} streams (the load option \
                 max_sequences)"
            ),
        });
    }
    let mut sequences = Vec::with_capacity(case.streams);
    let mut opened = Ok(());
    for _ in 0..case.streams {
        match runner.state.open() {
            Ok(sequence) => sequences.push(sequence),
            Err(error) => opened = Err(error.into()),
        }
    }
    let report = opened.and_then(|()| measure(runner, &sequences, case, cancel));
    for sequence in sequences {
        runner.state.release(sequence)?;
    }
    report
}

fn measure(
    runner: &mut Runner,
    sequences: &[SequenceId],
    case: BenchCase,
    cancel: &Cancel,
) -> Result<BenchReport, GenerateError> {
    let mut random = Random(0x7e55e7a);
    let token_ids = runner.token_ids as u64;
    let mut random_tokens = |n: usize| -> Vec<u32> {
        (0..n).map(|_| (random.next() % token_ids.max(1)) as u32).collect()
    };
    let greedy = Arc::new(Sampling::default());
    let mut report = BenchReport { case, prefill: Vec::new(), decode: Vec::new() };
    for repeat in 0..=case.repeats {
        for &sequence in sequences {
            // Where windows have forgotten what going back needs, the depth is computed again.
            let held = runner.state.reusable(sequence, case.depth)?;
            runner.state.truncate(sequence, held)?;
            let depth = random_tokens(case.depth - held);
            prefill(runner, sequence, &depth, &greedy, cancel)?;
        }
        let prompt = random_tokens(case.prompt);
        let generated = random_tokens(case.generate * case.streams);
        let start = Instant::now();
        for &sequence in sequences {
            prefill(runner, sequence, &prompt, &greedy, cancel)?;
        }
        let middle = Instant::now();
        for tokens in generated.chunks(case.streams) {
            let runs: Vec<(SequenceId, &[u32])> =
                sequences.iter().copied().zip(tokens.chunks(1)).collect();
            feed(runner, &runs, &greedy, cancel)?;
        }
        let end = Instant::now();
        if repeat > 0 && case.prompt > 0 {
            report.prefill.push((middle - start).as_secs_f64());
        }
        if repeat > 0 && case.generate > 0 {
            report.decode.push((end - middle).as_secs_f64());
        }
    }
    Ok(report)
}

/// Runs `tokens` in chunks of the compiled limit and draws a token after each.
fn prefill(
    runner: &mut Runner,
    sequence: SequenceId,
    tokens: &[u32],
    greedy: &Arc<Sampling>,
    cancel: &Cancel,
) -> Result<(), GenerateError> {
    let chunk = runner.limits.tokens.max(1);
    tokens.chunks(chunk).try_for_each(|chunk| feed(runner, &[(sequence, chunk)], greedy, cancel))
}

/// Runs tokens in one step, unless nobody waits for the result.
fn feed(
    runner: &mut Runner,
    runs: &[(SequenceId, &[u32])],
    greedy: &Arc<Sampling>,
    cancel: &Cancel,
) -> Result<(), GenerateError> {
    if cancel.is_set() {
        return Err(GenerateError::Cancelled);
    }
    runner.feed(runs, greedy)
}

/// SplitMix64 (Steele et al., 2014): enough for token ids.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_a_mean_and_a_deviation() {
        let case = BenchCase { prompt: 0, generate: 10, depth: 0, streams: 1, repeats: 2 };
        let report = BenchReport { case, prefill: vec![], decode: vec![1.0, 2.0] };
        let (mean, deviation) = report.decode_rate().unwrap();
        assert!((mean - 7.5).abs() < 1e-9 && (deviation - 12.5f64.sqrt()).abs() < 1e-9);
        assert_eq!(report.prefill_rate(), None);
    }
}
