//! `tessera perplexity`: how well a model predicts a text.

mod sum;
mod windows;

use std::time::Instant;

use anyhow::Result;
use serde_json::json;
use tessera_engine::Model;
use tessera_text::Specials;

use crate::{
    args::PerplexityArgs,
    context::{Context, DEFAULT_MODEL},
    errors::{Exit, usage},
    input, loading, output,
    progress::Progress,
    units,
};

use sum::Sum;
use windows::windows;

/// Rows of logits a step gives: every position of a window is one.
const ROWS: usize = 128;

/// Scores the text window by window and prints the perplexity with its standard error.
///
/// # Errors
/// When the text or the model cannot be used, or there is nothing to score.
pub fn run(context: &Context, args: PerplexityArgs) -> Result<Exit> {
    if args.stride > args.window {
        return Err(usage(
            "--stride must not exceed --window, or tokens between windows would be left out",
        ));
    }
    let text = match &args.file {
        Some(path) => input::file(path)?,
        None if input::is_piped() => input::read()?,
        None => return Err(usage("no text: name a file, or pipe one in")),
    };
    let name = args.model.as_deref().unwrap_or(DEFAULT_MODEL);
    let mut load = args.load.clone();
    // The token that begins a text comes on top of the window.
    load.context = load.context.or(args.window.checked_add(1));
    let loaded = loading::load(context, name, &load, |it| it.output_rows = ROWS)?;
    let model = &loaded.model;
    let tokens = model.tokenizer().encode(&text, Specials::AsText)?;
    let (sum, scored) = score(context, &args, model, &tokens)?;
    let Some(result) = sum.result() else {
        return Err(usage("the text is too short: fewer than two tokens"));
    };
    if context.json() {
        output::json(&json!({
            "model": name,
            "perplexity": result.perplexity,
            "standard_error": result.error,
            "mean_nll": result.mean,
            "tokens": tokens.len(),
            "scored": result.count,
            "window": args.window,
            "stride": args.stride,
            "windows": scored,
        }))?;
    } else {
        output::line(format_args!("perplexity {:.4} ± {:.4}", result.perplexity, result.error))?;
        context.note(&format!(
            "{} of {} tokens scored in {} of {} by strides of {}",
            units::thousands(result.count),
            units::thousands(tokens.len() as u64),
            units::plural(scored.len(), "window"),
            args.window,
            args.stride
        ));
    }
    Ok(Exit::Success)
}

/// Scores all windows; also what each of them alone came to.
fn score(
    context: &Context,
    args: &PerplexityArgs,
    model: &Model,
    tokens: &[u32],
) -> Result<(Sum, Vec<serde_json::Value>)> {
    let begin = begin(model);
    let all = windows(tokens.len(), args.window, args.stride, begin.is_some());
    let all = &all[..all.len().min(args.windows.unwrap_or(usize::MAX))];
    let progress = Progress::new(context);
    let bar = progress.steps("scoring", all.len() as u64);
    let (mut sum, mut scored) = (Sum::default(), Vec::new());
    for (index, window) in all.iter().enumerate() {
        let begun = Instant::now();
        let ids: Vec<u32> =
            begin.iter().chain(&tokens[window.begin..window.end]).copied().collect();
        // `from` counts within what is sent.
        let from = window.from - window.begin + usize::from(begin.is_some());
        let logprobs = model.score(ids, from).wait()?.logprobs;
        let mut own = Sum::default();
        own.add(&logprobs);
        sum.add(&logprobs);
        let so_far = sum.result().map_or(f64::NAN, |it| it.perplexity);
        scored.push(json!({
            "begin": window.begin,
            "end": window.end,
            "scored": logprobs.len(),
            "perplexity": own.result().map(|it| it.perplexity),
        }));
        bar.set_message(format!("perplexity so far {so_far:.4}"));
        bar.inc(1);
        if context.global.verbose > 0 {
            let line = format!(
                "window {} of {}: {} tokens in {}, so far {so_far:.4}",
                index + 1,
                all.len(),
                logprobs.len(),
                units::time(begun.elapsed())
            );
            bar.suspend(|| context.detail(&line));
        }
    }
    bar.finish_and_clear();
    Ok((sum, scored))
}

/// The id that begins every text of this model, if its tokenizer asks for one.
fn begin(model: &Model) -> Option<u32> {
    let tokenizer = model.tokenizer();
    let framed = tokenizer.frame(&[]);
    framed.first().copied().filter(|&id| tokenizer.roles().bos == Some(id))
}
