//! Where chat templates come from.

use std::{fs, path::Path};

use tessera_formats::{Checkpoint, gguf::Metadata};

use crate::{
    Error, Result,
    json::{TokenizerConfig, read_bounded},
};

/// Largest template, in bytes; the largest real ones have about 30 KB.
const MAX_TEMPLATE: usize = 1 << 20;
/// Most named templates of one model.
const MAX_TEMPLATES: usize = 64;

/// The text of a template, its name and the file it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// `default`, or another name such as `tool_use`.
    pub name: String,
    /// Jinja source.
    pub text: String,
    /// File, for errors.
    pub origin: String,
}

impl Source {
    /// A template from its text.
    pub fn new(name: &str, text: &str, origin: &str) -> Self {
        Self { name: name.into(), text: text.into(), origin: origin.into() }
    }
}

/// The templates of a checkpoint: of a GGUF file's metadata, or of `chat_template.jinja` and
/// `additional_chat_templates/*.jinja`, or else of `tokenizer_config.json`. None for a base model.
pub(super) fn find(checkpoint: &Checkpoint) -> Result<Vec<Source>> {
    let sources = match checkpoint.gguf() {
        Some(gguf) => from_metadata(&gguf.metadata, checkpoint.path())?,
        None => from_folder(checkpoint.path())?,
    };
    let too_large = |origin: &str, what, value: usize, limit: usize| Error::TooLarge {
        origin: origin.into(),
        what,
        value: value as u64,
        limit: limit as u64,
    };
    if let Some(large) = sources.iter().find(|source| source.text.len() > MAX_TEMPLATE) {
        let (what, size) = ("the chat template's size, in bytes,", large.text.len());
        return Err(too_large(&large.origin, what, size, MAX_TEMPLATE));
    }
    if sources.len() > MAX_TEMPLATES {
        let (origin, what) = (&sources[0].origin, "the number of chat templates");
        return Err(too_large(origin, what, sources.len(), MAX_TEMPLATES));
    }
    Ok(sources)
}

fn from_metadata(metadata: &Metadata, path: &Path) -> Result<Vec<Source>> {
    const KEY: &str = "tokenizer.chat_template";
    let origin = path.display().to_string();
    let mut sources = Vec::new();
    if let Some(text) = metadata.opt_str(KEY)? {
        sources.push(Source::new("default", text, &origin));
    }
    for name in metadata.opt_strings("tokenizer.chat_templates")?.into_iter().flat_map(|n| n.iter())
    {
        if let Some(text) = metadata.opt_str(&format!("{KEY}.{name}"))? {
            sources.push(Source::new(name, text, &origin));
        }
    }
    Ok(sources)
}

fn from_folder(folder: &Path) -> Result<Vec<Source>> {
    let file = folder.join("chat_template.jinja");
    if !file.is_file() {
        return Ok(TokenizerConfig::open(folder)?.map_or(Vec::new(), |config| config.templates()));
    }
    let mut sources = vec![from_file("default", &file)?];
    let Ok(entries) = fs::read_dir(folder.join("additional_chat_templates")) else {
        return Ok(sources);
    };
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jinja"));
    files.sort();
    for path in files {
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        sources.push(from_file(&name.unwrap_or_default(), &path)?);
    }
    Ok(sources)
}

fn from_file(name: &str, path: &Path) -> Result<Source> {
    let origin = path.display().to_string();
    let text = String::from_utf8(read_bounded(path, MAX_TEMPLATE)?).map_err(|error| {
        let detail = error.to_string();
        Error::Invalid { origin: origin.clone(), what: "chat template", detail }
    })?;
    Ok(Source { name: name.into(), text, origin })
}
