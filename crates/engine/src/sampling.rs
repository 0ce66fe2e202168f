//! How tokens are drawn: what is asked for, what the checkpoint suggests, what we fall back on.

use tessera_formats::{Checkpoint, Config};
use tessera_graph::Sampling;
use tessera_hub::Recommended;

use crate::GenerateError;

/// [`Request::top_logprobs`](crate::Request::top_logprobs) is at most this.
pub const MAX_TOP_LOGPROBS: usize = 256;

/// [`SamplingOptions::bias`] has at most this many entries.
pub const MAX_BIAS: usize = 4096;

/// Where a model's own settings for drawing tokens come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SamplingSource {
    /// Its `generation_config.json`.
    Checkpoint,
    /// The built-in catalogue, which has them from the model's card.
    Catalogue,
    /// Nobody says anything: [`SamplingOptions::FALLBACK`].
    Fallback,
    /// Whoever made the model in memory.
    Parts,
}

/// How tokens are drawn. What is `None` is taken from the checkpoint's `generation_config.json`, or from the
/// catalogue if there is none, then from [`SamplingOptions::FALLBACK`].
///
/// Applied in this order: bias and penalties (repetition, presence, frequency), temperature, top-k,
/// top-p, min-p, draw.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SamplingOptions {
    /// Divides the logits, 0 to 100; 0 always takes the most likely token.
    pub temperature: Option<f32>,
    /// Keeps the `k` most likely tokens; 0 keeps all.
    pub top_k: Option<u32>,
    /// Keeps the fewest most likely tokens whose probabilities reach this sum, above 0 up to 1.
    pub top_p: Option<f32>,
    /// Drops tokens less likely than this fraction of the most likely, 0 to 1.
    pub min_p: Option<f32>,
    /// Makes tokens of the prompt and the answer less likely when above 1; above 0 up to 100.
    pub repetition_penalty: Option<f32>,
    /// Subtracted from logits of tokens in the answer, -100 to 100.
    pub presence_penalty: Option<f32>,
    /// Subtracted for each occurrence in the answer, -100 to 100.
    pub frequency_penalty: Option<f32>,
    /// Added to the logits of these tokens, -1000 to 1000 each; at most [`MAX_BIAS`].
    pub bias: Vec<(u32, f32)>,
}

impl SamplingOptions {
    /// What a model samples with when neither the request nor the checkpoint says.
    pub const FALLBACK: Self = Self {
        temperature: Some(0.7),
        top_k: Some(40),
        top_p: Some(0.95),
        min_p: Some(0.05),
        repetition_penalty: Some(1.0),
        presence_penalty: Some(0.0),
        frequency_penalty: Some(0.0),
        bias: Vec::new(),
    };

    /// Always the most likely token.
    pub fn greedy() -> Self {
        Self { temperature: Some(0.0), repetition_penalty: Some(1.0), ..Self::default() }
    }

    /// What a model is drawn from unless a request says otherwise, and whose word that is.
    pub(crate) fn of_model(
        checkpoint: &Checkpoint,
        recommended: Option<&Recommended>,
    ) -> Result<(Self, SamplingSource), tessera_formats::Error> {
        if let Some(config) = checkpoint.generation_config() {
            let options = Self::from_config(config)?;
            if options != Self::default() {
                return Ok((options, SamplingSource::Checkpoint));
            }
        }
        Ok(match recommended {
            Some(it) => (Self::recommended(it), SamplingSource::Catalogue),
            None => (Self::default(), SamplingSource::Fallback),
        })
    }

    /// A recommendation is a whole distribution, too.
    fn recommended(it: &Recommended) -> Self {
        Self {
            temperature: it.temperature.or(Some(1.0)),
            top_k: it.top_k.or(Some(0)),
            top_p: it.top_p.or(Some(1.0)),
            min_p: it.min_p.or(Some(0.0)),
            repetition_penalty: it.repetition_penalty,
            ..Self::default()
        }
    }

    /// What a `generation_config.json` suggests. It means a distribution without our fallbacks, so what
    /// it leaves out is neutral; `do_sample: false` means greedy. A file that says nothing about
    /// drawing suggests nothing.
    pub(crate) fn from_config(config: &Config) -> Result<Self, tessera_formats::Error> {
        let mut options = Self {
            temperature: config.opt_f32("temperature")?,
            top_k: config.opt_usize("top_k", 0..=u32::MAX as usize)?.map(|k| k as u32),
            top_p: config.opt_f32("top_p")?,
            min_p: config.opt_f32("min_p")?,
            repetition_penalty: config.opt_f32("repetition_penalty")?,
            ..Self::default()
        };
        let greedy = config.opt_bool("do_sample")? == Some(false);
        let draws = options.temperature.is_some()
            || options.top_k.is_some()
            || options.top_p.is_some()
            || options.min_p.is_some();
        if greedy {
            options.temperature = Some(0.0);
        } else if draws {
            options.temperature = options.temperature.or(Some(1.0));
            options.top_k = options.top_k.or(Some(0));
            options.top_p = options.top_p.or(Some(1.0));
            options.min_p = options.min_p.or(Some(0.0));
        }
        // A suggestion that we would refuse in a request is no suggestion.
        Ok(if options.check(usize::MAX).is_ok() { options } else { Self::default() })
    }

