//! Small sums over a row of logits, in f64.

/// `ln(sum(exp(logits)))`.
pub(crate) fn log_sum_exp(logits: &[f32]) -> f64 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if max == f32::NEG_INFINITY {
        return f64::NEG_INFINITY;
    }
    let max = f64::from(max);
    max + logits.iter().map(|&x| (f64::from(x) - max).exp()).sum::<f64>().ln()
}

/// The `n` largest logits, descending, ties to the lowest id. Sorts only what it keeps.
pub(crate) fn top(logits: &[f32], n: usize) -> Vec<(u32, f32)> {
    let mut top: Vec<(u32, f32)> = Vec::with_capacity(n + 1);
    for (id, &logit) in logits.iter().enumerate() {
        if top.len() == n && top.last().is_none_or(|last| logit <= last.1) {
            continue;
        }
        let at = top.partition_point(|other| other.1 >= logit);
        top.insert(at, (id as u32, logit));
        top.truncate(n);
    }
    top
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn top_keeps_the_largest_in_order() {
        let logits = [1.0, 5.0, 3.0, 5.0, -2.0, 4.0];
        assert_eq!(top(&logits, 3), [(1, 5.0), (3, 5.0), (5, 4.0)]);
        assert_eq!(top(&logits, 0), []);
        assert_eq!(top(&logits, 99).len(), 6);
    }

    #[test]
    fn log_sum_exp_of_a_known_row() {
        assert!((log_sum_exp(&[0.0; 4]) - 4f64.ln()).abs() < 1e-12);
        assert!((log_sum_exp(&[1000.0, 1000.0]) - (1000.0 + 2f64.ln())).abs() < 1e-9);
    }
}
