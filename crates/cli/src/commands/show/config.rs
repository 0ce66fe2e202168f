//! A checkpoint's configuration, whichever form it has.

use serde_json::{Map, Value, json};
use tessera_formats::{
    Checkpoint,
    gguf::{self, Array},
};

/// Longest list shown whole; vocabularies are not.
const WHOLE: usize = 16;

/// The licence that a GGUF file states.
pub fn licence(checkpoint: &Checkpoint) -> Option<String> {
    let metadata = &checkpoint.gguf()?.metadata;
    metadata.opt_str("general.license").ok()?.map(str::to_owned)
}

/// `config.json`, or the metadata of a GGUF file with long lists cut down to their length.
pub fn json(checkpoint: &Checkpoint) -> Value {
    match checkpoint.gguf() {
        Some(gguf) => {
            let pairs = gguf.metadata.iter().map(|(key, it)| (key.to_owned(), value(it)));
            Value::Object(pairs.collect::<Map<_, _>>())
        }
        None => Value::Object(checkpoint.config().raw().clone()),
    }
}

/// One line a field.
pub fn lines(config: &Value) -> String {
    let fields = config.as_object().into_iter().flatten();
    fields.map(|(key, value)| format!("  {key} = {}\n", shorten(value))).collect()
}

fn shorten(value: &Value) -> String {
    const LONGEST: usize = 100;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}… ({} characters)", &text[..end], text.chars().count()),
        None => text,
    }
}

fn value(value: &gguf::Value) -> Value {
    use gguf::Value::*;
    match value {
        U8(it) => json!(it),
        I8(it) => json!(it),
        U16(it) => json!(it),
        I16(it) => json!(it),
        U32(it) => json!(it),
        I32(it) => json!(it),
        U64(it) => json!(it),
        I64(it) => json!(it),
        F32(it) => json!(it),
        F64(it) => json!(it),
        Bool(it) => json!(it),
        String(it) => json!(it),
        Array(it) => list(it),
    }
}

fn list(array: &Array) -> Value {
    if array.len() > WHOLE {
        return json!(format!("list of {}", array.len()));
    }
    match array {
        Array::U8(it) => json!(it),
        Array::I8(it) => json!(it),
        Array::U16(it) => json!(it),
        Array::I16(it) => json!(it),
        Array::U32(it) => json!(it),
        Array::I32(it) => json!(it),
        Array::U64(it) => json!(it),
        Array::I64(it) => json!(it),
        Array::F32(it) => json!(it),
        Array::F64(it) => json!(it),
        Array::Bool(it) => json!(it),
        Array::Strings(it) => it.iter().map(Value::from).collect(),
        Array::Arrays(it) => it.iter().map(list).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_things_are_cut() {
        let array = Array::U32((0..100).collect());
        assert_eq!(list(&array), json!("list of 100"));
        assert_eq!(list(&Array::U32(vec![1, 2])), json!([1, 2]));
        let text = lines(&json!({ "a": 1, "b": "ä".repeat(200) }));
        assert!(text.starts_with("  a = 1\n  b = \"ää"));
        assert!(text.ends_with("… (202 characters)\n"));
    }
}
