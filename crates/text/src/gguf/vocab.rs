//! The vocabulary lists of a GGUF file.

use tessera_formats::gguf::Metadata;

use crate::{
    Error, Result,
    bpe::byte_of,
    bytes::unspell,
    json::unescape,
    stops::END_OF_TURN,
    vocab::{Arena, Kind, Vocab},
};

const TOKENS: &str = "tokenizer.ggml.tokens";
const TYPES: &str = "tokenizer.ggml.token_type";

/// Tokens that Qwen's own `tokenizer.json` does not call special, so that they count in any text, while
/// GGUF files type them as control tokens.
const QWEN_TEXT: [&str; 6] = [
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
];

/// Most tokens a vocabulary may have: sixteen times the largest real one.
pub(crate) const MAX_TOKENS: usize = 1 << 22;

/// How ordinary tokens spell their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// One printable character a byte.
    ByteLevel,
    /// Plain text with U+2581 for spaces.
    Spaced,
}

/// A vocabulary with the bytes of every token.
pub(crate) struct Tokens {
    pub vocab: Vocab,
    pub pieces: Arena,
    pub spelling: Spelling,
}

/// Reads the token list and its types.
pub(crate) fn read(metadata: &Metadata, spelling: Spelling) -> Result<Tokens> {
    let texts = metadata.strings(TOKENS)?;
    if texts.is_empty() || texts.len() > MAX_TOKENS {
        let problem = format!("{} tokens; 1 to {MAX_TOKENS} are accepted", texts.len());
        return Err(Error::Format(metadata.error(TOKENS, problem)));
    }
    let types = metadata.opt_i32s(TYPES)?;
    if let Some(types) = types.as_ref().filter(|types| types.len() != texts.len()) {
        let problem = format!("{} types for {} tokens", types.len(), texts.len());
        return Err(Error::Format(metadata.error(TYPES, problem)));
    }
    let qwen = metadata.opt_str(super::PRE)?.is_some_and(|pre| pre.starts_with("qwen"));
    let mut vocab = Vocab::with_capacity(texts.len());
    let mut pieces = Arena::default();
    for (id, text) in texts.iter().enumerate() {
        let kind = match kind(text, types.as_ref().map(|types| types[id]), spelling) {
            Kind::Special if qwen && QWEN_TEXT.contains(&text) => Kind::UserDefined,
            kind => kind,
        };
        vocab.push(text, kind);
        match (kind, spelling) {
            (Kind::Byte, _) if byte_of(text).is_some() => {
                pieces.push(&byte_of(text).map_or([0], |byte| [byte]));
            }
            (Kind::Normal | Kind::Byte | Kind::Unused, Spelling::ByteLevel) => {
                pieces.push(&unspell(text));
            }
            (Kind::Special | Kind::Unknown, _) | (_, Spelling::ByteLevel) => {
                pieces.push(text.as_bytes());
            }
            (_, Spelling::Spaced) => pieces.push(unescape(text).as_bytes()),
        }
    }
    Ok(Tokens { vocab, pieces, spelling })
}

/// Token types are numbered as in SentencePiece. Some files type an end-of-turn token as ordinary
/// text, which would let a user's message end the turn: those are control tokens whatever the type.
fn kind(text: &str, number: Option<i32>, spelling: Spelling) -> Kind {
    match number {
        Some(2) => Kind::Unknown,
        Some(3) => Kind::Special,
        Some(_) if END_OF_TURN.contains(&text) => Kind::Special,
        Some(4) => Kind::UserDefined,
        Some(5) => Kind::Unused,
        Some(6) => Kind::Byte,
        None if END_OF_TURN.contains(&text) => Kind::Special,
        None if spelling == Spelling::Spaced && byte_of(text).is_some() => Kind::Byte,
        _ => Kind::Normal,
    }
}
