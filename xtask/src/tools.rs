//! Jobs that other programs do.

use std::{
    fs,
    process::{Command, Stdio},
};

use crate::root;

pub(crate) type Result<T = ()> = std::result::Result<T, String>;

/// The whole check.
pub fn ci() -> Result {
    run(Command::new(root().join(".ci/run")))
}

/// Targets of the crate that has `unsafe` code, which run under the address sanitizer. It would make the
/// others, of a crate without any, slower for nothing.
const HAS_UNSAFE: [&str; 4] = ["config", "gguf", "safetensors", "safetensors_index"];

/// Tests of the GPU kernels, with their text in `language` executed beside the simulator, small launches under a
/// `sanitizer` if one is named.
pub fn emulate(language: &str, sanitizer: Option<&str>) -> Result {
    let mut test = Command::new("cargo");
    test.args(["test", "--locked", "--release", "-p", "tessera-kernels", "--tests"]);
    test.env("TESSERA_EMULATE", language);
    test.envs(sanitizer.map(|sanitizer| ("TESSERA_SANITIZE", sanitizer)));
    run(test)
}

/// Runs one fuzz target, or each in turn, on `runs` inputs.
pub fn fuzz(target: &str, runs: &str) -> Result {
    let runs: u64 = runs.parse().map_err(|e| format!("{runs:?} is no number of inputs: {e}"))?;
    if !works(Command::new("cargo").args(["fuzz", "--version"])) {
        return Err("fuzzing needs cargo-fuzz: cargo install --locked cargo-fuzz".into());
    }
    let all = targets()?;
    let chosen: Vec<&String> =
        all.iter().filter(|name| target == "all" || *name == target).collect();
    if chosen.is_empty() {
        return Err(format!("no fuzz target {target:?}; there are {}", all.join(", ")));
    }
    for name in chosen {
        println!("== {name}");
        let corpus = root().join("fuzz/corpus").join(name);
        fs::create_dir_all(&corpus).map_err(|e| format!("{}: {e}", corpus.display()))?;
        let seeds = root().join("fuzz/seeds").join(name);
        let mut command = nightly();
        command.args(["fuzz", "run", "-O"]);
        if !HAS_UNSAFE.contains(&name.as_str()) {
            command.args(["--sanitizer", "none"]);
        }
        command.arg(name).arg(corpus).args(seeds.is_dir().then_some(seeds));
        // In 2 KB there is room for everything a parser knows, and no reason to take minutes.
        command.args(["--", "-max_len=2048", "-timeout=300"]).arg(format!("-runs={runs}"));
        let words = root().join("fuzz/dicts").join(name).with_extension("dict");
        command.args(words.is_file().then(|| format!("-dict={}", words.display())));
        run(command)?;
    }
    Ok(())
}

/// Cargo of a nightly toolchain; where there is none, the usual one, told to take nightly's options.
fn nightly() -> Command {
    let mut command = Command::new("cargo");
    match works(Command::new("rustup").args(["run", "nightly", "rustc", "--version"])) {
        true => command.arg("+nightly"),
        false => command.env("RUSTC_BOOTSTRAP", "1"),
    };
    command
}

/// Names of the fuzz targets, sorted.
fn targets() -> Result<Vec<String>> {
    let folder = root().join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

/// Advisories, licences and sources of dependencies, by `deny.toml`.
pub fn audit() -> Result {
    if !works(Command::new("cargo").args(["deny", "--version"])) {
        return Err("the audit needs cargo-deny: cargo install --locked cargo-deny".into());
    }
    let mut command = Command::new("cargo");
    command.args(["deny", "check"]);
    run(command)
}

/// Runs a program in the repository, its output shown.
pub(crate) fn run(mut command: Command) -> Result {
    let name = command.get_program().to_string_lossy().into_owned();
    match command.current_dir(root()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{name}: {status}")),
        Err(error) => Err(format!("{name}: {error}")),
    }
}

/// Whether a program is there and content.
pub(crate) fn works(command: &mut Command) -> bool {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each target is declared where cargo-fuzz looks for it, and nothing else is.
    #[test]
    fn fuzz_targets_are_declared() {
        let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
        let mut declared: Vec<String> = manifest
            .lines()
            .filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")?.strip_suffix(".rs\""))
            .map(str::to_owned)
            .collect();
        declared.sort();
        assert_eq!(declared, targets().unwrap());
    }

    #[test]
    fn wrong_targets_and_numbers_are_refused() {
        assert!(fuzz("gguf", "many").unwrap_err().contains("\"many\""));
        assert!(fuzz("no_such_target", "1").is_err());
    }
}
