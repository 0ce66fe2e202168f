//! What a user may write where a model is wanted.

use std::{fmt, path::PathBuf, str::FromStr};

use crate::{
    catalogue::Catalogue,
    error::{Error, Result},
    suggest,
};

/// A parsed model name.
///
/// ```
/// use tessera_hub::Name;
/// # fn main() -> Result<(), tessera_hub::Error> {
/// assert!(matches!(Name::parse("smollm2")?, Name::Catalogue(_)));
/// assert!(matches!(Name::parse("./model.gguf")?, Name::Path(_)));
/// let Name::Hub(name) = Name::parse("org/repo@v1:Q4_K_M")? else { unreachable!() };
/// assert_eq!(name.revision.as_deref(), Some("v1"));
/// assert_eq!(name.filter.as_deref(), Some("Q4_K_M"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// A file or folder on this machine.
    Path(PathBuf),
    /// A model repository of the Hub.
    Hub(HubName),
    /// A short name of the catalogue, in its spelling there.
    Catalogue(String),
}

/// `org/repo[@revision][:filter]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubName {
    /// The repository.
    pub repo: RepoId,
    /// A branch, tag or commit; `main` when absent.
    pub revision: Option<String>,
    /// A file (`model.Q8_0.gguf`), a glob (`*Q8*`) or a packing label (`Q8_0`).
    pub filter: Option<String>,
}

/// `org/repo`: two parts of letters, digits, `-`, `_` and `.`, as the Hub allows them. Safe to
/// use in a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepoId {
    org: String,
    repo: String,
}

impl Name {
    /// Parses a name, looking short names up in the built-in catalogue.
    ///
    /// Anything that begins with `/`, `./`, `../` or `~/`, or ends in `.gguf` without a colon, is a
    /// path. Then come short names; then whatever exists at that relative path; then Hub ids.
    ///
    /// # Errors
    /// [`Error::BadName`], [`Error::UnknownName`]; both carry suggestions.
    pub fn parse(text: &str) -> Result<Self> {
        Self::parse_with(text, &Catalogue::built_in())
    }

    /// Like [`Name::parse`], with another catalogue.
    ///
    /// # Errors
    /// As [`Name::parse`].
    pub fn parse_with(text: &str, catalogue: &Catalogue) -> Result<Self> {
        let bad = |reason: &str, suggestions: Vec<String>| {
            let (name, reason) = (text.to_owned(), reason.to_owned());
            Err(Error::BadName { name, reason, suggestions })
        };
        if text.trim().is_empty() {
            return bad("it is empty", catalogue.names());
        }
        if text.trim() != text || text.chars().any(char::is_control) {
            return bad(
                "it holds stray spaces or control characters",
                vec![text.trim().to_owned()],
            );
        }
        if let Some((_, rest)) = text.split_once("://") {
            // An address pasted from a browser: offer the two parts after the host.
            let parts: Vec<&str> = rest.split('/').skip(1).take(2).collect();
            let suggestion = (parts.len() == 2).then(|| parts.join("/"));
            return bad("it is a web address", suggestion.into_iter().collect());
        }
        let entry = catalogue.find(text);
        match entry {
            _ if is_path(text) => Ok(Self::Path(PathBuf::from(text))),
            Some(entry) => Ok(Self::Catalogue(entry.name.clone())),
            None if PathBuf::from(text).exists() => Ok(Self::Path(PathBuf::from(text))),
            None if text.contains('/') => HubName::from_str(text).map(Self::Hub),
            None => Err(Error::UnknownName {
                name: text.to_owned(),
                suggestions: suggest::nearest(text, &catalogue.names()),
            }),
        }
    }
}

/// Paths that are written as such, whether or not they exist.
fn is_path(text: &str) -> bool {
    let marked = ["/", "./", "../", "~/"].iter().any(|start| text.starts_with(start));
    marked || matches!(text, "." | "..") || (text.ends_with(".gguf") && !text.contains(':'))
}

impl FromStr for HubName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = |reason: &str| {
            let (name, reason) = (text.to_owned(), reason.to_owned());
            Err(Error::BadName { name, reason, suggestions: suggest::hub_spelling(text) })
        };
        let (rest, filter) = match text.split_once(':') {
            Some((rest, filter)) => (rest, Some(filter)),
            None => (text, None),
        };
        let (repo, revision) = match rest.split_once('@') {
            Some((repo, revision)) => (repo, Some(revision)),
            None => (rest, None),
        };
        let Some(repo) = RepoId::new(repo) else {
            return bad("a Hub id is org/repo in letters, digits, `-`, `_` and `.`");
        };
        if revision.is_some_and(|it| !is_revision(it)) {
            return bad("the revision after @ must be a branch, tag or commit");
        }
        if filter.is_some_and(|it| it.is_empty() || it.len() > 255) {
            return bad("the filter after the colon must have 1 to 255 characters");
        }
        Ok(Self { repo, revision: revision.map(str::to_owned), filter: filter.map(str::to_owned) })
    }
}

/// A git reference name that is also safe as a relative path below `refs/`.
fn is_revision(text: &str) -> bool {
    let part = |it: &str| {
        !it.is_empty()
            && !it.starts_with('.')
            && it.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte))
    };
    text.len() <= 255 && text.split('/').all(part)
}

impl RepoId {
    /// Reads `org/repo`; `None` where the Hub would refuse the name.
    pub fn new(text: &str) -> Option<Self> {
        let (org, repo) = text.split_once('/')?;
        let good = |it: &str| {
            let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            let edge = |byte: Option<&u8>| byte.is_some_and(|it| !b"-.".contains(it));
            it.len() <= 96
                && it.bytes().all(inner)
                && edge(it.as_bytes().first())
                && edge(it.as_bytes().last())
                && !it.contains("--")
                && !it.contains("..")
        };
        (good(org) && good(repo)).then(|| Self { org: org.to_owned(), repo: repo.to_owned() })
    }

    /// The organisation or user.
    pub fn org(&self) -> &str {
        &self.org
    }

    /// The repository within it.
    pub fn repo(&self) -> &str {
        &self.repo
    }

    /// The folder of this repository in a Hub cache: `models--org--repo`.
    pub fn folder(&self) -> String {
        format!("models--{}--{}", self.org, self.repo)
    }

    /// The inverse of [`RepoId::folder`].
    pub fn from_folder(folder: &str) -> Option<Self> {
        Self::new(&folder.strip_prefix("models--")?.replacen("--", "/", 1))
    }
}

impl fmt::Display for RepoId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.org, self.repo)
    }
}

impl HubName {
    /// The revision asked for, or the Hub's default branch.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }
}

impl fmt::Display for HubName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.repo)?;
        if let Some(revision) = &self.revision {
            write!(out, "@{revision}")?;
        }
        if let Some(filter) = &self.filter {
            write!(out, ":{filter}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(out, "{}", path.display()),
            Self::Hub(name) => write!(out, "{name}"),
            Self::Catalogue(name) => write!(out, "{name}"),
        }
    }
}
