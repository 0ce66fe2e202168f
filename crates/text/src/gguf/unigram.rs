//! Unigram vocabularies (`t5`): the most likely cut under a table of piece probabilities
//! (Kudo 2018), run by the `tokenizers` crate.

use serde_json::{Value, json};
use tessera_formats::gguf::{Array, Metadata, Value as Stored};
use tokenizers::{ModelWrapper, models::unigram::Unigram};

use super::{Built, SCORES, SPACE_PREFIX, vocab::Tokens};
use crate::{
    Error, Result,
    guard::guarded,
    json::{Normalizer, Pipeline, Words},
    model::Model,
};

const CHARSMAP: &str = "tokenizer.ggml.precompiled_charsmap";
const COLLAPSE: &str = "tokenizer.ggml.remove_extra_whitespaces";

/// Largest table of normalisations, in bytes; SentencePiece's own NFKC table has 240 KB.
const MAX_CHARSMAP: usize = 8 << 20;

/// A unigram model with SentencePiece's normalisation and spaces.
pub(super) fn build(
    metadata: &Metadata,
    origin: &str,
    tokens: &Tokens,
    unknown: Option<u32>,
) -> Result<Built> {
    let scores = metadata.f32s(SCORES)?;
    if scores.len() != tokens.vocab.len() || scores.iter().any(|score| score.is_nan()) {
        let problem = format!("need {} scores, each a number", tokens.vocab.len());
        return Err(metadata.error(SCORES, problem).into());
    }
    let pieces = scores.iter().enumerate().map(|(id, score)| {
        (tokens.vocab.text(id as u32).unwrap_or_default().to_owned(), f64::from(*score))
    });
    let unigram = guarded(|| {
        Unigram::from(pieces.collect(), unknown.map(|id| id as usize), false)
            .map_err(|error| error.to_string())
    });
    let unigram = unigram.map_err(|detail| Error::Invalid {
        origin: origin.into(),
        what: "unigram model",
        detail,
    })?;
    let space_prefix = metadata.opt_bool(SPACE_PREFIX)?.unwrap_or(true);
    let scheme = if space_prefix { "always" } else { "never" };
    let metaspace = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme,
        "split": true});
    let words = Words::Wrapped(Box::new(ModelWrapper::Unigram(unigram)));
    let pipeline = Pipeline::from_json(origin, Some(&metaspace), words)?;
    let steps = normalizers(metadata)?;
    let normalizer = match steps.is_empty() {
        true => None,
        false => {
            let json = json!({"type": "Sequence", "normalizers": steps});
            Some(Normalizer::from_json(origin, &json)?)
        }
    };
    let model = Model::Pipeline(Box::new(pipeline));
    Ok(Built { model, normalizer, bos: false, eos: true, leading_space: space_prefix })
}

fn normalizers(metadata: &Metadata) -> Result<Vec<Value>> {
    let mut steps = Vec::new();
    let bytes: Option<Vec<u8>> = match metadata.get(CHARSMAP) {
        None => None,
        Some(Stored::Array(Array::U8(bytes))) => Some(bytes.clone()),
        Some(Stored::Array(Array::I8(bytes))) => Some(bytes.iter().map(|b| *b as u8).collect()),
        Some(_) => return Err(metadata.error(CHARSMAP, "expected an array of bytes").into()),
    };
    if let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) {
        if bytes.len() > MAX_CHARSMAP {
            let problem = format!("{} bytes; at most {MAX_CHARSMAP} are accepted", bytes.len());
            return Err(metadata.error(CHARSMAP, problem).into());
        }
        steps.push(json!({"type": "Precompiled", "precompiled_charsmap": base64(&bytes)}));
    }
    if metadata.opt_bool(COLLAPSE)?.unwrap_or(false) {
        steps.push(json!({"type": "Strip", "strip_left": true, "strip_right": true}));
        steps.push(json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}));
    }
    Ok(steps)
}

/// Base 64 (RFC 4648), the form in which a normaliser's table is written in JSON.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().enumerate().fold(0u32, |w, (i, b)| w | u32::from(*b) << (16 - 8 * i));
        for i in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_of_rfc_4648() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (text, expected) in cases {
            assert_eq!(base64(text.as_bytes()), expected);
        }
    }
}
