//! A tiny model whose answers are known, and the program that runs it.

#![allow(dead_code)] // every test program uses its part

mod tiny;

use std::{
    ffi::OsStr,
    io::Write,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

pub use tiny::Tiny;

/// A folder with a tiny model and empty caches.
pub struct World {
    folder: TempDir,
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl World {
    /// A world with a chat model that answers `Ok, blue!`.
    pub fn new() -> Self {
        Self::with(&Tiny::chat("Ok, blue!"))
    }

    pub fn with(tiny: &Tiny) -> Self {
        let world = Self { folder: tempfile::tempdir().expect("temporary folder") };
        tiny.write(&world.path("tiny.gguf"));
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The model's file, as an argument.
    pub fn model(&self) -> String {
        self.path("tiny.gguf").display().to_string()
    }

    /// The program, cut off from this machine's caches and from the network.
    pub fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tessera"));
        command.args(args).arg("--offline").arg("--cache-dir").arg(self.path("cache"));
        command.current_dir(self.folder.path()).env_clear().env("HOME", self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the program without input.
    pub fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Ended {
        Ended::from(self.command(args).output().expect("runs"))
    }

    /// Runs the program with `input` piped in.
    pub fn pipe<S: AsRef<OsStr>>(&self, args: &[S], input: &str) -> Ended {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().expect("runs");
        let mut stdin = child.stdin.take().expect("piped");
        // The program may end before it has read everything.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        Ended::from(child.wait_with_output().expect("ends"))
    }

    pub fn spawn<S: AsRef<OsStr>>(&self, args: &[S]) -> Child {
        self.command(args).spawn().expect("runs")
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path: PathBuf = self.path(name);
        std::fs::write(&path, bytes).expect("written");
        path.display().to_string()
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("UTF-8 on standard output"),
            err: String::from_utf8(output.stderr).expect("UTF-8 on standard error"),
        }
    }
}

impl Ended {
    /// Standard output of a run that went well.
    pub fn success(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// The same as JSON.
    pub fn json(self) -> Value {
        let text = self.success();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Standard error of a run that failed with `code`, printing nothing on standard output and not by a
    /// panic.
    pub fn failure(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.out, "", "{self:?}");
        assert!(self.err.starts_with("error: ") && !self.err.contains("panicked"), "{}", self.err);
        self.err
    }
}
