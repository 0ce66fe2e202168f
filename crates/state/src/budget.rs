//! Memory is admitted before it is allocated.

/// A limit in bytes and what has been taken of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    limit: usize,
    used: usize,
}

/// A request for memory that the budget does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} needs {}, but {} of the memory budget of {} is left; {advice}",
    human_bytes(*.needed), human_bytes(*.available), human_bytes(*.limit)
)]
pub struct OverBudget {
    /// What the memory was for.
    pub what: &'static str,
    /// Bytes asked for.
    pub needed: usize,
    /// Bytes left.
    pub available: usize,
    /// Bytes in all.
    pub limit: usize,
    /// What the user can do about it.
    pub advice: &'static str,
}

impl Budget {
    /// Nothing taken yet of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, used: 0 }
    }

    /// Takes `bytes`, or explains why not and takes nothing.
    pub fn take(
        &mut self,
        what: &'static str,
        bytes: usize,
        advice: &'static str,
    ) -> Result<(), OverBudget> {
        let (available, limit) = (self.available(), self.limit);
        if bytes > available {
            return Err(OverBudget { what, needed: bytes, available, limit, advice });
        }
        self.used += bytes;
        Ok(())
    }

    /// Returns `bytes` that were taken.
    pub fn give(&mut self, bytes: usize) {
        self.used = self.used.saturating_sub(bytes);
    }

    /// Bytes in all.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes taken.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Bytes left.
    pub fn available(&self) -> usize {
        self.limit - self.used
    }
}

/// `bytes` for people: three significant figures in binary units.
pub fn human_bytes(bytes: usize) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.decimals$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_until_the_limit_and_names_the_numbers() {
        let mut budget = Budget::new(1000);
        budget.take("weights", 600, "use a smaller model").unwrap();
        let error = budget.take("pages", 401, "shorten the context").unwrap_err();
        assert_eq!((error.needed, error.available, error.limit), (401, 400, 1000));
        assert_eq!(
            error.to_string(),
            "pages needs 401 B, but 400 B of the memory budget of 1000 B is left; shorten the context"
        );
        budget.take("pages", 400, "").unwrap();
        budget.give(400);
        assert_eq!(budget.used(), 600);
        assert!(budget.take("hostile", usize::MAX, "").is_err());
    }

    #[test]
    fn bytes_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (98_362_432, "93.8 MiB"),
            (10 << 20, "10.0 MiB"),
            (16 << 30, "16.0 GiB"),
        ] {
            assert_eq!(human_bytes(bytes), text);
        }
    }
}
