//! Values written as Python writes them: templates are developed against its `str`.

use minijinja::{Error, State, Value, value::ValueKind};

/// Deepest value written.
pub(super) const DEPTH: usize = 100;

/// Bytes that one unit of fuel pays for.
const BYTES_A_FUEL: usize = 64;

/// A text paid for as it grows, as values can be astronomically long without occupying memory.
pub(super) struct Text<'s> {
    pub text: String,
    pub state: &'s State<'s, 's>,
}

impl<'s> Text<'s> {
    pub fn new(state: &'s State<'_, '_>) -> Self {
        Self { text: String::new(), state }
    }

    pub fn push(&mut self, text: &str) -> Result<(), Error> {
        let before = self.text.len() / BYTES_A_FUEL;
        self.text.push_str(text);
        self.state.consume_fuel((self.text.len() / BYTES_A_FUEL - before) as u64)
    }
}

/// `str(value)`.
pub(super) fn text(state: &State<'_, '_>, value: &Value) -> Result<String, Error> {
    if let Some(text) = value.as_str() {
        return Ok(text.to_owned());
    }
    let mut out = Text::new(state);
    repr(value, &mut out, 0)?;
    Ok(out.text)
}

/// `repr(value)`.
fn repr(value: &Value, out: &mut Text<'_>, depth: usize) -> Result<(), Error> {
    if depth > DEPTH {
        return out.push("...");
    }
    match value.kind() {
        ValueKind::Undefined => Ok(()),
        ValueKind::None => out.push("None"),
        ValueKind::Bool => out.push(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number => out.push(&number(value)),
        ValueKind::String => out.push(&quoted(value.as_str().unwrap_or_default())),
        ValueKind::Seq | ValueKind::Iterable => {
            out.push("[")?;
            for (i, item) in value.try_iter()?.enumerate() {
                out.state.consume_fuel(1)?;
                out.push(if i > 0 { ", " } else { "" })?;
                repr(&item, out, depth + 1)?;
            }
            out.push("]")
        }
        ValueKind::Map => {
            out.push("{")?;
            for (i, key) in value.try_iter()?.enumerate() {
                out.push(if i > 0 { ", " } else { "" })?;
                repr(&key, out, depth + 1)?;
                out.push(": ")?;
                repr(&value.get_item(&key)?, out, depth + 1)?;
            }
            out.push("}")
        }
        _ => out.push(&value.to_string()),
    }
}

/// A string literal: single quotes unless the text has them and no double ones.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => out.extend(['\\', c]),
            c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

/// A number; floats as `repr(float)` writes them.
pub(super) fn number(value: &Value) -> String {
    match f64::try_from(value.clone()) {
        Ok(float) if !value.is_integer() => float_repr(float),
        _ => value.to_string(),
    }
}

/// The shortest digits that read back the same, with an exponent below 1e-4 and from 1e16.
fn float_repr(float: f64) -> String {
    let magnitude = float.abs();
    if !float.is_finite() || magnitude == 0.0 || (1e-4..1e16).contains(&magnitude) {
        return match float {
            f if f.is_nan() => "nan".into(),
            f if f.is_infinite() => if f > 0.0 { "inf" } else { "-inf" }.into(),
            f => format!("{f:?}"),
        };
    }
    let text = format!("{float:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, size) = match exponent.strip_prefix('-') {
        Some(size) => ('-', size),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{size:0>2}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::json::tests::render, *};

    #[test]
    fn values_as_python_prints_them() {
        let value = json!({"k": [true, null, "it's", 'q', 1.5]});
        assert_eq!(render("{{ x }}", value.clone()), r#"{'k': [True, None, "it's", 'q', 1.5]}"#);
        assert_eq!(render("{{ x.k[0] }}{{ x.nothing }}{{ x.k[2] }}", value), "Trueit's");
        assert_eq!(render("{{ x ~ '!' }}", json!(false)), "False!");
    }

    #[test]
    fn floats_as_repr() {
        let cases =
            [(0.1, "0.1"), (1e16, "1e+16"), (1.5e-7, "1.5e-07"), (-2.0, "-2.0"), (0.0, "0.0")];
        for (float, expected) in cases {
            assert_eq!(float_repr(float), expected);
        }
    }
}
