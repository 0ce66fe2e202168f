//! The `model` part of a `tokenizer.json`.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use tokenizers::{Model as _, ModelWrapper};

use super::{Words, limits};
use crate::{
    Error, Result,
    bpe::{Bpe, Options, byte_of},
    gguf::MAX_TOKENS,
    guard::guarded,
    vocab::Vocab,
};

/// A model's vocabulary, by id, and what else it needs.
pub(super) struct ModelFile {
    /// Texts by id; holes are `None`.
    pub texts: Vec<Option<String>>,
    source: Source,
}

enum Source {
    Bpe(Box<BpeFile>),
    Wrapped(Box<ModelWrapper>),
}

#[derive(Deserialize)]
struct BpeFile {
    vocab: Pairs,
    merges: Vec<Merge>,
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    fuse_unk: Option<bool>,
    byte_fallback: Option<bool>,
    ignore_merges: Option<bool>,
    dropout: Option<f32>,
}

/// A vocabulary object, in file order.
struct Pairs(Vec<(String, u32)>);

/// `"left right"` or `["left", "right"]`.
struct Merge(String, String);

/// Reads the model; its `type` is absent in old byte-pair files.
pub(super) fn read(origin: &str, raw: &RawValue) -> Result<ModelFile> {
    #[derive(Deserialize)]
    struct Kind {
        r#type: Option<String>,
        merges: Option<serde::de::IgnoredAny>,
    }
    let invalid = |detail: String| Error::Invalid { origin: origin.into(), what: "model", detail };
    let kind: Kind = serde_json::from_str(raw.get()).map_err(|e| invalid(e.to_string()))?;
    match (kind.r#type.as_deref(), kind.merges) {
        (Some("BPE"), _) | (None, Some(_)) => {
            let file: BpeFile =
                serde_json::from_str(raw.get()).map_err(|e| invalid(e.to_string()))?;
            if file.dropout.is_some_and(|dropout| dropout != 0.0) {
                return Err(Error::Unsupported {
                    origin: origin.into(),
                    what: "model option",
                    name: "dropout".into(),
                    hint: "it makes encoding random; set it to null",
                });
            }
            let texts = by_id(origin, file.vocab.0.iter().map(|(text, id)| (text.clone(), *id)))?;
            Ok(ModelFile { texts, source: Source::Bpe(Box::new(file)) })
        }
        _ => {
            let model: ModelWrapper =
                guarded(|| serde_json::from_str(raw.get()).map_err(|error| error.to_string()))
                    .map_err(invalid)?;
            let texts = by_id(origin, model.get_vocab().into_iter())?;
            Ok(ModelFile { texts, source: Source::Wrapped(Box::new(model)) })
        }
    }
}

impl ModelFile {
    /// Whether a token is one raw byte.
    pub fn is_byte(&self, text: &str) -> bool {
        match &self.source {
            Source::Bpe(file) => file.byte_fallback == Some(true) && byte_of(text).is_some(),
            Source::Wrapped(model) => match &**model {
                ModelWrapper::Unigram(model) => model.byte_fallback() && byte_of(text).is_some(),
                _ => false,
            },
        }
    }

    /// The token for what the vocabulary lacks.
    pub fn unknown(&self) -> Option<u32> {
        let Source::Bpe(file) = &self.source else { return None };
        let text = file.unk_token.as_deref()?;
        self.texts.iter().position(|t| t.as_deref() == Some(text)).map(|id| id as u32)
    }

    /// The model over the finished vocabulary.
    pub fn build(self, origin: &str, vocab: &Vocab) -> Result<Words> {
        let unknown = self.unknown();
        let file = match self.source {
            Source::Bpe(file) => *file,
            Source::Wrapped(model) => return Ok(Words::Wrapped(model)),
        };
        if let (Some(text), None) = (&file.unk_token, unknown) {
            let detail = format!("unk_token `{text}` is not in the vocabulary");
            return Err(Error::Invalid { origin: origin.into(), what: "model", detail });
        }
        let options = Options {
            whole_words: file.ignore_merges.unwrap_or(false),
            byte_fallback: file.byte_fallback.unwrap_or(false),
            unknown,
            fuse_unknown: file.fuse_unk.unwrap_or(false),
            prefix: file.continuing_subword_prefix.unwrap_or_default(),
            suffix: file.end_of_word_suffix.unwrap_or_default(),
        };
        let merges = file.merges.iter().map(|Merge(left, right)| (left.as_str(), right.as_str()));
        Ok(Words::Bpe(Bpe::new(origin, vocab, merges, options)?))
    }
}

/// Texts in order of id, with ids bounded first.
fn by_id(origin: &str, pairs: impl Iterator<Item = (String, u32)>) -> Result<Vec<Option<String>>> {
    let mut texts: Vec<Option<String>> = Vec::new();
    for (text, id) in pairs {
        limits::check(origin, "a token id", id as usize, MAX_TOKENS - 1)?;
        if texts.len() <= id as usize {
            texts.resize(id as usize + 1, None);
        }
        texts[id as usize] = Some(text);
    }
    Ok(texts)
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of token texts and ids")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

impl<'de> Deserialize<'de> for Merge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Merge;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a merge rule: `left right` or a list of the two")
            }

            fn visit_str<E: serde::de::Error>(self, rule: &str) -> Result<Merge, E> {
                match rule.split_once(' ') {
                    Some((left, right)) if !right.contains(' ') => {
                        Ok(Merge(left.to_owned(), right.to_owned()))
                    }
                    _ => Err(E::custom(format!("`{rule}` is not two tokens and a space"))),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Merge, A::Error> {
                let short = || A::Error::custom("a merge rule of fewer than two tokens");
                let left = seq.next_element()?.ok_or_else(short)?;
                let right = seq.next_element()?.ok_or_else(short)?;
                match seq.next_element::<String>()? {
                    None => Ok(Merge(left, right)),
                    Some(_) => Err(A::Error::custom("a merge rule of more than two tokens")),
                }
            }
        }
        deserializer.deserialize_any(Reader)
    }
}
