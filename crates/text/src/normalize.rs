//! Normalising text before the model sees it.

use std::borrow::Cow;

use serde_json::Value;
use tokenizers::{NormalizedString, Normalizer as _, NormalizerWrapper};

use crate::{Error, Result, guard::guarded, spm::SPACE};

/// A way to normalise text.
#[derive(Debug, Clone)]
pub(crate) enum Normalizer {
    /// SentencePiece's spaces: U+2581 for each, and one more in front where `prefix` says so.
    Spaces { prefix: bool },
    /// One of Hugging Face's format. `keeps_ascii` for Unicode's normal forms, which ASCII passes
    /// unchanged.
    Wrapped { inner: Box<NormalizerWrapper>, keeps_ascii: bool },
}

impl Normalizer {
    /// Reads the `normalizer` object of a `tokenizer.json`, already bounded by the caller.
    pub fn from_json(origin: &str, json: &Value) -> Result<Self> {
        let invalid =
            |detail: String| Error::Invalid { origin: origin.into(), what: "normalizer", detail };
        let inner = guarded(|| serde_json::from_value(json.clone()).map_err(|e| e.to_string()));
        let inner = inner.map_err(invalid)?;
        let kind = json.get("type").and_then(Value::as_str);
        let keeps_ascii = matches!(kind, Some("NFC" | "NFD" | "NFKC" | "NFKD"));
        Ok(Self::Wrapped { inner: Box::new(inner), keeps_ascii })
    }

    /// The normal form of `text`.
    pub fn apply<'t>(&self, text: &'t str) -> Result<Cow<'t, str>> {
        let inner = match self {
            Self::Spaces { prefix } => {
                let mut escaped = String::with_capacity(text.len() * 2);
                escaped.extend(prefix.then_some(SPACE));
                escaped.extend(text.chars().map(|c| if c == ' ' { SPACE } else { c }));
                return Ok(Cow::Owned(escaped));
            }
            Self::Wrapped { keeps_ascii: true, .. } if text.is_ascii() => {
                return Ok(Cow::Borrowed(text));
            }
            Self::Wrapped { inner, .. } => inner,
        };
        let normalized = guarded(|| {
            let mut string = NormalizedString::from(text);
            inner.normalize(&mut string).map_err(|error| error.to_string())?;
            Ok(string.get().to_owned())
        });
        normalized.map(Cow::Owned).map_err(Error::Encode)
    }
}
