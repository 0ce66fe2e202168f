//! Repeated jobs: `cargo xtask`.

mod cubins;
mod cuda;
mod machines;
mod matrix;
mod metal;
mod tools;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

const USAGE: &str = "\
usage: cargo xtask <job>

  matrix [--check]            writes the support matrix into README.md, or only compares it
  ci                          the whole check, as on every push
  fuzz <target | all> [runs]  feeds a parser random files, a million unless told otherwise
  audit                       dependencies: advisories, licences, sources
  neon                        tests of the CPU backend on AArch64, under qemu
  registers [--write] [library]
                              compiles the manifest's kernels with NVRTC (pip fetches it, unless a library
                              is named), and compares the registers they take with the table
  compile <folder> [library]  compiles the kernels of launches that tests wrote down
  emulate <metal | cuda> [address | thread]
                              tests of GPU kernels, their printed text executed on the CPU beside the simulator
  sanitize <address | thread> tests of the CPU backend under a sanitizer
  cubins [--nvcc program | --nvrtc library] [--for 8.0,9.0] [--model folder]...
                              compiles the manifest's kernels, and those of models, for the program to embed: with
                              nvcc where it is found, else with NVRTC (which pip fetches)
  metallib                    on a Mac with Xcode: compiles kernels for the program to embed
  metal-check                 types and lints of Metal's device code, as on a Mac
  fake-metal [arguments]      tests of Metal's device code against a fake of Apple's libraries";

/// The repository.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["matrix"] => matrix::write(&root().join("README.md")),
        ["matrix", "--check"] => matrix::check(&root().join("README.md")),
        ["ci"] => tools::ci(),
        ["fuzz", target] => tools::fuzz(target, "1000000"),
        ["fuzz", target, runs] => tools::fuzz(target, runs),
        ["audit"] => tools::audit(),
        ["registers", ref rest @ ..] => cuda::registers(rest),
        ["compile", launches] => cuda::compile(launches, None),
        ["compile", launches, library] => cuda::compile(launches, Some(library)),
        ["emulate", language] => tools::emulate(language, None),
        ["emulate", language, sanitizer] => tools::emulate(language, Some(sanitizer)),
        ["neon"] => machines::neon(),
        ["sanitize", kind] => machines::sanitize(kind),
        ["cubins", ref rest @ ..] => cubins::cubins(rest),
        ["metallib"] => metal::library(),
        ["metal-check"] => metal::check(),
        ["fake-metal", ref rest @ ..] => metal::fake(rest),
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}
