//! Tests of the CPU backend on other machines than this: emulated AArch64, and under sanitizers.

use std::{path::Path, process::Command};

use crate::tools::{Result, run, works};

const ARM: &str = "aarch64-unknown-linux-gnu";
const INTEL: &str = "x86_64-unknown-linux-gnu";

/// Debian's compiler, which comes with its library's source and that source's dependencies.
const DEBIANS: &str = "/usr/bin/rustc";

/// What `neon` needs, for its error message.
const NEON_NEEDS: &str = "\
the AArch64 tests need, by Debian's names, gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user, and either
`rustup target add aarch64-unknown-linux-gnu` or the packages rustc-web and rust-web-src:
apt-get install --no-install-recommends gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user rustc-web rust-web-src";

/// Processors to emulate: the first has NEON alone, the second SDOT, the last everything.
const PROCESSORS: [&str; 3] = ["cortex-a72", "neoverse-n1", "max"];

/// What `sanitize thread` needs, for its error message.
const THREAD_NEEDS: &str = "\
the thread sanitizer must see Rust's library too, or it takes what is ordered in there for races; so it needs the
library's source:
rustup component add rust-src, or rustup component add rust-src --toolchain nightly";

/// A compiler that can build for a target.
pub(crate) struct Compiler {
    /// Cargo's argument that chooses a toolchain.
    toolchain: Option<&'static str>,
    /// `None` is the one that cargo takes.
    program: Option<&'static str>,
    /// Whether the standard library has to be built too.
    build_std: bool,
}

impl Compiler {
    /// The one that cargo takes, with the library it comes with.
    const USUAL: Self = Self { toolchain: None, program: None, build_std: false };

    /// One with a library for `target`, else one with the library's source.
    pub(crate) fn find(target: &str) -> Option<Self> {
        if has_library(target) {
            return Some(Self::USUAL);
        }
        Self::with_source().or_else(|| {
            let debians = Self { program: Some(DEBIANS), build_std: true, ..Self::USUAL };
            has_source(&mut Command::new(DEBIANS)).then_some(debians)
        })
    }

    /// One of rustup's with the library's source: the usual one, else the nightly.
    fn with_source() -> Option<Self> {
        let source = Self { build_std: true, ..Self::USUAL };
        if has_source(&mut Command::new("rustc")) {
            return Some(source);
        }
        has_source(Command::new("rustup").args(["run", "nightly", "rustc"]))
            .then_some(Self { toolchain: Some("+nightly"), ..source })
    }

    /// `cargo test` of the CPU backend for `target`.
    fn test(&self, target: &str) -> Command {
        self.cargo(&["test", "--locked", "-p", "tessera-cpu"], target)
    }

    /// A job of cargo's for `target`.
    pub(crate) fn cargo(&self, job: &[&str], target: &str) -> Command {
        let mut command = Command::new("cargo");
        command.args(self.toolchain).args(job).args(["--target", target]);
        if let Some(program) = self.program {
            command.env("RUSTC", program);
        }
        if self.build_std {
            // `-Z` options of a compiler that is not a nightly
            command.env("RUSTC_BOOTSTRAP", "1").arg("-Zbuild-std=std,panic_unwind");
        }
        command
    }
}

/// Tests of the CPU backend on each processor, under qemu.
pub fn neon() -> Result {
    let linker = "aarch64-linux-gnu-gcc";
    let tools = [linker, "qemu-aarch64"];
    if !tools.iter().all(|tool| works(Command::new(tool).arg("--version"))) {
        return Err(NEON_NEEDS.into());
    }
    let compiler = Compiler::find(ARM).ok_or(NEON_NEEDS)?;
    for processor in PROCESSORS {
        println!("== {processor}");
        let mut test = compiler.test(ARM);
        test.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", linker);
        let runner = format!("qemu-aarch64 -cpu {processor} -L /usr/aarch64-linux-gnu");
        test.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", runner);
        run(test)?;
    }
    Ok(())
}

/// Tests of the CPU backend under a sanitizer. Rust's own x86-64 compilers for Linux come with the sanitizers'
/// libraries, the stable ones too.
pub fn sanitize(kind: &str) -> Result {
    let (compiler, flags) = match kind {
        "address" => (Compiler::USUAL, "-Zsanitizer=address"),
        // An ordinary library orders threads unseen: the end of `thread::scope`, the last `drop` of an `Arc` and
        // the test harness's channel are all reported as races.
        "thread" => (Compiler::with_source().ok_or(THREAD_NEEDS)?, "-Zsanitizer=thread"),
        _ => return Err(format!("no sanitizer {kind:?}; there are address and thread")),
    };
    let mut test = compiler.test(INTEL);
    test.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", flags);
    test.args(["--lib", "--tests", "--", "--test-threads=1"]);
    run(test)
}

/// Whether the usual compiler has a library for `target`.
pub(crate) fn has_library(target: &str) -> bool {
    let folder = says(Command::new("rustc").args(["--print", "target-libdir", "--target", target]));
    folder.is_some_and(|folder| Path::new(&folder).is_dir())
}

/// Whether a compiler has the standard library's source.
fn has_source(compiler: &mut Command) -> bool {
    let root = says(compiler.args(["--print", "sysroot"]));
    root.is_some_and(|root| Path::new(&root).join("lib/rustlib/src/rust/library").is_dir())
}

/// What a program prints, if it is there and content.
pub(crate) fn says(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
