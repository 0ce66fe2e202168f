//! JSON as checkpoints have it: Python's dialect, bounded.

use serde_json::Value;

/// The key under which a number that JSON cannot write is kept, as transformers does.
const FLOAT_TAG: &str = "__float__";

/// Parses a document, accepting the bare `NaN`, `Infinity` and `-Infinity` that Python writes.
///
/// They become `{"__float__": "Infinity"}` objects, which [`float`] reads. A key that appears twice
/// has its last value, as in Python. Nesting is limited by serde_json (128 levels).
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    match serde_json::from_slice(bytes) {
        Ok(value) => Ok(value),
        Err(error) => match tag_floats(bytes) {
            Some(tagged) => serde_json::from_slice(&tagged),
            None => Err(error),
        },
    }
}

/// A number, or one of the tagged ones.
pub(crate) fn float(value: &Value) -> Option<f64> {
    let Value::Object(map) = value else { return value.as_f64() };
    match (map.len(), map.get(FLOAT_TAG)?.as_str()?) {
        (1, "Infinity") => Some(f64::INFINITY),
        (1, "-Infinity") => Some(f64::NEG_INFINITY),
        (1, "NaN") => Some(f64::NAN),
        _ => None,
    }
}

/// The document with bare non-finite numbers tagged, or `None` when it has none.
fn tag_floats(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len());
    let (mut at, mut in_string, mut found) = (0, false, false);
    while at < bytes.len() {
        let rest = &bytes[at..];
        let word = ["-Infinity", "Infinity", "NaN"]
            .into_iter()
            .find(|word| !in_string && rest.starts_with(word.as_bytes()));
        if let Some(word) = word {
            out.extend_from_slice(format!("{{\"{FLOAT_TAG}\":\"{word}\"}}").as_bytes());
            at += word.len();
            found = true;
            continue;
        }
        let step = if in_string && rest[0] == b'\\' { rest.len().min(2) } else { 1 };
        in_string ^= rest[0] == b'"' && step == 1;
        out.extend_from_slice(&rest[..step]);
        at += step;
    }
    found.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_non_finite_numbers_are_read() {
        let value =
            parse(br#"{"a": [0.0, Infinity, -Infinity], "s": "NaN \" Infinity", "n": NaN}"#);
        let value = value.unwrap();
        assert_eq!(float(&value["a"][0]), Some(0.0));
        assert_eq!(float(&value["a"][1]), Some(f64::INFINITY));
        assert_eq!(float(&value["a"][2]), Some(f64::NEG_INFINITY));
        assert!(float(&value["n"]).unwrap().is_nan());
        assert_eq!(value["s"], "NaN \" Infinity");
        assert_eq!(float(&value["s"]), None);
    }

    #[test]
    fn what_is_not_json_stays_an_error() {
        for bad in ["", "{", "{\"a\": Nan}", "\"\\", "NaN NaN", "{\"a\": InfinityInfinity}"] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(parse("[".repeat(100_000).as_bytes()).is_err());
    }
}
