//! What can be wrong with a file.

use std::{io, path::PathBuf};

/// Result of reading a checkpoint.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A file that cannot be used, and why.
///
/// Every variant names the file (or the file and field) it speaks of. Text taken from the file is
/// quoted, escaped and cut, so that a message is safe to print.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A pipe, device or folder where a file was wanted.
    #[error("{path}: not a regular file")]
    NotRegularFile {
        /// What was named.
        path: PathBuf,
    },
    /// The path holds no checkpoint that can be opened.
    #[error("{path}: {problem}")]
    NotCheckpoint {
        /// The file or folder.
        path: PathBuf,
        /// What was looked for, and what to do.
        problem: String,
    },
    /// The file ends before what it declares.
    #[error(
        "{path}: {what} needs {needs} bytes, but only {has} are left: the file is cut short or \
         damaged; fetch it again"
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// What was being read.
        what: String,
        /// Bytes it needs.
        needs: u64,
        /// Bytes that are left.
        has: u64,
    },
    /// A number is larger than this crate accepts.
    #[error("{path}: {what} is {value}, the limit is {limit}")]
    Limit {
        /// The file.
        path: PathBuf,
        /// What the number counts.
        what: String,
        /// Its value.
        value: u64,
        /// The largest value accepted.
        limit: u64,
    },
    /// The bytes do not follow the format.
    #[error("{path}: {problem}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, with position or name.
        problem: String,
    },
    /// A name that must be unique appears twice.
    #[error("{path}: {what} {name} appears more than once")]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// Kind of thing named: a tensor, a metadata key.
        what: &'static str,
        /// The name, quoted.
        name: String,
    },
    /// A GGUF version other than 2 and 3.
    #[error(
        "{path}: GGUF version {version} is not supported (2 and 3 are); convert the model again \
         with a current tool"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The version it declares.
        version: u32,
    },
    /// A GGUF file written for big-endian machines.
    #[error("{path}: big-endian GGUF is not supported; use the little-endian file")]
    BigEndian {
        /// The file.
        path: PathBuf,
    },
    /// One part of a GGUF model that was split into several files.
    #[error(
        "{path}: this is one of {count} parts of a split GGUF; join them first \
         (llama-gguf-split --merge)"
    )]
    SplitGguf {
        /// The file.
        path: PathBuf,
        /// Number of parts.
        count: u64,
    },
    /// A GGUF tensor type that this crate does not know.
    #[error("{path}: tensor {tensor} has GGUF type number {number}, which is not supported")]
    GgufType {
        /// The file.
        path: PathBuf,
        /// The tensor, quoted.
        tensor: String,
        /// The type number in the file.
        number: u32,
    },
    /// A tensor type the format or this crate cannot hold.
    #[error("{path}: tensor {tensor} has type {dtype}, which is not supported")]
    Dtype {
        /// The file.
        path: PathBuf,
        /// The tensor, quoted.
        tensor: String,
        /// The type's name.
        dtype: String,
    },
    /// A tensor whose description cannot be right.
    #[error("{path}: tensor {tensor}: {problem}")]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor, quoted.
        tensor: String,
        /// What is wrong, with the numbers.
        problem: String,
    },
    /// A tensor was asked for that the checkpoint does not have.
    #[error("{path}: tensor {tensor} is missing")]
    MissingTensor {
        /// The checkpoint, or the shard that should hold it.
        path: PathBuf,
        /// The tensor, quoted.
        tensor: String,
    },
    /// A shard name that leads out of the checkpoint's folder.
    #[error(
        "{path}: shard name {shard} is refused: shards must lie inside the checkpoint's folder"
    )]
    UnsafeShard {
        /// The index.
        path: PathBuf,
        /// The name, quoted.
        shard: String,
    },
    /// A shard that the index names and the folder lacks.
    #[error("{path}: shard {shard} is missing; fetch the model again")]
    MissingShard {
        /// The index.
        path: PathBuf,
        /// The name, quoted.
        shard: String,
    },
    /// A mapped file changed its length after it was opened.
    #[error("{path}: the file changed while in use: {was} bytes when opened, now {now}")]
    Changed {
        /// The file.
        path: PathBuf,
        /// Length when it was opened.
        was: u64,
        /// Length now.
        now: u64,
    },
    /// A configuration field is missing, of the wrong type or out of range.
    #[error("{origin}: {field}: {problem}")]
    Field {
        /// The file (or part of it) the field belongs to.
        origin: String,
        /// The field.
        field: String,
        /// What is wrong, with value and limit.
        problem: String,
    },
    /// Quantisation metadata and tensors do not agree.
    #[error("quantisation of {module}: {problem}")]
    Quantization {
        /// The module, quoted: a tensor's name without `.weight`.
        module: String,
        /// What is wrong, with the numbers.
        problem: String,
    },
}

/// `text` quoted, escaped and cut to a length fit for a message.
pub(crate) fn quote(text: &str) -> String {
    match text.char_indices().nth(120) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// A parser's message, which may repeat what it found, cut to a length fit for a message.
pub(crate) fn brief(error: &serde_json::Error) -> String {
    let mut text = error.to_string();
    if let Some((end, _)) = text.char_indices().nth(300) {
        text.truncate(end);
        text.push('…');
    }
    text
}
