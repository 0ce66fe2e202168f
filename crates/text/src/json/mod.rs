//! `tokenizer.json`, the format of Hugging Face's `tokenizers`.
//!
//! The file is read in parts: sizes and depth are checked first, byte-pair models and decoders are this
//! crate's own, and the rest (normalisers, pre-tokenizers, other models) is built by the `tokenizers`
//! crate behind a fence, since hostile files make it panic.

mod added;
mod config;
mod decoder;
mod limits;
mod model;
mod pipeline;
mod post;
mod shape;

use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    Error, Result, Tokenizer,
    model::Model,
    split::Splitter,
    tokenizer::Roles,
    vocab::{Arena, Kind, Vocab},
};

pub(crate) use crate::normalize::Normalizer;
pub(crate) use config::TokenizerConfig;
pub(crate) use decoder::unescape;
pub(crate) use limits::read as read_bounded;
pub(crate) use pipeline::{Pipeline, Words};

use decoder::Decoder;

/// The parts of the file that matter here, not yet parsed.
#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow, default)]
    added_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    normalizer: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pre_tokenizer: Option<&'a RawValue>,
    #[serde(borrow, default)]
    post_processor: Option<&'a RawValue>,
    #[serde(borrow, default)]
    decoder: Option<&'a RawValue>,
    #[serde(borrow)]
    model: &'a RawValue,
}

/// Opens `tokenizer.json` in `folder`, with the roles that `tokenizer_config.json` names.
pub(crate) fn open(folder: &Path) -> Result<Tokenizer> {
    let path = folder.join("tokenizer.json");
    let origin = path.display().to_string();
    let bytes = limits::read(&path, limits::MAX_FILE)?;
    let mut tokenizer = parse(&bytes, &origin)?;
    if let Some(config) = TokenizerConfig::open(folder)? {
        config.apply(&mut tokenizer);
    }
    Ok(tokenizer)
}

/// Builds a tokenizer from the file's bytes.
pub(crate) fn parse(bytes: &[u8], origin: &str) -> Result<Tokenizer> {
    limits::check(origin, "the size of the file, in bytes,", bytes.len(), limits::MAX_FILE)?;
    let file: File = serde_json::from_slice(bytes).map_err(|error| Error::Invalid {
        origin: origin.into(),
        what: "file",
        detail: error.to_string(),
    })?;
    let normalizer = limits::part(origin, "normalizer", file.normalizer)?;
    let pre = limits::part(origin, "pre_tokenizer", file.pre_tokenizer)?;
    let decoder = limits::part(origin, "decoder", file.decoder)?;
    let post = limits::part(origin, "post_processor", file.post_processor)?;

    let normalizer = normalizer.map(|json| Normalizer::from_json(origin, &json)).transpose()?;
    let decoder = Decoder::from_json(origin, decoder.as_ref())?;
    let mut model = model::read(origin, file.model)?;
    let added = added::read(origin, file.added_tokens, normalizer.as_ref(), &mut model.texts)?;

    let mut vocab = Vocab::with_capacity(model.texts.len());
    let mut pieces = Arena::default();
    for (id, text) in model.texts.iter().enumerate() {
        let kind = match (text, added.kinds.get(&(id as u32))) {
            (None, _) => Kind::Unused,
            (Some(_), Some(kind)) => *kind,
            (Some(text), None) if model.is_byte(text) => Kind::Byte,
            _ => Kind::Normal,
        };
        let text = text.as_deref().unwrap_or_default();
        vocab.push(text, kind);
        match kind {
            Kind::Normal | Kind::Byte => pieces.push(&decoder.bytes(text)),
            Kind::UserDefined => pieces.push(decoder.replaced(text).as_bytes()),
            _ => pieces.push(text.as_bytes()),
        }
    }
    let unknown = model.unknown();
    let words = model.build(origin, &vocab)?;
    let patterns = pre.as_ref().and_then(shape::byte_level_patterns);
    let model = match (words, patterns) {
        (Words::Bpe(bpe), Some(patterns)) => {
            let splitter = Splitter::new(origin, patterns)?;
            Model::ByteLevel { splitter, bpe }
        }
        (words, _) => Model::Pipeline(Box::new(Pipeline::from_json(origin, pre.as_ref(), words)?)),
    };
    let (prefix, suffix) = post::frame(origin, post.as_ref(), vocab.len())?;
    let roles = Roles { unknown, ..Roles::default() };
    Ok(Tokenizer {
        vocab,
        pieces,
        added: added.raw,
        added_normalized: added.normalized,
        normalizer,
        model,
        prefix,
        suffix,
        leading_space: decoder.leading_space,
        roles,
    })
}
