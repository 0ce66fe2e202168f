//! Which files of a repository make up the model that was asked for.
//!
//! The same rules serve the Hub's listing and a snapshot already on disk. Without a filter,
//! safetensors win over GGUF: they are the original weights. A filter after the colon is a file
//! name, a glob, or a packing label (`Q4_K_M`) that one GGUF file carries in its name.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::{
    error::{Error, Result},
    glob, layout,
};

/// The index of a sharded safetensors model.
pub(crate) const INDEX: &str = "model.safetensors.index.json";

/// A chosen set of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// One GGUF file, which holds everything.
    Gguf(String),
    /// A folder of config, tokenizer, templates and weights. Shards are still to be added from the
    /// index (see [`shards`]) when it is among the files.
    Folder(Vec<String>),
}

impl Selection {
    /// The files chosen so far.
    pub(crate) fn files(&self) -> Vec<String> {
        match self {
            Self::Gguf(file) => vec![file.clone()],
            Self::Folder(files) => files.clone(),
        }
    }

    /// Whether an index names further files.
    pub(crate) fn is_indexed(&self) -> bool {
        matches!(self, Self::Folder(files) if files.iter().any(|it| it == INDEX))
    }
}

/// Chooses among `files`, the paths within the repository `name`.
///
/// # Errors
/// [`Error::Ambiguous`] with the choices; [`Error::NoModel`] when nothing fits.
pub(crate) fn select(name: &str, files: &[String], filter: Option<&str>) -> Result<Selection> {
    let gguf: Vec<&String> = files.iter().filter(|it| is_gguf_model(it)).collect();
    match filter {
        Some(filter) => match of_filter(&gguf, filter)[..] {
            [file] => one_gguf(name, file),
            [] => of_safetensors(name, files, Some(filter)),
            ref several => Err(ambiguous(name, several)),
        },
        None if files.iter().any(|it| is_root_safetensors(it)) => of_safetensors(name, files, None),
        None => match gguf[..] {
            [file] => one_gguf(name, file),
            [] => no_model(name, "it holds neither safetensors nor GGUF weights"),
            ref several => Err(ambiguous(name, several)),
        },
    }
}

/// The shard names in an index, each checked to stay within the folder.
///
/// # Errors
/// [`Error::NoModel`] for an index that is not one, or names no or unsafe files.
pub(crate) fn shards(name: &str, index: &[u8]) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: std::collections::HashMap<String, String>,
    }
    let bad = |reason: String| Error::NoModel { name: name.to_owned(), reason };
    let index: Index =
        serde_json::from_slice(index).map_err(|error| bad(format!("{INDEX}: {error}")))?;
    let shards: BTreeSet<String> = index.weight_map.into_values().collect();
    match shards.iter().find(|it| !layout::is_safe(it)) {
        Some(shard) => Err(bad(format!("{INDEX} names the unsafe file {shard:?}"))),
        None if shards.is_empty() => Err(bad(format!("{INDEX} names no files"))),
        None => Ok(shards.into_iter().collect()),
    }
}

fn of_filter<'a>(gguf: &[&'a String], filter: &str) -> Vec<&'a String> {
    let exact: Vec<&String> =
        gguf.iter().copied().filter(|it| it.eq_ignore_ascii_case(filter)).collect();
    if !exact.is_empty() {
        return exact;
    }
    let by_glob = glob::is_pattern(filter);
    let fits = |file: &str| match by_glob {
        true => glob::matches(filter, file),
        false => has_label(file, filter),
    };
    gguf.iter().copied().filter(|it| fits(it)).collect()
}

