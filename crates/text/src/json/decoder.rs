//! What bytes a token of a `tokenizer.json` stands for, read off its `decoder`.
//!
//! Decoders of that format work on lists of strings and some panic on hostile ones. Those of language
//! models all amount to a rule that gives each token its bytes, which is what streaming needs; a
//! decoder that is no such rule is refused.

use std::borrow::Cow;

use serde_json::Value;

use crate::{Error, Result, bpe::byte_of, bytes::unspell, spm::SPACE};

/// From a token's spelling to its bytes.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    byte_level: bool,
    byte_fallback: bool,
    replace: Vec<(String, String)>,
    /// Whether a space at the very beginning of a text is dropped.
    pub leading_space: bool,
}

impl Decoder {
    /// Reads the `decoder` object of a `tokenizer.json`.
    pub fn from_json(origin: &str, json: Option<&Value>) -> Result<Self> {
        let mut decoder = Self::default();
        let json = json.ok_or(Error::Missing { origin: origin.into(), what: "decoder" })?;
        decoder.add(origin, json)?;
        Ok(decoder)
    }

    fn add(&mut self, origin: &str, step: &Value) -> Result<()> {
        let text = |key: &str| step.get(key).and_then(Value::as_str);
        let kind = text("type").unwrap_or("without a type");
        let known = match kind {
            "Sequence" => match step.get("decoders").and_then(Value::as_array) {
                Some(steps) => return steps.iter().try_for_each(|step| self.add(origin, step)),
                None => false,
            },
            "ByteLevel" => {
                self.byte_level = true;
                true
            }
            "ByteFallback" => {
                self.byte_fallback = true;
                true
            }
            "Fuse" => true,
            "Replace" => {
                let from =
                    step.get("pattern").and_then(|p| p.get("String")).and_then(Value::as_str);
                match (from, text("content")) {
                    (Some(from), Some(to)) if !from.is_empty() => {
                        self.replace.push((from.to_owned(), to.to_owned()));
                        true
                    }
                    _ => false,
                }
            }
            "Strip" => {
                let count = |key: &str| step.get(key).and_then(Value::as_u64);
                self.leading_space = count("start") == Some(1);
                text("content") == Some(" ")
                    && count("start") <= Some(1)
                    && count("stop") == Some(0)
            }
            "Metaspace" => {
                let from = text("replacement").unwrap_or("\u{2581}").to_owned();
                self.replace.push((from, " ".into()));
                let scheme = text("prepend_scheme").unwrap_or("always");
                let prefix = step.get("add_prefix_space").is_none_or(|value| value != false);
                self.leading_space = scheme != "never" && prefix;
                true
            }
            _ => false,
        };
        if known {
            return Ok(());
        }
        Err(Error::Unsupported {
            origin: origin.into(),
            what: "decoder",
            name: kind.into(),
            hint: "language models use ByteLevel, or Replace with ByteFallback, Fuse and Strip",
        })
    }

    /// The bytes of an ordinary token.
    pub fn bytes(&self, token: &str) -> Vec<u8> {
        if self.byte_fallback
            && let Some(byte) = byte_of(token)
        {
            return vec![byte];
        }
        match self.byte_level {
            true => unspell(&self.replaced(token)),
            false => self.replaced(token).into_owned().into_bytes(),
        }
    }

    /// The text of an added token, which spells no bytes but may hold what stands for a space.
    pub fn replaced<'t>(&self, token: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(token);
        for (from, to) in &self.replace {
            if text.contains(from.as_str()) {
                text = Cow::Owned(text.replace(from.as_str(), to));
            }
        }
        text
    }
}

/// The text of a SentencePiece piece: its marks are spaces.
pub(crate) fn unescape(token: &str) -> String {
    token.replace(SPACE, " ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn llama_and_byte_level_rules() {
        let llama = json!({"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]});
        let llama = Decoder::from_json("t", Some(&llama)).unwrap();
        assert!(llama.leading_space);
        assert_eq!((llama.bytes("▁a▁"), llama.bytes("<0xF0>")), (b" a ".to_vec(), vec![0xf0]));
        let bytes = Decoder::from_json("t", Some(&json!({"type": "ByteLevel"}))).unwrap();
        assert_eq!(
            (bytes.bytes("Ġé"), bytes.bytes("<0x0A>")),
            (b" \xe9".to_vec(), b"<0x0A>".into())
        );
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for json in [
            json!({"type": "CTC"}),
            json!({"type": "Strip", "content": "x", "start": 9, "stop": 9}),
            json!({"type": "Replace", "pattern": {"Regex": "(("}, "content": ""}),
            json!({"type": "Sequence"}),
            json!({}),
        ] {
            assert!(matches!(Decoder::from_json("t", Some(&json)), Err(Error::Unsupported { .. })));
        }
        assert!(Decoder::from_json("t", None).is_err());
    }
}
