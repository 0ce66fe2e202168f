//! How the model draws tokens when nobody says otherwise, and whose word that is.

use serde::Serialize;
use tessera_engine::{Preview, SamplingSource};

/// The settings that are not neutral, or could not be.
#[derive(Debug, Clone, Serialize)]
pub struct Sampling {
    temperature: f32,
    top_k: u32,
    top_p: f32,
    min_p: f32,
    repetition_penalty: f32,
    source: &'static str,
}

impl From<&Preview> for Sampling {
    fn from(preview: &Preview) -> Self {
        let all = &preview.sampling;
        Self {
            temperature: all.temperature.unwrap_or(1.0),
            top_k: all.top_k.unwrap_or(0),
            top_p: all.top_p.unwrap_or(1.0),
            min_p: all.min_p.unwrap_or(0.0),
            repetition_penalty: all.repetition_penalty.unwrap_or(1.0),
            source: match preview.sampling_source {
                SamplingSource::Checkpoint => "generation_config.json",
                SamplingSource::Catalogue => "catalogue",
                _ => "default",
            },
        }
    }
}

impl Sampling {
    /// One line: `temperature 0.2, top-p 0.9 (recommended on the model's card)`.
    pub fn line(&self) -> String {
        let source = match self.source {
            "generation_config.json" => "as its generation_config.json says",
            "catalogue" => "as its makers recommend; from the catalogue",
            _ => "ours: the model says nothing",
        };
        if self.temperature == 0.0 {
            return format!("always the most likely token ({source})");
        }
        let mut parts = vec![format!("temperature {}", self.temperature)];
        let mut also = |name: &str, value: f32, neutral: f32| {
            if value != neutral {
                parts.push(format!("{name} {value}"));
            }
        };
        also("top-k", self.top_k as f32, 0.0);
        also("top-p", self.top_p, 1.0);
        also("min-p", self.min_p, 0.0);
        also("repetition-penalty", self.repetition_penalty, 1.0);
        format!("{} ({source})", parts.join(", "))
    }
}
