//! Figures of an answer.

use serde_json::{Value, json};
use tessera_engine::Finished;

use crate::units;

/// One line: `31 prompt tokens at 412.0 t/s, 87 tokens at 45.3 t/s, first after 75.2 ms (stop)`.
pub fn line(finished: &Finished) -> String {
    let (usage, timings) = (&finished.usage, &finished.timings);
    let rate = |rate: Option<f64>| rate.map(|it| format!(" at {it:.1} t/s")).unwrap_or_default();
    let cached = match usage.cached_tokens {
        0 => String::new(),
        cached => format!(" ({cached} remembered)"),
    };
    format!(
        "{}{cached}{}, {}{}, first after {} ({})",
        units::plural(usage.prompt_tokens, "prompt token"),
        rate(finished.prefill_rate()),
        units::plural(usage.completion_tokens, "token"),
        rate(finished.decode_rate()),
        units::time(timings.first_token),
        finished.reason,
    )
}

/// The same figures for programs; times in seconds.
pub fn json(finished: &Finished) -> Value {
    let (usage, timings) = (&finished.usage, &finished.timings);
    json!({
        "finish_reason": finished.reason.as_str(),
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "cached_tokens": usage.cached_tokens,
            "completion_tokens": usage.completion_tokens,
        },
        "timings": {
            "queued_s": timings.queued.as_secs_f64(),
            "prefill_s": timings.prefill.as_secs_f64(),
            "decode_s": timings.decode.as_secs_f64(),
            "first_token_s": timings.first_token.as_secs_f64(),
            "prefill_tokens_per_second": finished.prefill_rate(),
            "decode_tokens_per_second": finished.decode_rate(),
        },
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tessera_engine::{FinishReason, Timings, Usage};

    use super::*;

    #[test]
    fn figures() {
        let finished = Finished {
            reason: FinishReason::Stop,
            usage: Usage { prompt_tokens: 1031, cached_tokens: 31, completion_tokens: 11 },
            timings: Timings {
                prefill: Duration::from_secs(2),
                decode: Duration::from_millis(250),
                first_token: Duration::from_millis(2010),
                ..Timings::default()
            },
        };
        assert_eq!(
            line(&finished),
            "1,031 prompt tokens (31 remembered) at 500.0 t/s, 11 tokens at 40.0 t/s, \
             first after 2.01 s (stop)"
        );
        assert_eq!(json(&finished)["timings"]["decode_tokens_per_second"], 40.0);
    }
}
