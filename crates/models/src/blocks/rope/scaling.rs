//! Context scaling.

use std::f64::consts::TAU;

use tessera_formats::Config;

use super::Context;
use crate::Result;

/// Frequencies, and the factor on cosines and sines.
type Scaled = (Vec<f64>, f64);

/// What a configuration's `rope_type` may be. (`su` is an old name of `longrope`; `divided` is our own,
/// for GGUF files, which store divisors.)
pub(crate) const TYPES: [&str; 5] = ["default", "linear", "llama3", "yarn", "longrope"];

/// Applies what `rope_type` says to the plain frequencies.
pub(super) fn scale(
    scaling: &Config,
    context: &Context<'_>,
    theta: f64,
    plain: Vec<f64>,
) -> Result<Scaled> {
    let (key, kind) = kind(scaling)?;
    match kind {
        "default" => Ok((plain, 1.0)),
        "linear" => linear(scaling, plain),
        "llama3" => llama3(scaling, context, plain),
        "yarn" => yarn(scaling, context, theta, plain),
        "longrope" | "su" => longrope(scaling, context, plain),
        "divided" => Ok((divide(&plain, &factors(scaling, "divisors", plain.len())?), 1.0)),
        other => {
            let known = TYPES.join(", ");
            Err(scaling
                .error(key, format!("{other:?} is not supported; supported are {known}"))
                .into())
        }
    }
}

/// The field that names the type, and the type.
fn kind(scaling: &Config) -> Result<(&'static str, &str)> {
    let key = if scaling.has("rope_type") { "rope_type" } else { "type" };
    Ok((key, scaling.opt_str(key)?.unwrap_or("default")))
}

/// Whether the type changes anything.
pub(super) fn is_scaled(scaling: &Config) -> Result<bool> {
    Ok(kind(scaling)?.1 != "default")
}

/// The factor on cosines and sines, `short_mscale` or `long_mscale`, as the length of sequences is.
pub(super) fn by_length(scaling: &Config, context: &Context<'_>) -> Result<f32> {
    let long = context.used > context.original(scaling)?;
    let key = if long { "long_mscale" } else { "short_mscale" };
    Ok(scaling.f32_in(key, 1e-3..=1e3)?)
}

/// A factor by which a context is stretched.
fn stretch(scaling: &Config) -> Result<Option<f64>> {
    Ok(scaling.opt_f32_in("factor", 1.0..=1e6)?.map(f64::from))
}

fn required_stretch(scaling: &Config) -> Result<f64> {
    match stretch(scaling)? {
        Some(factor) => Ok(factor),
        None => Err(scaling.error("factor", "missing").into()),
    }
}

/// A positive number.
fn positive(scaling: &Config, key: &str, default: Option<f32>) -> Result<f64> {
    let range = 1e-6..=1e6;
    let value = match default {
        None => scaling.f32_in(key, range)?,
        Some(default) => scaling.opt_f32_in(key, range)?.unwrap_or(default),
    };
    Ok(f64::from(value))
}

fn attention_factor(scaling: &Config) -> Result<Option<f64>> {
    Ok(scaling.opt_f32_in("attention_factor", 1e-3..=1e3)?.map(f64::from))
}

/// Positions are interpolated (Chen et al., 2023).
fn linear(scaling: &Config, plain: Vec<f64>) -> Result<Scaled> {
    let factor = required_stretch(scaling)?;
    Ok((plain.into_iter().map(|f| f / factor).collect(), 1.0))
}

/// Llama 3.1: long wavelengths are stretched, short ones kept, those between blended.
fn llama3(scaling: &Config, context: &Context<'_>, plain: Vec<f64>) -> Result<Scaled> {
    let factor = required_stretch(scaling)?;
    let low = positive(scaling, "low_freq_factor", None)?;
    let high = positive(scaling, "high_freq_factor", None)?;
    if high <= low {
        let problem = format!("{high} is not above low_freq_factor, {low}");
        return Err(scaling.error("high_freq_factor", problem).into());
    }
    let original = context.original(scaling)? as f64;
    let stretched = plain.into_iter().map(|frequency| {
        let turns = original * frequency / TAU;
        let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
        frequency * (kept + (1.0 - kept) / factor)
    });
    Ok((stretched.collect(), 1.0))
}

