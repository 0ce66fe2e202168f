//! Fixtures shared by the tests; see `fixtures/make.py` for where they come from.
#![allow(dead_code)] // every test program uses its own part

use std::{fs, path::PathBuf};

use serde_json::Value;
use tessera_formats::gguf::{Metadata, Strings, Value as Stored};
use tessera_text::Tokenizer;

/// Path of a file beside this one or elsewhere in the repository.
pub fn path(relative: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests").join(relative)
}

/// A fixture's bytes.
pub fn bytes(name: &str) -> Vec<u8> {
    fs::read(path("fixtures").join(name)).unwrap()
}

/// A fixture's JSON.
pub fn json(name: &str) -> Value {
    serde_json::from_slice(&bytes(name)).unwrap()
}

/// The strings every tokenizer is tried on.
pub fn awkward() -> Vec<String> {
    serde_json::from_slice(&fs::read(path("../../../tests/data/awkward.json")).unwrap()).unwrap()
}

/// A list field as strings.
pub fn strings(value: &Value) -> Vec<String> {
    serde_json::from_value(value.clone()).unwrap()
}

/// Ids from JSON.
pub fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

/// FNV-1a over lists of ids, each ended by 2^32 - 1: one hash for every hundred lists.
pub fn hashes(lists: &[Vec<u32>]) -> Vec<String> {
    let hash = |lists: &[Vec<u32>]| {
        let ids = lists.iter().flat_map(|ids| ids.iter().copied().chain([u32::MAX]));
        let bytes = ids.flat_map(u32::to_le_bytes);
        let start = 0xcbf2_9ce4_8422_2325_u64;
        let hash = bytes.fold(start, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        format!("{hash:016x}")
    };
    lists.chunks(100).map(hash).collect()
}

/// GGUF metadata of a fixture with `tokens`, `scores` and `types`.
pub fn metadata(name: &str, model: &str, more: Vec<(&str, Stored)>) -> Metadata {
    let json = json(name);
    let tokens: Strings = strings(&json["tokens"]).into_iter().collect();
    let scores: Vec<f32> = serde_json::from_value(json["scores"].clone()).unwrap();
    let types: Vec<i32> = serde_json::from_value(json["types"].clone()).unwrap();
    let mut pairs = vec![
        ("tokenizer.ggml.model", model.into()),
        ("tokenizer.ggml.tokens", tokens.into()),
        ("tokenizer.ggml.scores", scores.into()),
        ("tokenizer.ggml.token_type", types.into()),
    ];
    pairs.extend(more);
    let pairs = pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Metadata::new(pairs, "tiny.gguf")
}

/// GGUF metadata of the byte-level fixture, under the pre-tokenizer `pre`.
pub fn byte_level_metadata(pre: &str) -> Metadata {
    let json = json("byte_level.json");
    let vocab = json["model"]["vocab"].as_object().unwrap();
    let added = json["added_tokens"].as_array().unwrap();
    let mut tokens: Vec<(u64, String, i32)> =
        vocab.iter().map(|(text, id)| (id.as_u64().unwrap(), text.clone(), 1)).collect();
    for token in added {
        let kind = if token["special"] == true { 3 } else { 4 };
        let id = token["id"].as_u64().unwrap();
        tokens.retain(|(other, ..)| *other != id);
        tokens.push((id, token["content"].as_str().unwrap().to_owned(), kind));
    }
    tokens.sort();
    let rule = |rule: &Value| match rule {
        Value::String(rule) => rule.clone(),
        pair => strings(pair).join(" "),
    };
    let merges: Strings = json["model"]["merges"].as_array().unwrap().iter().map(rule).collect();
    let types: Vec<i32> = tokens.iter().map(|token| token.2).collect();
    let texts: Strings = tokens.iter().map(|token| &token.1).collect();
    let pairs: Vec<(&str, Stored)> = vec![
        ("tokenizer.ggml.model", "gpt2".into()),
        ("tokenizer.ggml.pre", pre.into()),
        ("tokenizer.ggml.tokens", texts.into()),
        ("tokenizer.ggml.token_type", types.into()),
        ("tokenizer.ggml.merges", merges.into()),
        ("tokenizer.ggml.bos_token_id", 1u32.into()),
        ("tokenizer.ggml.eos_token_id", 2u32.into()),
    ];
    let pairs = pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Metadata::new(pairs, "tiny.gguf")
}

/// The byte-level fixture as `tokenizer.json`.
pub fn byte_level() -> Tokenizer {
    Tokenizer::from_json(&bytes("byte_level.json"), "byte_level.json").unwrap()
}

/// The SentencePiece fixture, with or without a space in front of a text.
pub fn sentencepiece(space_prefix: bool) -> Tokenizer {
    let more = vec![("tokenizer.ggml.add_space_prefix", space_prefix.into())];
    Tokenizer::from_gguf(&metadata("sentencepiece.json", "llama", more)).unwrap()
}
