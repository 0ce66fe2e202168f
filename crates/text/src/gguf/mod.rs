//! Tokenizers rebuilt from GGUF metadata (`tokenizer.ggml.*`, see ggml's `docs/gguf.md`).

pub(crate) mod pre;
mod unigram;
mod vocab;

use tessera_formats::gguf::Metadata;

use crate::{
    Error, Result, Tokenizer,
    added::{Added, AddedToken},
    bpe::{Bpe, Options},
    json::Normalizer,
    model::Model,
    split::Splitter,
    spm::{SPACE, Spm},
    tokenizer::Roles,
    vocab::Kind,
};

pub(crate) use vocab::MAX_TOKENS;
use vocab::{Spelling, Tokens};

const MODEL: &str = "tokenizer.ggml.model";
const PRE: &str = "tokenizer.ggml.pre";
const MERGES: &str = "tokenizer.ggml.merges";
const SCORES: &str = "tokenizer.ggml.scores";
const SPACE_PREFIX: &str = "tokenizer.ggml.add_space_prefix";

/// What a kind of tokenizer settles: the model and the defaults that come with it.
struct Built {
    model: Model,
    normalizer: Option<Normalizer>,
    bos: bool,
    eos: bool,
    leading_space: bool,
}

/// Builds the tokenizer that `metadata` describes.
pub(crate) fn build(metadata: &Metadata) -> Result<Tokenizer> {
    let origin = origin(metadata);
    let kind = metadata.str(MODEL)?;
    let (spelling, defaults) = match kind {
        "gpt2" => (Spelling::ByteLevel, Roles::default()),
        "llama" => {
            let (bos, eos, unknown) = (Some(1), Some(2), Some(0));
            (Spelling::Spaced, Roles { bos, eos, unknown, ..Roles::default() })
        }
        "t5" => {
            let (eos, unknown, pad) = (Some(1), Some(2), Some(0));
            (Spelling::Spaced, Roles { eos, unknown, pad, ..Roles::default() })
        }
        _ => {
            return Err(Error::Unsupported {
                origin,
                what: "tokenizer model (tokenizer.ggml.model)",
                name: kind.into(),
                hint: "gpt2, llama and t5 are",
            });
        }
    };
    let tokens = vocab::read(metadata, spelling)?;
    let roles = roles(metadata, defaults, tokens.vocab.len())?;
    let built = match kind {
        "gpt2" => byte_level(metadata, &origin, &tokens)?,
        "llama" => scored(metadata, &origin, &tokens, roles.unknown)?,
        _ => unigram::build(metadata, &origin, &tokens, roles.unknown)?,
    };
    let frame = |key: &str, default: bool, id: Option<u32>| -> Result<Vec<u32>> {
        Ok(match (metadata.opt_bool(key)?.unwrap_or(default), id) {
            (true, Some(id)) => vec![id],
            (true, None) if metadata.get(key).is_some() => {
                return Err(metadata.error(key, "true, but the file names no such token").into());
            }
            _ => Vec::new(),
        })
    };
    let prefix = frame("tokenizer.ggml.add_bos_token", built.bos, roles.bos)?;
    let suffix = frame("tokenizer.ggml.add_eos_token", built.eos, roles.eos)?;
    let (added, added_normalized) = added(metadata, &origin, &tokens)?;
    Ok(Tokenizer {
        added,
        added_normalized,
        vocab: tokens.vocab,
        pieces: tokens.pieces,
        normalizer: built.normalizer,
        model: built.model,
        prefix,
        suffix,
        leading_space: built.leading_space,
        roles,
    })
}