/// YaRN (Peng et al., 2023): pairs that turn often over the original context are kept, those that hardly
/// turn are stretched, with a ramp over pairs between; attention is made sharper.
fn yarn(scaling: &Config, context: &Context<'_>, theta: f64, plain: Vec<f64>) -> Result<Scaled> {
    let original = context.original(scaling)? as f64;
    let factor = stretch(scaling)?.unwrap_or((context.trained as f64 / original).max(1.0));
    let fast = positive(scaling, "beta_fast", Some(32.0))?;
    let slow = positive(scaling, "beta_slow", Some(1.0))?;
    let rotary = context.rotary as f64;
    // The (fractional) pair that turns so many times.
    let pair = |turns: f64| rotary * (original / (turns * TAU)).ln() / (2.0 * theta.ln());
    let (mut low, mut high) = (pair(fast), pair(slow));
    if scaling.bool_or("truncate", true)? {
        (low, high) = (low.floor(), high.ceil());
    }
    (low, high) = (low.max(0.0), high.min(rotary - 1.0));
    if low == high {
        high += 0.001;
    }
    let stretched = plain.into_iter().enumerate().map(|(i, frequency)| {
        let ramp = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
        frequency * ((1.0 - ramp) + ramp / factor)
    });
    Ok((stretched.collect(), yarn_attention(scaling, factor)?))
}

fn yarn_attention(scaling: &Config, factor: f64) -> Result<f64> {
    if let Some(given) = attention_factor(scaling)? {
        return Ok(given);
    }
    let sharpen = |m: f64| if factor <= 1.0 { 1.0 } else { 0.1 * m * factor.ln() + 1.0 };
    let mscale = |key| -> Result<Option<f64>> {
        Ok(scaling.opt_f32_in(key, 0.0..=1e3)?.filter(|&m| m > 0.0).map(f64::from))
    };
    Ok(match (mscale("mscale")?, mscale("mscale_all_dim")?) {
        (Some(m), Some(all)) => sharpen(m) / sharpen(all),
        _ => sharpen(1.0),
    })
}

/// LongRoPE (Ding et al., 2024): a divisor for each pair, one set for sequences up to the original
/// context and one for longer. Which is decided here, once: see
/// [`BuildOptions::context`](crate::BuildOptions::context).
fn longrope(scaling: &Config, context: &Context<'_>, plain: Vec<f64>) -> Result<Scaled> {
    let original = context.original(scaling)?;
    let short = factors(scaling, "short_factor", plain.len())?;
    let long = factors(scaling, "long_factor", plain.len())?;
    let divisors = if context.used > original { long } else { short };
    let factor = stretch(scaling)?.unwrap_or(context.trained as f64 / original as f64);
    let scale = match attention_factor(scaling)? {
        Some(given) => given,
        None if factor <= 1.0 => 1.0,
        None => (1.0 + factor.ln() / (original as f64).ln()).sqrt(),
    };
    Ok((divide(&plain, &divisors), scale))
}

fn divide(plain: &[f64], divisors: &[f32]) -> Vec<f64> {
    plain.iter().zip(divisors).map(|(f, &d)| f / f64::from(d)).collect()
}

/// A positive number for each of `pairs` pairs.
fn factors(scaling: &Config, key: &str, pairs: usize) -> Result<Vec<f32>> {
    let Some(factors) = scaling.opt_f32s(key)? else {
        return Err(scaling.error(key, "missing").into());
    };
    if factors.len() != pairs {
        let problem = format!("{} factors for {pairs} rotated pairs", factors.len());
        return Err(scaling.error(key, problem).into());
    }
    match factors.iter().find(|f| !(1e-6..=1e6).contains(*f)) {
        Some(bad) => {
            Err(scaling.error(key, format!("factor {bad} is not between 1e-6 and 1e6")).into())
        }
        None => Ok(factors),
    }
}
