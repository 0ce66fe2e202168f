//! Any tokenizer in GGUF metadata: no panic, and every id that comes out is in the vocabulary.
//!
//! The lists are well-formed more often than random bytes would be: the parser of the file has a target of
//! its own.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::{
    arbitrary::{self, Arbitrary},
    fuzz_target,
};
use tessera_formats::gguf::{Metadata, Strings, Value};
use tessera_fuzz::{checked, let_panics_be_caught};
use tessera_text::{Specials, Tokenizer};

#[derive(Arbitrary, Debug)]
enum Name<const N: usize> {
    Known(u8),
    Other(String),
}

impl<const N: usize> Name<N> {
    fn resolve(&self, known: [&'static str; N]) -> String {
        match self {
            Self::Known(at) => known[usize::from(*at) % N].into(),
            Self::Other(name) => name.clone(),
        }
    }
}

/// How long a list is that should have an entry for each token.
#[derive(Arbitrary, Debug)]
enum List<T> {
    Repeated(Vec<T>),
    Exact(Vec<T>),
}

impl<T: Clone + Default> List<T> {
    fn values(&self, tokens: usize) -> Vec<T> {
        match self {
            Self::Repeated(some) if some.is_empty() => vec![T::default(); tokens],
            Self::Repeated(some) => some.iter().cycle().take(tokens).cloned().collect(),
            Self::Exact(all) => all.clone(),
        }
    }
}

#[derive(Arbitrary, Debug)]
enum Merge {
    Tokens(u8, u8),
    Other(String),
}

#[derive(Arbitrary, Debug)]
enum Other {
    Bool(bool),
    Number(u32),
    Text(String),
    Bytes(Vec<u8>),
}

#[derive(Arbitrary, Debug)]
struct Input {
    model: Name<3>,
    pre: Name<8>,
    name: Name<2>,
    /// Whether single characters are tokens, as in real vocabularies.
    bytes: bool,
    tokens: Vec<String>,
    scores: Option<List<f32>>,
    types: Option<List<i8>>,
    merges: Option<Vec<Merge>>,
    settings: Vec<(Name<12>, Other)>,
    text: String,
}

const SETTINGS: [&str; 12] = [
    "bos_token_id",
    "eos_token_id",
    "eot_token_id",
    "eom_token_id",
    "unknown_token_id",
    "padding_token_id",
    "add_bos_token",
    "add_eos_token",
    "add_space_prefix",
    "remove_extra_whitespaces",
    "precompiled_charsmap",
    "merges",
];

/// Single characters in byte-level and SentencePiece spelling, and raw bytes.
static SINGLE: LazyLock<Vec<String>> = LazyLock::new(|| {
    let byte_level = (33u8..=126).map(|byte| char::from(byte).to_string());
    let characters = byte_level.chain(["\u{120}".into(), "\u{10a}".into(), "\u{2581}".into()]);
    characters.chain((0..=255u8).map(|byte| format!("<0x{byte:02X}>"))).collect()
});

fn metadata(input: &Input) -> Metadata {
    let mut tokens: Vec<String> = input.tokens.clone();
    if input.bytes {
        tokens.extend_from_slice(&SINGLE);
    }
    let count = tokens.len();
    let token = |at: u8| tokens.get(usize::from(at) % count.max(1)).cloned().unwrap_or_default();
    let merges = input.merges.as_ref().map(|merges| -> Strings {
        let text = |merge: &Merge| match merge {
            Merge::Tokens(left, right) => format!("{} {}", token(*left), token(*right)),
            Merge::Other(text) => text.clone(),
        };
        merges.iter().map(text).collect()
    });
    let pre =
        ["gpt-2", "llama-bpe", "qwen2", "tekken", "deepseek-v3", "default", "smollm", "gpt-4o"];
    let mut pairs: Vec<(String, Value)> = Vec::new();
    let mut pair = |key: &str, value: Value| pairs.push((format!("tokenizer.ggml.{key}"), value));
    pair("model", input.model.resolve(["gpt2", "llama", "t5"]).as_str().into());
    pair("pre", input.pre.resolve(pre).as_str().into());
    if let Some(scores) = &input.scores {
        pair("scores", scores.values(count).into());
    }
    if let Some(types) = &input.types {
        let types: Vec<i32> = types.values(count).into_iter().map(i32::from).collect();
        pair("token_type", types.into());
    }
    if let Some(merges) = merges {
        pair("merges", merges.into());
    }
    for (key, value) in &input.settings {
        let value = match value {
            Other::Bool(value) => (*value).into(),
            Other::Number(value) => (*value).into(),
            Other::Text(value) => value.as_str().into(),
            Other::Bytes(value) => value.clone().into(),
        };
        pair(&key.resolve(SETTINGS), value);
    }
    let texts: Strings = tokens.iter().collect();
    pair("tokens", texts.into());
    let name = input.name.resolve(["Phi-3", "other"]);
    pairs.push(("general.name".into(), name.as_str().into()));
    Metadata::new(pairs, "fuzz.gguf")
}

fn run(input: &Input) {
    let Ok(tokenizer) = Tokenizer::from_gguf(&metadata(input)) else { return };
    for specials in [Specials::AsText, Specials::Parse] {
        for text in [&input.text, "", "Hello,  world\n 123 \u{4f60}\u{597d}\u{1f600}<s>"] {
            let Ok(ids) = tokenizer.encode(text, specials) else { continue };
            assert!(ids.iter().all(|id| (*id as usize) < tokenizer.vocab_size()));
            tokenizer.decode_with(&tokenizer.frame(&ids), specials);
        }
    }
}

fuzz_target!(init: let_panics_be_caught(), |input: Input| checked(|| run(&input)));