/// Byte-level BPE with a named pre-tokenizer. A file without a name is refused rather than guessed.
fn byte_level(metadata: &Metadata, origin: &str, tokens: &Tokens) -> Result<Built> {
    let pre = pre::named(origin, metadata.str(PRE)?)?;
    let splitter = Splitter::new(origin, pre.patterns.iter().copied())?;
    let merges = metadata.strings(MERGES)?;
    // A rule is `left right`; the left part may itself begin with a space.
    let parts = |rule: &str| match rule.char_indices().skip(1).find(|(_, c)| *c == ' ') {
        Some((at, _)) => Ok(at),
        None => Err(metadata.error(MERGES, format!("`{rule}` is not two tokens and a space"))),
    };
    let cuts = merges.iter().map(parts).collect::<tessera_formats::Result<Vec<usize>>>()?;
    let pairs = merges.iter().zip(&cuts).map(|(rule, at)| (&rule[..*at], &rule[*at + 1..]));
    let options = Options { whole_words: pre.whole_words, ..Options::default() };
    let bpe = Bpe::new(origin, &tokens.vocab, pairs, options)?;
    let normalizer = match pre.compose {
        true => Some(Normalizer::from_json(origin, &serde_json::json!({"type": "NFC"}))?),
        false => None,
    };
    let model = Model::ByteLevel { splitter, bpe };
    Ok(Built { model, normalizer, bos: pre.bos, eos: false, leading_space: false })
}

/// SentencePiece by scores.
fn scored(
    metadata: &Metadata,
    origin: &str,
    tokens: &Tokens,
    unknown: Option<u32>,
) -> Result<Built> {
    let space_prefix = metadata.opt_bool(SPACE_PREFIX)?.unwrap_or(true);
    let spm = Spm::new(origin, &tokens.vocab, metadata.f32s(SCORES)?, unknown)?;
    let model = Model::Scored(spm);
    let normalizer = Some(Normalizer::Spaces { prefix: space_prefix });
    Ok(Built { model, normalizer, bos: true, eos: false, leading_space: space_prefix })
}

/// The tokens matched as a whole: in the text as written, and after normalising.
///
/// SentencePiece looks for user-defined pieces once spaces are spelt, so that U+2581 in a text counts as
/// the space it looks like. GGUF has no place for the rule that Phi-3's control tokens swallow the
/// whitespace after them, so it hangs on the model's name, as in llama.cpp.
fn added(metadata: &Metadata, origin: &str, tokens: &Tokens) -> Result<(Added, Added)> {
    let name = metadata.opt_str("general.name")?.unwrap_or_default().to_lowercase();
    let phi3 = name.contains("phi-3") || name.contains("phi3");
    let spaced = tokens.spelling == Spelling::Spaced;
    let (mut raw, mut normalized) = (Added::default(), Added::default());
    for id in 0..tokens.vocab.len() as u32 {
        let kind = tokens.vocab.kind(id);
        let special = matches!(kind, Kind::Special | Kind::Unknown);
        let Some(text) = tokens.vocab.text(id) else { continue };
        if !special && kind != Kind::UserDefined {
            continue;
        }
        let rstrip = phi3 && !matches!(text, "<unk>" | "<s>" | "<|endoftext|>");
        let token = AddedToken { rstrip, ..AddedToken::plain(id, special) };
        match spaced && !special {
            true => normalized.insert(
                origin,
                &text.replace(' ', SPACE.encode_utf8(&mut [0; 4])),
                token,
            )?,
            false => raw.insert(origin, text, token)?,
        }
    }
    Ok((raw, normalized))
}

fn roles(metadata: &Metadata, defaults: Roles, size: usize) -> Result<Roles> {
    let role = |name: &str, default: Option<u32>| -> Result<Option<u32>> {
        let key = format!("tokenizer.ggml.{name}_token_id");
        match metadata.opt_u64(&key)? {
            None => Ok(default.filter(|id| (*id as usize) < size)),
            Some(0xffff_ffff) => Ok(None), // -1, as some writers say "none"
            Some(id) if id < size as u64 => Ok(Some(id as u32)),
            Some(id) => {
                let problem = format!("{id} is outside the vocabulary of {size} tokens");
                Err(metadata.error(&key, problem).into())
            }
        }
    };
    Ok(Roles {
        bos: role("bos", defaults.bos)?,
        eos: role("eos", defaults.eos)?,
        eot: role("eot", defaults.eot)?,
        eom: role("eom", defaults.eom)?,
        pad: role("padding", defaults.pad)?,
        unknown: role("unknown", defaults.unknown)?,
    })
}

/// The file's name as its own errors give it.
fn origin(metadata: &Metadata) -> String {
    match metadata.error(MODEL, "") {
        tessera_formats::Error::Field { origin, .. } => origin,
        _ => "GGUF metadata".into(),
    }
}
