//! The `added_tokens` of a `tokenizer.json`.

use hashbrown::HashMap;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Normalizer, limits};
use crate::{
    Error, Result,
    added::{Added, AddedToken, MAX_TOKENS},
    vocab::Kind,
};

#[derive(Deserialize)]
struct Entry {
    id: u32,
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    normalized: bool,
    #[serde(default)]
    special: bool,
}

/// The matchers and what they say about ids.
#[derive(Default)]
pub(super) struct AddedTokens {
    /// Matched in the text as written.
    pub raw: Added,
    /// Matched in normalised text.
    pub normalized: Added,
    pub kinds: HashMap<u32, Kind>,
}

/// Reads the list and enters its texts into `texts`, growing it where ids lie beyond the model's.
///
/// Control tokens are matched in the text as written even where the file says `normalized`: a
/// template writes them as they are.
pub(super) fn read(
    origin: &str,
    raw: Option<&RawValue>,
    normalizer: Option<&Normalizer>,
    texts: &mut Vec<Option<String>>,
) -> Result<AddedTokens> {
    let mut added = AddedTokens::default();
    let Some(raw) = raw else { return Ok(added) };
    let invalid =
        |detail: String| Error::Invalid { origin: origin.into(), what: "added_tokens", detail };
    let entries: Option<Vec<Entry>> =
        serde_json::from_str(raw.get()).map_err(|error| invalid(error.to_string()))?;
    let entries = entries.unwrap_or_default();
    limits::check(origin, "the number of added tokens", entries.len(), MAX_TOKENS)?;
    for entry in entries {
        let Entry { id, content, single_word, lstrip, rstrip, normalized, special } = entry;
        limits::check(origin, "an added token's id", id as usize, texts.len() + MAX_TOKENS)?;
        if texts.len() <= id as usize {
            texts.resize(id as usize + 1, None);
        }
        match &texts[id as usize] {
            Some(text) if *text != content => {
                let detail = format!("id {id} is `{text}` in the model and `{content}` here");
                return Err(invalid(detail));
            }
            _ => texts[id as usize] = Some(content.clone()),
        }
        let token = AddedToken { id, special, lstrip, rstrip, single_word };
        added.kinds.insert(id, if special { Kind::Special } else { Kind::UserDefined });
        match normalizer.filter(|_| normalized && !special) {
            Some(normalizer) => {
                let text = normalizer.apply(&content)?;
                added.normalized.insert(origin, &text, token)?;
            }
            None => added.raw.insert(origin, &content, token)?,
        }
    }
    Ok(added)
}
