//! Values of flags and of `/set`, checked where they are read.
//!
//! The bounds are the engine's; they are tested here so that a mistyped flag is a usage error
//! before a model is loaded.

/// A number from `low` to `high`; `low` itself only if it is not `f32::MIN_POSITIVE`.
fn number(text: &str, low: f32, high: f32) -> Result<f32, String> {
    match text.trim().parse::<f32>() {
        Ok(value) if (low..=high).contains(&value) => Ok(value),
        _ if low == f32::MIN_POSITIVE => Err(format!("must be a number above 0, at most {high}")),
        _ => Err(format!("must be a number from {low} to {high}")),
    }
}

/// 0 to 100.
pub fn temperature(text: &str) -> Result<f32, String> {
    number(text, 0.0, 100.0)
}

/// Above 0 up to 1.
pub fn top_p(text: &str) -> Result<f32, String> {
    number(text, f32::MIN_POSITIVE, 1.0)
}

/// 0 to 1.
pub fn min_p(text: &str) -> Result<f32, String> {
    number(text, 0.0, 1.0)
}

/// Above 0 up to 100.
pub fn repetition_penalty(text: &str) -> Result<f32, String> {
    number(text, f32::MIN_POSITIVE, 100.0)
}

/// -100 to 100.
pub fn penalty(text: &str) -> Result<f32, String> {
    number(text, -100.0, 100.0)
}

/// A whole number above 0.
pub fn positive(text: &str) -> Result<usize, String> {
    match text.trim().parse() {
        Ok(value) if value > 0 => Ok(value),
        _ => Err("must be a whole number above 0".into()),
    }
}

/// Rows that kernels can be tuned for.
pub fn tuned_rows(text: &str) -> Result<u32, String> {
    let known = tessera_gpu::tune::ROWS;
    let rows = text.trim().parse().ok().filter(|rows| known.contains(rows));
    rows.ok_or_else(|| format!("must be of {}", known.map(|rows| rows.to_string()).join(", ")))
}

/// Some minutes, up to a year's.
pub fn minutes(text: &str) -> Result<f64, String> {
    let minutes = text.trim().parse().ok().filter(|minutes| (0.0..=525_600.0).contains(minutes));
    minutes.ok_or_else(|| "must be a number of minutes, such as 0.5".to_owned())
}

/// A size in bytes, with a unit: `800M`, `4GiB`, `1.5g`.
pub fn size(text: &str) -> Result<u64, String> {
    let error = || "must be a size such as 800M or 4G".to_owned();
    let text = text.trim().to_ascii_lowercase();
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let value: f64 = text[..split].trim().parse().map_err(|_| error())?;
    let shift = match text[split..].trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(error()),
    };
    let bytes = value * (1u64 << shift) as f64;
    match (1.0..=1e18).contains(&bytes) {
        true => Ok(bytes as u64),
        false => Err(error()),
    }
}

/// An instruction set that this machine has.
pub fn isa(text: &str) -> Result<tessera_cpu::Level, String> {
    text.parse()
}

/// A type of keys and values.
pub fn kv(text: &str) -> Result<tessera_graph::KvType, String> {
    use tessera_graph::KvType;
    match text {
        "f16" => Ok(KvType::F16),
        "bf16" => Ok(KvType::BF16),
        "f32" => Ok(KvType::F32),
        _ => Err(format!("unknown type {text:?}; f16, bf16 and f32 are possible")),
    }
}

/// Token ids: numbers set apart by spaces, commas or line ends, also as a JSON list.
pub fn ids(text: &str) -> Result<Vec<u32>, String> {
    let text = text.trim();
    let inner = text.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(text);
    inner
        .split(|c: char| c == ',' || c.is_whitespace())
        .filter(|part| !part.is_empty())
        .map(|part| part.parse().map_err(|_| format!("`{part}` is not a token id")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_kept() {
        assert_eq!(temperature("0.5"), Ok(0.5));
        for bad in ["nan", "inf", "-1", "", "1e9", "hot"] {
            assert!(temperature(bad).is_err(), "{bad}");
        }
        assert_eq!(top_p("0").unwrap_err(), "must be a number above 0, at most 1");
        assert!(top_p("1").is_ok() && min_p("0").is_ok() && penalty("-2").is_ok());
        assert_eq!((minutes("0"), minutes(" 1.5 ")), (Ok(0.0), Ok(1.5)));
        for bad in ["nan", "inf", "-1", "", "1e9", "an hour"] {
            assert!(minutes(bad).is_err(), "{bad}");
        }
        assert!(positive("0").is_err() && positive("-1").is_err() && positive("1").is_ok());
    }

    #[test]
    fn sizes_and_ids() {
        assert_eq!(size("800M"), Ok(800 << 20));
        assert_eq!(size("1.5 GiB"), Ok(3 << 29));
        assert_eq!(size("12"), Ok(12));
        for bad in ["", "0", "-1", "G", "1X", "nan", "1e300T"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        assert_eq!(ids("[1, 2,3]\n"), Ok(vec![1, 2, 3]));
        assert_eq!(ids("1 2\t3"), Ok(vec![1, 2, 3]));
        assert_eq!(ids(""), Ok(vec![]));
        assert!(
            ids("1 x").unwrap_err().contains("`x`") && ids("-1").is_err() && ids("[1").is_err()
        );
    }
}
