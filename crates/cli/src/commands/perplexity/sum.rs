//! Perplexity as a running sum.

/// Sum and sum of squares of negative log probabilities, in f64.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum {
    count: u64,
    sum: f64,
    squares: f64,
}

/// What a sum comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// `exp(mean)`.
    pub perplexity: f64,
    /// Standard error of the perplexity, to first order: perplexity times that of the mean.
    pub error: f64,
    /// Mean negative log probability.
    pub mean: f64,
    /// Tokens scored.
    pub count: u64,
}

impl Sum {
    /// Adds tokens by their log probabilities.
    pub fn add(&mut self, logprobs: &[f32]) {
        for &logprob in logprobs {
            let loss = -f64::from(logprob);
            self.count += 1;
            self.sum += loss;
            self.squares += loss * loss;
        }
    }

    /// The outcome; `None` while nothing has been added.
    pub fn result(&self) -> Option<Outcome> {
        if self.count == 0 {
            return None;
        }
        let n = self.count as f64;
        let mean = self.sum / n;
        let variance = (self.squares / n - mean * mean).max(0.0);
        let perplexity = mean.exp();
        let error = if n > 1.0 { perplexity * (variance / (n - 1.0)).sqrt() } else { 0.0 };
        Some(Outcome { perplexity, error, mean, count: self.count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_sums() {
        let mut sum = Sum::default();
        assert_eq!(sum.result(), None);
        sum.add(&[-1.0, -3.0]);
        let outcome = sum.result().unwrap();
        assert!((outcome.perplexity - 2f64.exp()).abs() < 1e-12);
        assert!((outcome.error - 2f64.exp()).abs() < 1e-12, "{}", outcome.error);
        sum.add(&[-2.0; 100]);
        assert!(sum.result().unwrap().error < outcome.error);
    }
}
