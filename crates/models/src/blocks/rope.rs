//! Rotary embedding frequencies: plain, and as stretched for longer contexts.
//!
//! Settings are read in both spellings: `rope_theta` with `rope_scaling`, and `rope_parameters` (what
//! transformers writes since version 5). Computed in f64, rounded once.

mod scaling;

pub(crate) use scaling::TYPES;

use std::ops::RangeInclusive;

use tessera_formats::Config;
use tessera_graph::RopeSpec;

use super::{LONGEST_CONTEXT, Sizes};
use crate::{Result, source::Source};

/// Bases that make sense: one divides by its logarithm.
const THETA: RangeInclusive<f32> = 1.5..=1e12;

/// Rope settings of some layers.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The base.
    theta: f32,
    /// The object with type and factors, if there is one.
    scaling: Option<Config>,
}

/// What the frequencies depend on, besides the settings.
struct Context<'a> {
    /// The object around the settings: original context, partial rotation.
    outer: &'a Config,
    /// Elements of a head that are rotated.
    rotary: usize,
    /// Positions the model was trained for.
    trained: usize,
    /// Positions that will be used.
    used: usize,
}

impl Settings {
    /// The settings of all layers. Without a default, a missing base is an error.
    pub(crate) fn read(config: &Config, default: Option<f32>) -> Result<Self> {
        if let Some(parameters) = config.opt_sub("rope_parameters")? {
            return Self::parameters(parameters, config, "rope_theta", default);
        }
        let theta = theta(config, "rope_theta", default)?;
        Ok(Self { theta, scaling: config.opt_sub("rope_scaling")? })
    }

    /// The settings of one kind of layers: `rope_parameters.<kind>`, or else the base `key` and, if
    /// `scaled`, the common scaling.
    pub(crate) fn of_kind(
        config: &Config,
        kind: &str,
        key: &str,
        default: f32,
        scaled: bool,
    ) -> Result<Self> {
        if let Some(all) = config.opt_sub("rope_parameters")?
            && let Some(parameters) = all.opt_sub(kind)?
        {
            return Self::parameters(parameters, config, key, Some(default));
        }
        let scaling = if scaled { config.opt_sub("rope_scaling")? } else { None };
        Ok(Self { theta: theta(config, key, Some(default))?, scaling })
    }

    /// An object of `rope_parameters`; the base may also be where it used to be.
    fn parameters(
        parameters: Config,
        outer: &Config,
        key: &str,
        default: Option<f32>,
    ) -> Result<Self> {
        let theta = match parameters.opt_f32_in("rope_theta", THETA)? {
            Some(theta) => theta,
            None => theta(outer, key, default)?,
        };
        Ok(Self { theta, scaling: Some(parameters) })
    }

    /// Frequencies for heads of `sizes.head_dim` elements.
    pub(crate) fn spec(&self, source: &Source, sizes: &Sizes) -> Result<RopeSpec> {
        let context = self.context(source, sizes)?;
        let theta = f64::from(self.theta);
        let exponent = |i: usize| 2.0 * i as f64 / context.rotary as f64;
        let plain: Vec<f64> = (0..context.rotary / 2).map(|i| theta.powf(-exponent(i))).collect();
        let (frequencies, scale) = match &self.scaling {
            None => (plain, 1.0),
            Some(scaling) => scaling::scale(scaling, &context, theta, plain)?,
        };
        Ok(RopeSpec {
            frequencies: frequencies.into_iter().map(|f| f as f32).collect(),
            scale: scale as f32,
        })
    }

    /// The same with a factor on cosines and sines for sequences up to the original context and one for longer
    /// (Phi-3.5-MoE), where there is any scaling.
    pub(crate) fn spec_by_length(&self, source: &Source, sizes: &Sizes) -> Result<RopeSpec> {
        let spec = self.spec(source, sizes)?;
        match &self.scaling {
            Some(scaling) if scaling::is_scaled(scaling)? => {
                let context = self.context(source, sizes)?;
                Ok(RopeSpec { scale: scaling::by_length(scaling, &context)?, ..spec })
            }
            _ => Ok(spec),
        }
    }

    fn context<'a>(&self, source: &'a Source, sizes: &Sizes) -> Result<Context<'a>> {
        let outer = &source.config;
        Ok(Context {
            outer,
            rotary: self.rotary(outer, sizes.head_dim)?,
            trained: sizes.context,
            used: source.context.unwrap_or(sizes.context),
        })
    }

    /// Elements of a head that are rotated: an even number, all of them unless the rotation is partial.
    fn rotary(&self, outer: &Config, head_dim: usize) -> Result<usize> {
        const KEY: &str = "partial_rotary_factor";
        let inner = self.scaling.as_ref().filter(|scaling| scaling.has(KEY));
        let place = inner.unwrap_or(outer);
        let factor = place.opt_f32_in(KEY, 0.0..=1.0)?.unwrap_or(1.0);
        // Truncated, as the reference does; the little more makes up for the factor being rounded.
        let rotary = (head_dim as f64 * f64::from(factor) + 1e-3) as usize;
        if rotary == 0 || !rotary.is_multiple_of(2) {
            let problem = format!(
                "{factor} of heads of {head_dim} is {rotary} elements; an even number is needed"
            );
            return Err(place.error(KEY, problem).into());
        }
        Ok(rotary)
    }
}

fn theta(config: &Config, key: &str, default: Option<f32>) -> Result<f32> {
    match config.opt_f32_in(key, THETA)?.or(default) {
        Some(theta) => Ok(theta),
        None => {
            let problem =
                "missing, and so is rope_parameters.rope_theta; this family has no default";
            Err(config.error(key, problem).into())
        }
    }
}

impl Context<'_> {
    /// The context before stretching: in the settings, beside them, or the trained one.
    fn original(&self, scaling: &Config) -> Result<usize> {
        const KEY: &str = "original_max_position_embeddings";
        // Its logarithm is divided by.
        let range = 2..=LONGEST_CONTEXT;
        let inner = scaling.opt_usize(KEY, range.clone())?;
        let found = match inner {
            Some(original) => Some(original),
            None => self.outer.opt_usize(KEY, range)?,
        };
        Ok(found.unwrap_or(self.trained.max(2)))
    }
}
