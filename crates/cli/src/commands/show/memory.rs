//! What a model needs of the memory, reckoned without loading it.

use serde::Serialize;
use tessera_graph::{KvType, Limits, fuse, plan};
use tessera_models::{Bound, Info};

use crate::{machine, units};

/// Tokens that prefill takes at once, as the engine does unless told otherwise.
const CHUNK: usize = 512;

/// Bytes needed, and what is there.
#[derive(Debug, Clone, Serialize)]
pub struct Memory {
    weights: u64,
    compute: u64,
    per_token: u64,
    /// Positions reckoned with.
    context: usize,
    /// Keys and values of such a context.
    keys_values: u64,
    total: u64,
    /// What a model may take here; absent where the system does not say.
    allowed: Option<u64>,
    /// The longest context that fits, up to `context`.
    longest_context: Option<usize>,
    fits: Option<bool>,
}

/// Reckons for `context` positions, or as many as the model was made for.
pub fn reckon(bound: &Bound, context: Option<usize>) -> Memory {
    let (info, kv) = (&bound.info, KvType::F16);
    let context = context.unwrap_or(info.context);
    let limits = Limits { tokens: CHUNK, outputs: 8, runs: 1, context, kv };
    let weights = info.bytes as u64;
    let compute = plan(&fuse(&bound.graph), &limits).bytes as u64;
    let keys_values = info.kv_bytes(context, kv) as u64;
    let allowed = machine::budget();
    let left = allowed.map(|it| it.saturating_sub(weights + compute));
    let longest = left.map(|it| longest(info, context, it));
    Memory {
        weights,
        compute,
        per_token: info.kv_bytes_per_token(kv) as u64,
        context,
        keys_values,
        total: weights + compute + keys_values,
        allowed,
        longest_context: longest,
        fits: longest.map(|it| it >= context.min(CHUNK)),
    }
}

/// The most positions, up to `context`, whose keys and values take no more than `bytes`.
fn longest(info: &Info, context: usize, bytes: u64) -> usize {
    let (mut low, mut high) = (0, context);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        match info.kv_bytes(middle, KvType::F16) as u64 <= bytes {
            true => low = middle,
            false => high = middle - 1,
        }
    }
    low
}

impl Memory {
    /// Lines of the report.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let number = |n: usize| units::thousands(n as u64);
        let verdict = match (self.allowed, self.longest_context, self.fits) {
            (Some(allowed), Some(longest), Some(true)) if longest >= self.context => {
                format!("yes: {} allowed", units::bytes(allowed))
            }
            (Some(allowed), Some(longest), Some(true)) => {
                format!(
                    "yes, with a context of {}: {} allowed",
                    number(longest),
                    units::bytes(allowed)
                )
            }
            (Some(allowed), ..) => {
                format!("no: {} allowed, which is 80 % of what is free", units::bytes(allowed))
            }
            (None, ..) => "unknown: the system does not say how much memory is free".into(),
        };
        vec![
            (
                "memory",
                format!(
                    "{} = {} of weights + {} to compute in + {} for {} tokens of context",
                    units::bytes(self.total),
                    units::bytes(self.weights),
                    units::bytes(self.compute),
                    units::bytes(self.keys_values),
                    number(self.context),
                ),
            ),
            ("", format!("{} for each token", units::bytes(self.per_token))),
            ("fits", verdict),
        ]
    }
}
