//! What can go wrong between text and token ids.

/// Every failure of this crate. Messages name the file (or what stands for it), the value, the
/// limit it broke and, where there is one, the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read.
    #[error("{origin}: {source}")]
    Io {
        /// The file.
        origin: String,
        /// Why.
        source: std::io::Error,
    },
    /// A part of a tokenizer or template is larger than this crate accepts.
    #[error("{origin}: {what} is {value}, over the limit of {limit}")]
    TooLarge {
        /// File the value comes from.
        origin: String,
        /// What was measured.
        what: &'static str,
        /// Its size.
        value: u64,
        /// The largest size accepted.
        limit: u64,
    },
    /// A part is present but cannot be right.
    #[error("{origin}: {what}: {detail}")]
    Invalid {
        /// File the value comes from.
        origin: String,
        /// Which part.
        what: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// A part that the format requires is absent.
    #[error("{origin}: {what} is missing")]
    Missing {
        /// File that lacks it.
        origin: String,
        /// Which part.
        what: &'static str,
    },
    /// The file is well formed but asks for something this crate does not implement.
    #[error("{origin}: {what} `{name}` is not supported; {hint}")]
    Unsupported {
        /// File that asks.
        origin: String,
        /// Kind of thing asked for.
        what: &'static str,
        /// Its name in the file.
        name: String,
        /// What to do instead.
        hint: &'static str,
    },
    /// A token id that the vocabulary does not have.
    #[error("token id {id} is outside the vocabulary of {size} tokens")]
    UnknownId {
        /// The id.
        id: u32,
        /// Number of ids the vocabulary has.
        size: usize,
    },
    /// A text the tokenizer cannot express, or a rule of the tokenizer that failed on it.
    #[error("cannot encode the text: {0}")]
    Encode(String),
    /// The chat template does not parse, or stopped with an error of its own.
    #[error("chat template of {origin}: {detail}")]
    Template {
        /// File the template comes from.
        origin: String,
        /// Error and line, as the template engine words it.
        detail: String,
    },
    /// The chat template refused these messages by calling `raise_exception`.
    #[error("chat template refused the conversation: {0}")]
    Refused(String),
    /// The chat template ran past its budget of work, depth or output.
    #[error(
        "chat template of {origin} exceeded its {what}; the template loops or grows without end"
    )]
    Runaway {
        /// File the template comes from.
        origin: String,
        /// Which budget.
        what: &'static str,
    },
    /// A checkpoint error underneath.
    #[error(transparent)]
    Format(#[from] tessera_formats::Error),
}

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;
