//! JSON in and out of templates, written as Python's `json.dumps` writes it.

use minijinja::{
    Error, ErrorKind, State, Value,
    value::{Kwargs, ValueKind},
};

use super::python::{DEPTH, Text, number, text};

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

/// `json.dumps(value, ensure_ascii=False, indent=…, separators=…, sort_keys=…)`.
pub(super) fn dumps(
    state: &State<'_, '_>,
    value: &Value,
    options: &Kwargs,
) -> Result<Value, Error> {
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
            out.state.consume_fuel(1)?;
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
pub(super) mod tests {
    use minijinja::{Environment, context};
    use serde_json::json;

    use super::*;

    /// Renders a template that sees `x`.
    pub fn render(template: &'static str, json: serde_json::Value) -> String {
        let mut environment: Environment<'static> = super::super::environment::new();
        environment.add_template("t", template).unwrap();
        let context = context! { x => value(json) };
        super::super::checked::render(&environment, "t", context).unwrap()
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
}
