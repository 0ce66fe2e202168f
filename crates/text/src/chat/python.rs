//! Values written as Python writes them: templates are developed against `str` and `json.dumps`.

use minijinja::{
    Error, ErrorKind, State, Value,
    value::{Kwargs, ValueKind},
};

/// A JSON value as the template engine holds it.
pub(super) fn value(json: serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match json {
        Json::Null => Value::from(()),
        Json::Bool(truth) => truth.into(),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(integer), _) => integer.into(),
            (None, Some(integer)) => integer.into(),
            (None, None) => number.as_f64().unwrap_or(f64::NAN).into(),
        },
        Json::String(text) => text.into(),
        Json::Array(list) => list.into_iter().map(value).collect::<Vec<Value>>().into(),
        Json::Object(map) => {
            Value::from_pairs(map.into_iter().map(|(key, item)| (key, value(item))))
        }
    }
}

/// Deepest value written.
const DEPTH: usize = 100;

/// Bytes that one unit of fuel pays for.
const BYTES_A_FUEL: usize = 64;

/// A text paid for as it grows, as values can be astronomically long without occupying memory.
struct Text<'s> {
    text: String,
    state: &'s State<'s, 's>,
}

impl<'s> Text<'s> {
    fn new(state: &'s State<'_, '_>) -> Self {
        Self { text: String::new(), state }
    }

    fn push(&mut self, text: &str) -> Result<(), Error> {
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
fn number(value: &Value) -> String {
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

/// `json.dumps(value, ensure_ascii=False, indent=…, separators=…, sort_keys=…)`.
pub(super) fn json(state: &State<'_, '_>, value: &Value, options: &Kwargs) -> Result<Value, Error> {
    let separators: Option<Vec<String>> = options.get("separators")?;
    let indent = match options.get::<Option<Value>>("indent")? {
        Some(value) if value.is_integer() => {
            let width = i64::try_from(value).unwrap_or(0);
            Some(" ".repeat(width.clamp(0, 16) as usize))
        }
        Some(value) => value.as_str().map(str::to_owned),
        None => None,
    };
    let (item, key) = match separators.as_deref() {
        Some([item, key]) => (item.clone(), key.clone()),
        _ => (if indent.is_some() { "," } else { ", " }.into(), ": ".into()),
    };
    let style = Style {
        item,
        key,
        indent,
        ascii: options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        sort: options.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
    };
    options.assert_all_used()?;
    let mut out = Text::new(state);
    style.write(value, &mut out, 0)?;
    Ok(Value::from(out.text))
}

struct Style {
    item: String,
    key: String,
    indent: Option<String>,
    ascii: bool,
    sort: bool,
}

impl Style {
    fn write(&self, value: &Value, out: &mut Text<'_>, depth: usize) -> Result<(), Error> {
        if depth > DEPTH {
            return Err(Error::new(ErrorKind::InvalidOperation, "value nested too deep for JSON"));
        }
        match value.kind() {
            ValueKind::None => out.push("null"),
            ValueKind::Bool => out.push(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => out.push(match number(value).as_str() {
                "nan" => "NaN",
                "inf" => "Infinity",
                "-inf" => "-Infinity",
                finite => finite,
            }),
            ValueKind::String => out.push(&self.string(value.as_str().unwrap_or_default())),
            ValueKind::Seq | ValueKind::Iterable => {
                self.frame(["[", "]"], value.try_iter()?, out, depth, |item, out| {
                    self.write(&item, out, depth + 1)
                })
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sort {
                    keys.sort();
                }
                self.frame(["{", "}"], keys.into_iter(), out, depth, |key, out| {
                    out.push(&self.string(&text(out.state, &key)?))?;
                    out.push(&self.key)?;
                    self.write(&value.get_item(&key)?, out, depth + 1)
                })
            }
            kind => {
                let problem = format!("{kind} cannot be written as JSON");
                Err(Error::new(ErrorKind::InvalidOperation, problem))
            }
        }
    }

    /// Brackets around entries, on lines of their own when indenting.
    fn frame(
        &self,
        [open, close]: [&str; 2],
        entries: impl Iterator<Item = Value>,
        out: &mut Text<'_>,
        depth: usize,
        mut write: impl FnMut(Value, &mut Text<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let line = |out: &mut Text<'_>, depth: usize| match &self.indent {
            Some(indent) => out.push(&format!("\n{}", indent.repeat(depth))),
            None => Ok(()),
        };
        out.push(open)?;
        let mut empty = true;
        for entry in entries {
            out.push(if empty { "" } else { &self.item })?;
            empty = false;
            line(out, depth + 1)?;
            write(entry, out)?;
        }
        if !empty {
            line(out, depth)?;
        }
        out.push(close)
    }

    fn string(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + 2);
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
                c if self.ascii && !c.is_ascii() => {
                    let units = c.encode_utf16(&mut [0; 2]).to_vec();
                    units.iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
                }
                c => out.push(c),
            }
        }
        out.push('"');
        out
    }
}

#[cfg(test)]
mod tests {
    use minijinja::{Environment, context};
    use serde_json::json;

    use super::*;

    fn render(template: &'static str, value: serde_json::Value) -> String {
        let mut environment: Environment<'static> = super::super::environment::new();
        environment.add_template("t", template).unwrap();
        environment
            .get_template("t")
            .unwrap()
            .render(context! { x => super::value(value) })
            .unwrap()
    }

    #[test]
    fn json_as_python_dumps_it() {
        let value = json!({"b": [1, 2.0, true, null], "a": "é\n\"<\u{1}", "c": {}, "d": []});
        let cases = [
            (
                "{{ x|tojson }}",
                r#"{"b": [1, 2.0, true, null], "a": "é\n\"<\u0001", "c": {}, "d": []}"#,
            ),
            ("{{ x.b|tojson(indent=2) }}", "[\n  1,\n  2.0,\n  true,\n  null\n]"),
            ("{{ x.c|tojson(indent=4) }}", "{}"),
            ("{{ x.a|tojson(ensure_ascii=true) }}", r#""\u00e9\n\"<\u0001""#),
            (
                "{{ {'b': 1, 'a': 2}|tojson(sort_keys=true, separators=[',', ':']) }}",
                r#"{"a":2,"b":1}"#,
            ),
        ];
        for (template, expected) in cases {
            assert_eq!(render(template, value.clone()), expected, "{template}");
        }
    }

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
