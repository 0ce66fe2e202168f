//! What a model needs of the memory, in the engine's words; nothing is loaded for them.

use serde::Serialize;
use tessera_engine::{ContextReason, Preview};

use crate::units;

/// Bytes needed, and what is there.
#[derive(Debug, Clone, Serialize)]
pub struct Memory {
    weights: usize,
    compute: usize,
    per_token: usize,
    /// Positions reckoned with: the context the model would have.
    context: usize,
    /// What is remembered of such a context.
    remembered: usize,
    /// Recurrent states of a sequence, of which there are a few copies.
    recurrent: usize,
    total: usize,
    /// What a model may take.
    allowed: usize,
    fits: bool,
    /// Positions the model was made for, where fewer fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    shortened_from: Option<usize>,
    /// Why it does not fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
}

impl From<&Preview> for Memory {
    fn from(preview: &Preview) -> Self {
        let &Preview { weights, arena, positions, context_bytes, .. } = preview;
        let shortened_from = match &preview.context {
            Ok(choice) => match choice.reason {
                ContextReason::Memory { trained } => Some(trained),
                _ => None,
            },
            Err(_) => None,
        };
        Self {
            weights,
            compute: arena,
            per_token: preview.token_bytes,
            context: positions,
            remembered: context_bytes,
            recurrent: preview.recurrent_bytes,
            total: weights.saturating_add(arena).saturating_add(context_bytes),
            allowed: preview.budget,
            fits: preview.context.is_ok(),
            shortened_from,
            refusal: preview.context.as_ref().err().map(ToString::to_string),
        }
    }
}

impl Memory {
    /// Lines of the report.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let number = |n: usize| units::thousands(n as u64);
        let bytes = |n: usize| units::bytes(n as u64);
        let verdict = match (&self.refusal, self.shortened_from) {
            (Some(refusal), _) => format!("no: {refusal}"),
            (None, Some(trained)) => format!(
                "yes, with {} of the {} tokens it was made for: {} allowed",
                number(self.context),
                number(trained),
                bytes(self.allowed)
            ),
            (None, None) => format!("yes: {} allowed", bytes(self.allowed)),
        };
        let each = match self.recurrent {
            0 => format!("{} for each token", bytes(self.per_token)),
            states => format!(
                "{} for each token, {} for recurrent states",
                bytes(self.per_token),
                bytes(states)
            ),
        };
        vec![
            (
                "memory",
                format!(
                    "{} = {} of weights + {} to compute in + {} for {} tokens of context",
                    bytes(self.total),
                    bytes(self.weights),
                    bytes(self.compute),
                    bytes(self.remembered),
                    number(self.context),
                ),
            ),
            ("", each),
            ("fits", verdict),
        ]
    }
}
