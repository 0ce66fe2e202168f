//! Failures as people and shells see them.

use std::{error::Error, fmt};

use tessera_engine::LoadError;

use crate::{hints, output::Closed, style::Style, units};

/// What the shell is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Success,
    /// Failed.
    Failure,
    /// The command line is wrong.
    Usage,
    /// Stopped by Ctrl-C.
    Interrupted,
}

impl Exit {
    /// The exit status.
    pub fn code(self) -> i32 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Interrupted => 130,
        }
    }
}

/// The command line is wrong in a way that only the command itself can tell.
#[derive(Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Usage {}

/// An error that says: the command line is wrong.
pub fn usage(text: impl Into<String>) -> anyhow::Error {
    Usage(text.into()).into()
}

/// A model that would have to be downloaded first, by a command that does not download.
#[derive(Debug)]
pub struct NotHere(pub String);

impl fmt::Display for NotHere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not on this machine", self.0)
    }
}

impl Error for NotHere {}

/// A model whose weights alone exceed the memory; nothing has been downloaded.
#[derive(Debug)]
pub struct TooLarge {
    /// The model.
    pub name: String,
    /// Bytes of its files.
    pub bytes: u64,
    /// Bytes a model may take.
    pub allowed: u64,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (needed, allowed) = (units::bytes(self.bytes), units::bytes(self.allowed));
        write!(
            f,
            "{} has {needed} of weights, but a model may take {allowed} here; not downloaded",
            self.name
        )
    }
}

impl Error for TooLarge {}

/// The exit status of an error.
pub fn exit(error: &anyhow::Error) -> Exit {
    if error.is::<Closed>() {
        Exit::Success
    } else if is_cancelled(error) {
        Exit::Interrupted
    } else if error.is::<Usage>() {
        Exit::Usage
    } else {
        Exit::Failure
    }
}

/// Whether somebody pressed Ctrl-C while a model was loaded, which is no failure.
fn is_cancelled(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(LoadError::Cancelled))
}

/// What is printed for an error: one line, its causes, and what to do. Nothing if the reader has gone.
pub fn report(error: &anyhow::Error, style: Style) -> String {
    if error.is::<Closed>() {
        return String::new();
    }
    if is_cancelled(error) {
        return format!("{}\n", style.dim("(stopped)"));
    }
    let mut text = format!("{} {error}\n", style.red("error:"));
    let mut said = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // Many messages include their cause already.
        if !said.contains(&cause) {
            text += &format!("  {} {cause}\n", style.dim("because:"));
            said = cause;
        }
    }
    if let Some(hint) = hints::of(error) {
        text += &format!("{} {hint}\n", style.yellow("hint:"));
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;
    use crate::style::Color;

    fn plain(error: &anyhow::Error) -> String {
        report(error, Style::stderr(Color::Never))
    }

    #[test]
    fn causes_are_told_once() {
        let inner = std::io::Error::other("disk on fire");
        let error =
            Err::<(), _>(inner).context("cannot read x").context("cannot load y").unwrap_err();
        assert_eq!(
            plain(&error),
            "error: cannot load y\n  because: cannot read x\n  because: disk on fire\n"
        );
        let error = Err::<(), _>(std::io::Error::other("gone")).context("x: gone").unwrap_err();
        assert_eq!(plain(&error), "error: x: gone\n");
    }

    #[test]
    fn statuses() {
        assert_eq!(exit(&usage("no")).code(), 2);
        assert_eq!(Exit::Interrupted.code(), 130);
        assert_eq!(exit(&anyhow::anyhow!("x")).code(), 1);
        assert_eq!(exit(&Closed.into()).code(), 0);
        assert_eq!(plain(&Closed.into()), "");
        let stopped = LoadError::Cancelled.into();
        assert_eq!((exit(&stopped).code(), plain(&stopped).as_str()), (130, "(stopped)\n"));
    }
}
