//! Metal's device code where there is no Mac: it is type-checked for one, and run against a fake of Apple's libraries. And
//! its kernels where there is one, compiled beforehand.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use tessera_kernels::manifest;
use tessera_tile::print;

use crate::{
    machines::{Compiler, has_library, says},
    root,
    tools::{Result, run, works},
};

const MAC: &str = "aarch64-apple-darwin";

/// What [`check`] needs, for its error message.
const CHECK_NEEDS: &str = "\
checking Metal's device code needs Rust's library for Macs: rustup target add aarch64-apple-darwin (which was tried, if
there is a rustup), or its source: rustup component add rust-src, or Debian's rustc-web and rust-web-src";

/// Lints of the GPU crate as it is built on a Mac. What it depends on is only checked, as it is linted here already.
pub fn check() -> Result {
    if !has_library(MAC) {
        // without success another compiler may do
        works(Command::new("rustup").args(["target", "add", MAC]));
    }
    let compiler = Compiler::find(MAC).ok_or(CHECK_NEEDS)?;
    let job = ["clippy", "--locked", "-p", "tessera-gpu", "--no-deps", "--lib"];
    let mut command = compiler.cargo(&job, MAC);
    command.args(["--", "-D", "warnings"]);
    run(command)
}

/// What [`library`] needs, for its error message.
const LIBRARY_NEEDS: &str = "\
Metal's compiler comes with Xcode (not with its command line tools alone); without it tessera compiles kernels when a
model is loaded for the first time";

/// The oldest macOS that the library is for.
const OLDEST: &str = "-mmacosx-version-min=13.0";

/// Compiles the manifest's kernels on a Mac, for the GPU crate to embed.
pub fn library() -> Result {
    let xcrun = || {
        let mut command = Command::new("xcrun");
        command.args(["-sdk", "macosx"]);
        command
    };
    if !works(xcrun().args(["-f", "metal"])) {
        return Err(LIBRARY_NEEDS.into());
    }
    let programs = manifest::programs().map_err(|error| error.to_string())?;
    let mut text = print::metal_prelude().to_owned();
    for program in &programs {
        text.push('\n');
        text.push_str(&print::metal(program));
    }
    let folder = root().join("crates/gpu/embedded");
    let [source, made] = ["kernels.metal", "kernels.metallib"].map(|name| folder.join(name));
    fs::write(&source, text).map_err(|error| format!("{}: {error}", source.display()))?;
    let mut compile = xcrun();
    compile.arg("metal").args(print::METAL_OPTIONS).arg(OLDEST);
    compile.arg(&source).arg("-o").arg(&made);
    run(compile)
}

/// The line of objc2-metal that asks for a linker of Apple's.
const LINK: &str = "#[link(name = \"Metal\", kind = \"framework\")]\n";

/// Tests of the device code, and lints of the fake: `arguments` go to `cargo test`.
pub fn fake(arguments: &[&str]) -> Result {
    let (patched, target) = unlinked()?;
    let cargo = |job: &[&str]| {
        let mut command = Command::new("cargo");
        command.args(job).args(["--locked", "--manifest-path", "crates/fake-metal/Cargo.toml"]);
        command.arg("--config").arg(format!("patch.crates-io.objc2-metal.path={patched:?}"));
        command.arg("--target-dir").arg(&target);
        command
    };
    let mut format = Command::new("cargo");
    format.args(["fmt", "--check", "--manifest-path", "crates/fake-metal/Cargo.toml"]);
    run(format)?;
    let mut lints = cargo(&["clippy", "--all-targets"]);
    lints.args(["--", "-D", "warnings"]);
    run(lints)?;
    let mut test = cargo(&["test"]);
    test.args(arguments);
    run(test)
}

/// A copy of the objc2-metal that the workspace uses, without [`LINK`], and cargo's target folder, where it lies.
fn unlinked() -> Result<(PathBuf, PathBuf)> {
    let mut metadata = Command::new("cargo");
    metadata.current_dir(root()).args(["metadata", "--locked", "--format-version", "1"]);
    metadata.args(["--filter-platform", MAC]);
    let metadata = says(&mut metadata).ok_or("cargo metadata --locked failed")?;
    let metadata: serde_json::Value =
        serde_json::from_str(&metadata).map_err(|e| format!("cargo metadata: {e}"))?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata lists no packages")?;
    let package = packages
        .iter()
        .find(|package| package["name"] == "objc2-metal")
        .ok_or("objc2-metal is no dependency")?;
    let [manifest, version] = ["manifest_path", "version"].map(|key| package[key].as_str());
    let from =
        manifest.and_then(|path| Path::new(path).parent()).ok_or("objc2-metal is nowhere")?;
    let target = metadata["target_directory"].as_str().ok_or("cargo metadata tells no target")?;
    let target = PathBuf::from(target);
    let to = target.join(format!("patched/objc2-metal-{}", version.unwrap_or_default()));
    let tell = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
    let source = Path::new("src/generated/mod.rs");
    let whole = fs::read_to_string(from.join(source)).map_err(|e| tell(&from.join(source), e))?;
    if whole.matches(LINK).count() != 1 {
        return Err(format!("{}: {LINK:?} is not there once", from.join(source).display()));
    }
    let without = whole.replace(LINK, "");
    // left alone if it is right, or cargo would build it again
    if !fs::read_to_string(to.join(source)).is_ok_and(|text| text == without) {
        copy(from, &to).map_err(|e| tell(&to, e))?;
        fs::write(to.join(source), without).map_err(|e| tell(&to.join(source), e))?;
    }
    Ok((to, target))
}

/// Copies a folder.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let new = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &new)?,
            false => fs::write(new, fs::read(entry.path())?)?,
        }
    }
    Ok(())
}
