//! Standard output carries answers and data only; everything else goes to standard error.

use std::{
    fmt,
    io::{self, Write},
};

use anyhow::{Context, Result};
use serde::Serialize;

/// Whoever read our standard output has gone (`tessera list | head -1`). Not a failure.
#[derive(Debug)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads standard output any more")
    }
}

impl std::error::Error for Closed {}

/// Writes `text` to standard output at once.
///
/// # Errors
/// [`Closed`] when the reader has gone, else the system's error.
pub fn write(text: impl fmt::Display) -> Result<()> {
    let mut out = io::stdout().lock();
    checked(write!(out, "{text}").and_then(|()| out.flush()))
}

/// Writes `text` and a line end.
///
/// # Errors
/// As [`write()`].
pub fn line(text: impl fmt::Display) -> Result<()> {
    write(format_args!("{text}\n"))
}

/// Writes `value` as JSON, indented, with a line end.
///
/// # Errors
/// As [`write()`].
pub fn json(value: &impl Serialize) -> Result<()> {
    line(serde_json::to_string_pretty(value).context("cannot express the result as JSON")?)
}

fn checked(result: io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Closed.into()),
        other => other.context("cannot write to standard output"),
    }
}

/// Tells the person something, on standard error. A closed standard error is nobody's loss.
pub fn note(text: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
