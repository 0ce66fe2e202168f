//! `tokenizer_config.json`: which tokens play which role, and the chat template.

use std::path::Path;

use serde_json::Value;
use tessera_formats::Config;

use crate::{Result, Tokenizer, chat::Source};

/// The fields of `tokenizer_config.json` that matter here.
#[derive(Debug)]
pub(crate) struct TokenizerConfig(Config);

impl TokenizerConfig {
    /// Opens the file in `folder`; `None` when there is none.
    pub fn open(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join("tokenizer_config.json");
        if !path.is_file() {
            return Ok(None);
        }
        Ok(Some(Self(Config::open(&path)?)))
    }

    /// Enters roles into `tokenizer`. `add_bos_token` and `add_eos_token`, where the file has either,
    /// replace what the post-processor says, as in transformers.
    pub fn apply(&self, tokenizer: &mut Tokenizer) {
        let id = |key: &str| self.token(key).and_then(|token| tokenizer.id(&token));
        let (bos, eos) = (id("bos_token"), id("eos_token"));
        let (pad, unknown) = (id("pad_token"), id("unk_token"));
        let flag = |key: &str| self.0.get(key).and_then(Value::as_bool);
        let (add_bos, add_eos) = (flag("add_bos_token"), flag("add_eos_token"));
        if add_bos.is_some() || add_eos.is_some() {
            let keep = |flag: Option<bool>, id: Option<u32>| {
                id.filter(|_| flag == Some(true)).into_iter().collect()
            };
            (tokenizer.prefix, tokenizer.suffix) = (keep(add_bos, bos), keep(add_eos, eos));
        }
        tokenizer.roles.bos = bos;
        tokenizer.roles.eos = eos;
        tokenizer.roles.pad = pad;
        tokenizer.roles.unknown = tokenizer.roles.unknown.or(unknown);
    }

    /// A role's token: a string, or an object with its `content`.
    fn token(&self, key: &str) -> Option<String> {
        let value = self.0.get(key)?;
        let text = value.as_str().or_else(|| value.get("content")?.as_str())?;
        Some(text.to_owned())
    }

    /// The chat templates: one, or several with names.
    pub fn templates(&self) -> Vec<Source> {
        let origin = self.0.origin();
        match self.0.get("chat_template") {
            Some(Value::String(text)) => vec![Source::new("default", text, origin)],
            Some(Value::Array(list)) => list
                .iter()
                .filter_map(|entry| {
                    let text = |key: &str| entry.get(key).and_then(Value::as_str);
                    Some(Source::new(text("name")?, text("template")?, origin))
                })
                .collect(),
            _ => Vec::new(),
        }
    }
}