/// The safetensors of a repository and everything a loader reads beside them.
fn of_safetensors(name: &str, files: &[String], filter: Option<&str>) -> Result<Selection> {
    let root: Vec<&String> = files.iter().filter(|it| is_root_safetensors(it)).collect();
    let matching: Vec<&String> = match filter {
        Some(filter) => root.iter().copied().filter(|it| glob::matches(filter, it)).collect(),
        None => root.clone(),
    };
    let weights = match matching[..] {
        [] => {
            let choices: Vec<String> = files.iter().filter_map(|it| choice(it)).collect();
            let filter = filter.unwrap_or_default();
            return no_model(
                name,
                &format!("nothing matches `{filter}`; it has: {}", choices.join(", ")),
            );
        }
        _ if filter.is_none() && files.iter().any(|it| it == INDEX) => INDEX.to_owned(),
        [file] => file.clone(),
        _ if matching.iter().any(|it| *it == "model.safetensors") => "model.safetensors".to_owned(),
        ref several => return Err(ambiguous(name, several)),
    };
    if !files.iter().any(|it| it == "config.json") {
        return no_model(name, "it has safetensors but no config.json");
    }
    let mut chosen: Vec<String> = files.iter().filter(|it| is_companion(it)).cloned().collect();
    chosen.push(weights);
    Ok(Selection::Folder(chosen))
}

fn one_gguf(name: &str, file: &str) -> Result<Selection> {
    match is_split(file) {
        true => no_model(name, &format!("{file} is one part of a split GGUF; use one joined file")),
        false => Ok(Selection::Gguf(file.to_owned())),
    }
}

/// Configuration, tokenizer and template files, but no weights and no training records.
fn is_companion(file: &str) -> bool {
    if let Some(template) = file.strip_prefix("additional_chat_templates/") {
        return template.ends_with(".jinja");
    }
    let record = file.ends_with(".index.json") || file == "trainer_state.json";
    let text = [".json", ".jinja", ".tiktoken"].iter().any(|end| file.ends_with(end));
    let named = ["tokenizer.model", "merges.txt", "vocab.txt"].contains(&file);
    !file.contains('/') && !record && (text || named)
}

fn is_root_safetensors(file: &str) -> bool {
    file.ends_with(".safetensors") && !file.contains('/') && !file.starts_with("adapter_model")
}

/// GGUF files that are a language model: not a vision projector, not an importance matrix.
fn is_gguf_model(file: &str) -> bool {
    let base = file.rsplit('/').next().unwrap_or(file).to_lowercase();
    base.ends_with(".gguf") && !base.starts_with("mmproj") && !base.contains("imatrix")
}

/// `…-00001-of-00003.gguf`.
fn is_split(file: &str) -> bool {
    glob::matches("*-?????-of-?????.gguf", file)
}

/// Whether a packing label stands alone in a file name: `Q4_K` is not in `x-Q4_K_M.gguf`.
fn has_label(file: &str, label: &str) -> bool {
    let (file, label) = (file.to_lowercase(), label.to_lowercase());
    let stem = file.strip_suffix(".gguf").unwrap_or(&file);
    let joins = |it: char| it.is_alphanumeric() || it == '_';
    stem.match_indices(&label).any(|(at, found)| {
        let before = stem[..at].chars().next_back();
        let after = stem[at + found.len()..].chars().next();
        // An underscore may lead up to a label (`model_q4_0`), but not continue it.
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(joins)
    })
}

/// What to write after the colon to mean this file: its packing label, or its name.
fn choice(file: &str) -> Option<String> {
    if is_root_safetensors(file) {
        return Some(file.to_owned());
    }
    let stem = is_gguf_model(file).then(|| file.rsplit('/').next())??;
    let stem = &stem[..stem.len() - ".gguf".len()];
    let packing = |it: &str| {
        let it = it.to_uppercase();
        ["Q", "IQ", "TQ", "F", "BF", "FP", "MXFP"].iter().any(|start| {
            it.strip_prefix(start)
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        })
    };
    let label = stem.rsplit(['-', '.']).find(|it| packing(it));
    Some(label.map_or_else(|| file.to_owned(), str::to_owned))
}

/// The labels, unless they do not tell the files apart.
fn ambiguous(name: &str, files: &[&String]) -> Error {
    let labels: BTreeSet<String> = files.iter().filter_map(|it| choice(it)).collect();
    let choices = match labels.len() == files.len() {
        true => labels.into_iter().collect(),
        false => files.iter().map(|it| (*it).clone()).collect(),
    };
    Error::Ambiguous { name: name.split(':').next().unwrap_or(name).to_owned(), choices }
}

fn no_model<T>(name: &str, reason: &str) -> Result<T> {
    Err(Error::NoModel { name: name.to_owned(), reason: reason.to_owned() })
}

#[cfg(test)]
#[path = "select_tests.rs"]
mod tests;