    /// These, with what is missing taken from `other`.
    pub fn or(&self, other: &Self) -> Self {
        let bias = if self.bias.is_empty() { &other.bias } else { &self.bias };
        Self {
            temperature: self.temperature.or(other.temperature),
            top_k: self.top_k.or(other.top_k),
            top_p: self.top_p.or(other.top_p),
            min_p: self.min_p.or(other.min_p),
            repetition_penalty: self.repetition_penalty.or(other.repetition_penalty),
            presence_penalty: self.presence_penalty.or(other.presence_penalty),
            frequency_penalty: self.frequency_penalty.or(other.frequency_penalty),
            bias: bias.clone(),
        }
    }

    /// Refuses what makes no sense; `vocabulary` bounds the tokens of `bias`.
    fn check(&self, vocabulary: usize) -> Result<(), GenerateError> {
        within("temperature", self.temperature, 0.0, 100.0)?;
        within("top_p", self.top_p, f32::MIN_POSITIVE, 1.0)?;
        within("min_p", self.min_p, 0.0, 1.0)?;
        within("repetition_penalty", self.repetition_penalty, f32::MIN_POSITIVE, 100.0)?;
        within("presence_penalty", self.presence_penalty, -100.0, 100.0)?;
        within("frequency_penalty", self.frequency_penalty, -100.0, 100.0)?;
        if self.bias.len() > MAX_BIAS {
            let (value, allowed) =
                (self.bias.len().to_string(), format!("at most {MAX_BIAS} tokens"));
            return Err(GenerateError::Invalid { field: "bias", value, allowed });
        }
        for &(token, bias) in &self.bias {
            within("bias", Some(bias), -1000.0, 1000.0)?;
            if token as usize >= vocabulary {
                return Err(GenerateError::UnknownToken { field: "bias", token, vocabulary });
            }
        }
        Ok(())
    }

    /// The settings a backend is given; nothing is missing from `self` but what
    /// [`FALLBACK`](Self::FALLBACK) has. `vocabulary` is the width of the logits.
    pub(crate) fn resolve(&self, vocabulary: usize) -> Result<Sampling, GenerateError> {
        self.check(vocabulary)?;
        let all = self.or(&Self::FALLBACK);
        let neutral = Sampling::default();
        Ok(Sampling {
            temperature: all.temperature.unwrap_or(neutral.temperature),
            top_k: all.top_k.unwrap_or(neutral.top_k),
            top_p: all.top_p.unwrap_or(neutral.top_p),
            min_p: all.min_p.unwrap_or(neutral.min_p),
            repetition_penalty: all.repetition_penalty.unwrap_or(neutral.repetition_penalty),
            presence_penalty: all.presence_penalty.unwrap_or(neutral.presence_penalty),
            frequency_penalty: all.frequency_penalty.unwrap_or(neutral.frequency_penalty),
            bias: all.bias,
            ..neutral
        })
    }
}

fn within(
    field: &'static str,
    value: Option<f32>,
    low: f32,
    high: f32,
) -> Result<(), GenerateError> {
    match value {
        Some(value) if !(low..=high).contains(&value) => {
            let low = if low == f32::MIN_POSITIVE { "above 0".into() } else { format!("{low}") };
            let allowed = format!("{low} to {high}");
            Err(GenerateError::Invalid { field, value: value.to_string(), allowed })
        }
        _ => Ok(()),
    }
}

/// A seed nobody chose: the standard library keys its hash maps with the system's randomness.
pub(crate) fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::time::Instant::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_values_are_refused_by_name() {
        let bad: [(&str, SamplingOptions); 8] = [
            ("temperature", SamplingOptions { temperature: Some(f32::NAN), ..Default::default() }),
            ("temperature", SamplingOptions { temperature: Some(-1.0), ..Default::default() }),
            ("top_p", SamplingOptions { top_p: Some(0.0), ..Default::default() }),
            ("top_p", SamplingOptions { top_p: Some(f32::INFINITY), ..Default::default() }),
            ("min_p", SamplingOptions { min_p: Some(1.5), ..Default::default() }),
            (
                "repetition_penalty",
                SamplingOptions { repetition_penalty: Some(0.0), ..Default::default() },
            ),
            (
                "frequency_penalty",
                SamplingOptions { frequency_penalty: Some(1e30), ..Default::default() },
            ),
            ("bias", SamplingOptions { bias: vec![(0, 0.0); MAX_BIAS + 1], ..Default::default() }),
        ];
        for (name, options) in bad {
            match options.resolve(100) {
                Err(GenerateError::Invalid { field, .. }) => assert_eq!(field, name),
                other => panic!("{name}: {other:?}"),
            }
        }
        let beyond = SamplingOptions { bias: vec![(100, 1.0)], ..Default::default() };
        assert!(matches!(
            beyond.resolve(100),
            Err(GenerateError::UnknownToken { token: 100, vocabulary: 100, .. })
        ));
    }

    #[test]
    fn the_request_wins_over_the_checkpoint_and_that_over_the_fallback() {
        let request = SamplingOptions { temperature: Some(0.5), ..Default::default() };
        let checkpoint =
            SamplingOptions { temperature: Some(0.9), top_k: Some(7), ..Default::default() };
        let sampling = request.or(&checkpoint).resolve(100).unwrap();
        assert_eq!((sampling.temperature, sampling.top_k, sampling.top_p), (0.5, 7, 0.95));
    }
}
