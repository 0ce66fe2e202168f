//! What can be wrong with a text, and what can go wrong when it runs.

use std::{fmt, io, path::PathBuf};

use crate::{Language, Sanitizer, lint::Complaint};

/// Why a text cannot be built, or a launch did not end well.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no compiler.
    #[error(
        "no clang++ of version {least} or later: tried {}. Install it (Debian: apt-get install clang-19 libclang-rt-19-dev)",
        tried.join(", ")
    )]
    NoCompiler {
        /// Names, and what became of each.
        tried: Vec<String>,
        /// The oldest version that will do.
        least: u32,
    },
    /// The text is not what the language allows.
    #[error("{language} text, line {}: {}\n    {source_line}", complaint.line, complaint.what)]
    Lint {
        /// Which language.
        language: Language,
        /// Where and what.
        complaint: Complaint,
        /// That line.
        source_line: String,
    },
    /// The text does not compile.
    #[error("the {language} text does not compile:\n{messages}")]
    Rejected {
        /// Which language.
        language: Language,
        /// What the compiler says.
        messages: String,
    },
    /// The compiler is there, the sanitizer's library is not.
    #[error(
        "the compiler lacks the library of {sanitizer:?} sanitizing. Install it (Debian: apt-get install libclang-rt-19-dev):\n{messages}"
    )]
    NoSanitizer {
        /// Which.
        sanitizer: Sanitizer,
        /// What the linker says.
        messages: String,
    },
    /// A tool of ours failed, which is no fault of the text.
    #[error("{what} failed:\n{messages}")]
    Tool {
        /// Doing what.
        what: &'static str,
        /// What it says.
        messages: String,
    },
    /// More threads than the thread sanitizer can tell apart reliably.
    #[error(
        "kernel {kernel} has {threads} threads; the thread sanitizer sees races of up to {limit} only"
    )]
    Threads {
        /// Its name.
        kernel: String,
        /// Its threads.
        threads: u32,
        /// How many there may be.
        limit: u32,
    },
    /// There is no such kernel.
    #[error("no kernel {kernel} in the library, which has {}", known.join(", "))]
    Unknown {
        /// What was asked for.
        kernel: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A launch that does not fit the kernel.
    #[error("kernel {kernel} takes {expected} {what}, not {given}")]
    Mismatch {
        /// Its name.
        kernel: String,
        /// Of what.
        what: &'static str,
        /// How many it takes.
        expected: usize,
        /// How many came.
        given: usize,
    },
    /// Threads that did not meet.
    #[error("kernel {kernel}, threadgroup {group:?}: {what}{}", Lines(lines))]
    Divergent {
        /// Its name.
        kernel: String,
        /// Which threadgroup.
        group: [u32; 3],
        /// Who waits for whom.
        what: String,
        /// Lines of the printed text, each with the kernel's own file and line in its comment: where the first waits, and
        /// where the other is.
        lines: Vec<(u32, String)>,
    },
    /// What would end a process.
    #[error("kernel {kernel}, threadgroup {group:?}: {what}{}", Lines(lines))]
    Fault {
        /// Its name.
        kernel: String,
        /// Which threadgroup.
        group: [u32; 3],
        /// Which thread, and what.
        what: String,
        /// The line of the printed text, with the kernel's own file and line in its comment.
        lines: Vec<(u32, String)>,
    },
    /// A launch that does not end.
    #[error("kernel {kernel} did not end within {seconds} s")]
    TooLong {
        /// Its name.
        kernel: String,
        /// How long it ran.
        seconds: f64,
    },
    /// A write beside a buffer, within its pages.
    #[error("kernel {kernel} wrote outside of the buffer {buffer}, at byte {byte} of {bytes}")]
    Outside {
        /// Its name.
        kernel: String,
        /// The buffer's name.
        buffer: &'static str,
        /// Where, from the buffer's beginning.
        byte: i64,
        /// The buffer's bytes.
        bytes: usize,
    },
    /// A sanitizer found something.
    #[error("kernel {kernel}: {finding}")]
    Found {
        /// Its name.
        kernel: String,
        /// What.
        finding: Finding,
    },
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A library cannot be loaded.
    #[error("loading the compiled kernels: {0}")]
    Load(#[from] libloading::Error),
}

/// What a sanitizer reports.
#[derive(Debug, Clone)]
pub struct Finding {
    /// In its words: `data race`, `heap-buffer-overflow`.
    pub kind: String,
    /// Lines of the printed text that it names, the first most to the point.
    pub lines: Vec<(u32, String)>,
    /// All that it says.
    pub report: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.kind, Lines(&self.lines))?;
        if self.lines.is_empty() { write!(f, "\n{}", self.report) } else { Ok(()) }
    }
}

/// Lines of a printed text.
struct Lines<'a>(&'a [(u32, String)]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(line, text)| write!(f, "\n    line {line}: {text}"))
    }
}

/// An error of a file.
pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
    let path = path.into();
    move |source| Error::Io { path, source }
}

/// A line of a text, counted from 1, without the blanks around it.
pub(crate) fn source_line(text: &str, line: u32) -> String {
    let at = (line as usize).checked_sub(1);
    at.and_then(|at| text.lines().nth(at)).unwrap_or_default().trim().to_owned()
}
