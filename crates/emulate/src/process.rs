//! Compiled kernels in a process of their own, where a sanitizer watches.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use crate::{
    Language, Sanitizer,
    error::{Error, Finding, io, source_line},
    library::Request,
    symbols,
};

/// What cxx/driver.cpp ends with if threads did not meet.
const FAILED: i32 = 3;

/// How a launch in another process ended.
pub(crate) enum Ending {
    /// The buffers are filled.
    Well,
    /// What the runtime reports.
    Failed(String),
    /// What the sanitizer reports.
    Found(Finding),
    /// The time was up.
    TooLong,
}

/// A program that runs kernels.
pub(crate) struct Process {
    pub language: Language,
    pub program: PathBuf,
    pub sanitizer: Sanitizer,
}

impl Process {
    /// Runs a kernel; see driver.cpp for the files.
    pub fn launch(
        &self,
        text: &str,
        request: &Request<'_>,
        buffers: &mut [&mut [u8]],
    ) -> Result<Ending, Error> {
        let folder = crate::compile::folder()?;
        let (launch, filled) = (folder.path().join("launch"), folder.path().join("buffers"));
        fs::write(&launch, describe(request, buffers)).map_err(io(&launch))?;
        let Some(output) = self.run(&launch, &filled, request.limit)? else {
            return Ok(Ending::TooLong);
        };
        let report = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.code() {
            Some(0) => {
                let bytes = fs::read(&filled).map_err(io(&filled))?;
                let mut rest = bytes.as_slice();
                for buffer in buffers {
                    let (data, after) = rest.split_at_checked(buffer.len()).unwrap_or_default();
                    if data.len() != buffer.len() {
                        let messages = "it wrote fewer bytes than the buffers have".to_owned();
                        return Err(Error::Tool { what: "running the kernels", messages });
                    }
                    buffer.copy_from_slice(data);
                    rest = after;
                }
                Ok(Ending::Well)
            }
            Some(FAILED) => {
                Ok(Ending::Failed(String::from_utf8_lossy(&output.stdout).trim().to_owned()))
            }
            _ => match self.finding(text, &report) {
                Some(finding) => Ok(Ending::Found(finding)),
                None => {
                    let messages = format!("{}\n{report}", output.status);
                    Err(Error::Tool { what: "running the kernels", messages })
                }
            },
        }
    }

    /// Runs the program; `None` if it took too long.
    fn run(&self, launch: &Path, filled: &Path, limit: Duration) -> Result<Option<Output>, Error> {
        let mut command = Command::new(&self.program);
        command.arg(launch).arg(filled);
        match self.sanitizer {
            Sanitizer::Thread => command.env("TSAN_OPTIONS", "halt_on_error=1:symbolize=0"),
            _ => command
                .env("ASAN_OPTIONS", "detect_leaks=0:detect_stack_use_after_return=0:symbolize=0"),
        };
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(io(&self.program))?;
        let (done, ended) = mpsc::channel();
        // Somebody must read what it says, or it would wait.
        let (mut said, mut reported) = (child.stdout.take(), child.stderr.take());
        let reader = thread::spawn(move || {
            let mut report = Vec::new();
            let read = reported.as_mut().map_or(Ok(0), |pipe| pipe.read_to_end(&mut report));
            _ = done.send(());
            read.map(|_| report)
        });
        if ended.recv_timeout(limit).is_err() {
            child.kill().map_err(io(&self.program))?;
            child.wait().map_err(io(&self.program))?;
            return Ok(None);
        }
        let mut stdout = Vec::new();
        let read = said.as_mut().map_or(Ok(0), |pipe| pipe.read_to_end(&mut stdout));
        read.map_err(io(&self.program))?;
        let status = child.wait().map_err(io(&self.program))?;
        let stderr = reader.join().unwrap_or_else(|_| Ok(Vec::new())).map_err(io(&self.program))?;
        Ok(Some(Output { status, stdout, stderr }))
    }

    /// What a sanitizer found, if the report is one's.
    fn finding(&self, text: &str, report: &str) -> Option<Finding> {
        let after = |mark: &str| report.split_once(mark).and_then(|(_, rest)| rest.lines().next());
        let race =
            after("WARNING: ThreadSanitizer: ").or_else(|| after("ERROR: ThreadSanitizer: "));
        let kind = race.and_then(|line| line.split(" (pid").next());
        let kind = kind.or_else(|| after("ERROR: AddressSanitizer: ")?.split(' ').next());
        let kind = kind.or_else(|| after("runtime error: "))?.trim().to_owned();
        // Lines stand in the report itself, or places in the program do: `(folder/kernels+0x1234)`.
        let file = self.language.file();
        let mut numbers = symbols::mentioned(report, file);
        for place in report.split("kernels+0x").skip(1) {
            let digits = place.split(|c: char| !c.is_ascii_hexdigit()).next().unwrap_or_default();
            let offset = u64::from_str_radix(digits, 16).unwrap_or(0);
            numbers.extend(symbols::line(&self.program, offset, file));
        }
        let mut lines: Vec<(u32, String)> = Vec::new();
        for line in numbers {
            if lines.iter().all(|&(known, _)| known != line) {
                lines.push((line, source_line(text, line)));
            }
        }
        Some(Finding { kind, lines, report: report.to_owned() })
    }
}

/// A launch as driver.cpp reads it.
fn describe(request: &Request<'_>, buffers: &[&mut [u8]]) -> Vec<u8> {
    let mut numbers = vec![request.kernel];
    numbers.extend(request.grid);
    numbers.extend([request.backward.into(), request.words.len() as u32]);
    numbers.extend(request.words);
    numbers.push(buffers.len() as u32);
    let mut bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_ne_bytes()).collect();
    for buffer in buffers {
        bytes.extend((buffer.len() as u64).to_ne_bytes());
        bytes.extend(buffer.iter());
    }
    bytes
}
