//! Pre-tokenizers and models that only a `tokenizer.json` can describe, run by the `tokenizers` crate.

use serde_json::Value;
use tokenizers::{
    Model as _, ModelWrapper, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _,
    PreTokenizerWrapper,
};

use crate::{Error, Result, bpe::Bpe, guard::guarded, merge::Merger, vocab::Vocab};

/// A pre-tokenizer and a model.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pre: Option<Pre>,
    words: Words,
}

/// A pre-tokenizer in two tempers: some put a space before the first word of a text only.
#[derive(Debug)]
struct Pre {
    first: PreTokenizerWrapper,
    rest: PreTokenizerWrapper,
}

/// What turns a word into ids.
#[derive(Debug)]
pub(crate) enum Words {
    /// Byte-pair encoding, by this crate.
    Bpe(Bpe),
    /// Unigram, word-piece or word-level, by the `tokenizers` crate.
    Wrapped(Box<ModelWrapper>),
}

impl Pipeline {
    /// Reads the `pre_tokenizer` object of a `tokenizer.json`, already bounded by the caller.
    pub fn from_json(origin: &str, pre: Option<&Value>, words: Words) -> Result<Self> {
        let parse = |json: Value| {
            guarded(|| serde_json::from_value(json).map_err(|error| error.to_string())).map_err(
                |detail| Error::Invalid { origin: origin.into(), what: "pre_tokenizer", detail },
            )
        };
        let pre = match pre {
            Some(json) => {
                let mut rest = json.clone();
                never_prepend(&mut rest);
                Some(Pre { first: parse(json.clone())?, rest: parse(rest)? })
            }
            None => None,
        };
        Ok(Self { pre, words })
    }

    /// Appends the ids of `text`; `first` when it begins the whole text.
    pub fn encode(
        &self,
        vocab: &Vocab,
        merger: &mut Merger,
        text: &str,
        first: bool,
        out: &mut Vec<u32>,
    ) -> Result<()> {
        let Some(pre) = &self.pre else {
            return self.words.encode(vocab, merger, text, out);
        };
        let pre = if first { &pre.first } else { &pre.rest };
        let words = guarded(|| {
            let mut cut = PreTokenizedString::from(text);
            pre.pre_tokenize(&mut cut).map_err(|error| error.to_string())?;
            Ok(cut)
        });
        let words = words.map_err(Error::Encode)?;
        for (word, ..) in words.get_splits(OffsetReferential::Normalized, OffsetType::None) {
            self.words.encode(vocab, merger, word, out)?;
        }
        Ok(())
    }
}

impl Words {
    fn encode(
        &self,
        vocab: &Vocab,
        merger: &mut Merger,
        word: &str,
        out: &mut Vec<u32>,
    ) -> Result<()> {
        match self {
            Self::Bpe(bpe) => bpe.encode(vocab, merger, word, out),
            Self::Wrapped(model) => {
                let tokens = guarded(|| model.tokenize(word).map_err(|error| error.to_string()));
                out.extend(tokens.map_err(Error::Encode)?.iter().map(|token| token.id));
            }
        }
        Ok(())
    }
}

/// Turns every `"prepend_scheme": "first"` into `"never"`.
fn never_prepend(json: &mut Value) {
    match json {
        Value::Object(map) => {
            if let Some(scheme) = map.get_mut("prepend_scheme").filter(|s| *s == "first") {
                *scheme = "never".into();
            }
            map.values_mut().for_each(never_prepend);
        }
        Value::Array(list) => list.iter_mut().for_each(never_prepend),
        _ => {}
    }
}
