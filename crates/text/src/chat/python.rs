//! Values written as Python writes them: templates are developed against `str` and `json.dumps`.

use minijinja::{
    Error, ErrorKind, Value,
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

/// `str(value)`.
pub(super) fn text(value: &Value) -> String {
    if let Some(text) = value.as_str() {
        return text.to_owned();
    }
    let mut out = String::new();
    repr(value, &mut out, 0);
    out
}

/// `repr(value)`.
fn repr(value: &Value, out: &mut String, depth: usize) {
    if depth > DEPTH {
        return out.push_str("...");
    }
    match value.kind() {
        ValueKind::Undefined => {}
        ValueKind::None => out.push_str("None"),
        ValueKind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number => out.push_str(&number(value)),
        ValueKind::String => quote(value.as_str().unwrap_or_default(), out),
        ValueKind::Seq | ValueKind::Iterable => {
            out.push('[');
            for (i, item) in value.try_iter().into_iter().flatten().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                repr(&item, out, depth + 1);
            }
            out.push(']');
        }
        ValueKind::Map => {
            out.push('{');
            for (i, key) in value.try_iter().into_iter().flatten().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                repr(&key, out, depth + 1);
                out.push_str(": ");
                repr(&value.get_item(&key).unwrap_or_default(), out, depth + 1);
            }
            out.push('}');
        }
        _ => out.push_str(&value.to_string()),
    }
}

/// A string literal: single quotes unless the text has them and no double ones.
fn quote(text: &str, out: &mut String) {
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
pub(super) fn json(value: &Value, options: &Kwargs) -> Result<Value, Error> {
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
    let mut out = String::new();
    style.write(value, &mut out, 0)?;
    Ok(Value::from(out))
}

struct Style {
    item: String,
    key: String,
    indent: Option<String>,
    ascii: bool,
    sort: bool,
}

impl Style {
    fn write(&self, value: &Value, out: &mut String, depth: usize) -> Result<(), Error> {
        if depth > DEPTH {
            return Err(Error::new(ErrorKind::InvalidOperation, "value nested too deep for JSON"));
        }
        match value.kind() {
            ValueKind::None => out.push_str("null"),
            ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => out.push_str(&match number(value).as_str() {
                "nan" => "NaN".to_owned(),
                "inf" => "Infinity".to_owned(),
                "-inf" => "-Infinity".to_owned(),
                finite => finite.to_owned(),
            }),
            ValueKind::String => self.string(value.as_str().unwrap_or_default(), out),
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.frame(['[', ']'], items.len(), out, depth, |i, out| {
                    self.write(&items[i], out, depth + 1)
                })?;
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sort {
                    keys.sort();
                }
                self.frame(['{', '}'], keys.len(), out, depth, |i, out| {
                    match keys[i].as_str() {
                        Some(text) => self.string(text, out),
                        None => self.string(&text(&keys[i]), out),
                    }
                    out.push_str(&self.key);
                    self.write(&value.get_item(&keys[i])?, out, depth + 1)
                })?;
            }
            kind => {
                let problem = format!("{kind} cannot be written as JSON");
                return Err(Error::new(ErrorKind::InvalidOperation, problem));
            }
        }
        Ok(())
    }

    /// Brackets around `len` entries, on lines of their own when indenting.
    fn frame(
        &self,
        [open, close]: [char; 2],
        len: usize,
        out: &mut String,
        depth: usize,
        mut entry: impl FnMut(usize, &mut String) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let line = |out: &mut String, depth: usize| {
            if let Some(indent) = &self.indent
                && len > 0
            {
                out.push('\n');
                out.extend(std::iter::repeat_n(indent.as_str(), depth));
            }
        };
        out.push(open);
        for i in 0..len {
            out.push_str(if i > 0 { &self.item } else { "" });
            line(out, depth + 1);
            entry(i, out)?;
        }
        line(out, depth);
        out.push(close);
        Ok(())
    }

    fn string(&self, text: &str, out: &mut String) {
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
    }
}

#[cfg(test)]
mod tests {
    use minijinja::{Environment, context};
    use serde_json::json;

    use super::*;

    fn render(template: &str, value: serde_json::Value) -> String {
        let mut environment: Environment<'_> = super::super::environment::new();
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
        assert_eq!(render("{{ (x|string) ~ '!' }}", json!(false)), "False!");
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
