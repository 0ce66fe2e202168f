//! The compiler: which one, and what it is asked.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use tessera_tile::Program;

use crate::{
    Language, Sanitizer,
    error::{Error, io},
    launcher, lint, sources,
};

/// Names under which the compiler is looked for, in this order.
const CANDIDATES: &[&str] = &["clang++-19", "clang++-20", "clang++-21", "clang++-22", "clang++"];

/// The oldest version that will do.
const LEAST: u32 = 18;

/// A compiler that is there, of a version that will do.
fn compiler() -> Result<&'static str, Error> {
    static FOUND: OnceLock<Result<&'static str, Vec<String>>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let mut tried = Vec::new();
        for &name in CANDIDATES {
            match version(name) {
                Ok(version) if version >= LEAST => return Ok(name),
                Ok(version) => tried.push(format!("{name} (version {version})")),
                Err(why) => tried.push(format!("{name} ({why})")),
            }
        }
        Err(tried)
    });
    found.clone().map_err(|tried| Error::NoCompiler { tried, least: LEAST })
}

/// The first number that follows the word "version".
fn version(name: &str) -> Result<u32, String> {
    let output = Command::new(name).arg("--version").output().map_err(|e| e.kind().to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = text.split("version ").nth(1).and_then(|rest| rest.split('.').next());
    number.and_then(|n| n.parse().ok()).ok_or_else(|| "which tells no version".to_owned())
}

/// Instructions of this machine that convert half precision and multiply and add at once.
fn machine_flags() -> &'static [&'static str] {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("f16c") && is_x86_feature_detected!("fma") {
        return &["-mf16c", "-mfma"];
    }
    &[]
}

/// Flags of a printed text. The options that the text relies on, those of its language's compiler, are here in clang's words.
fn text_flags(language: Language) -> Vec<&'static str> {
    let mut flags = match language {
        Language::Metal => {
            vec![
                "-xclcpp",
                "-cl-std=clc++2021",
                "-cl-no-stdinc",
                "-Imetal",
                "-Wno-unknown-attributes",
            ]
        }
        Language::Cuda => vec!["-xc++", "-std=c++20", "-include", "cuda/instructions.h"],
    };
    flags.extend(["-Wall", "-Werror", "-Wno-ignored-attributes", "-Wno-unknown-pragmas"]);
    // What is not used is no mistake of a text.
    flags.push("-Wno-unused");
    flags.extend(["-fno-strict-aliasing", "-fwrapv", "-ffp-contract=off", "-I."]);
    // Where lanes meet is known by its address: no such place may become two, nor two one.
    flags.extend(["-fconvergent-functions", "-mllvm", "-enable-tail-merge=false"]);
    flags
}

/// Flags of everything: how much to optimise, and the lines that a sanitizer names.
fn common_flags(sanitizer: Sanitizer) -> Vec<&'static str> {
    let mut flags = vec!["-gline-tables-only", "-gdwarf-4", "-fPIC", "-fvisibility=hidden"];
    flags.push(if sanitizer == Sanitizer::None { "-O2" } else { "-O1" });
    flags.extend(machine_flags());
    flags
}

fn sanitizer_flags(sanitizer: Sanitizer) -> &'static [&'static str] {
    match sanitizer {
        // A wrong index of a shared array would hit this process.
        Sanitizer::None => &["-fsanitize=array-bounds", "-fsanitize-trap=array-bounds"],
        Sanitizer::Address => &[
            "-fsanitize=address,alignment,array-bounds,shift-exponent,integer-divide-by-zero",
            "-fno-sanitize-recover=all",
            "-fno-omit-frame-pointer",
        ],
        Sanitizer::Thread => &["-fsanitize=thread", "-fno-omit-frame-pointer"],
    }
}

/// Runs the compiler in a folder.
fn run(folder: &Path, arguments: &[impl AsRef<OsStr>]) -> Result<Output, Error> {
    let name = compiler()?;
    Command::new(name).args(arguments).current_dir(folder).output().map_err(io(name))
}

/// As [`run`], where a failure is not the printed text's.
fn run_tool(folder: &Path, what: &'static str, arguments: &[&str]) -> Result<(), Error> {
    let output = run(folder, arguments)?;
    if output.status.success() {
        return Ok(());
    }
    let messages = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Error::Tool { what, messages })
}

/// The runtime as an object file, the same for every library of this process.
fn runtime(folder: &Path, sanitizer: Sanitizer) -> Result<(), Error> {
    static OBJECTS: [OnceLock<Vec<u8>>; 3] = [const { OnceLock::new() }; 3];
    let object = folder.join("runtime.o");
    let known = &OBJECTS[sanitizer as usize];
    if let Some(bytes) = known.get() {
        return fs::write(&object, bytes).map_err(io(object));
    }
    let (define, main) = match sanitizer {
        Sanitizer::None => ("EMU_LOADED", ""),
        Sanitizer::Address => ("EMU_ASAN", "#include \"driver.cpp\"\n"),
        Sanitizer::Thread => ("EMU_TSAN", "#include \"driver.cpp\"\n"),
    };
    let whole = folder.join("whole.cpp");
    let text = format!("#include \"fiber.cpp\"\n#include \"runtime.cpp\"\n{main}");
    fs::write(&whole, text).map_err(io(whole))?;
    let define = format!("-D{define}");
    let mut arguments = vec!["-std=c++20", "-Wall", "-Wextra", "-Werror", "-fno-builtin", &define];
    arguments.extend(["-c", "whole.cpp", "-o", "runtime.o"]);
    arguments.extend(common_flags(sanitizer));
    run_tool(folder, "compiling the runtime", &arguments)?;
    let bytes = fs::read(&object).map_err(io(object))?;
    _ = known.set(bytes);
    Ok(())
}

/// Checks and compiles a printed text; gives the file to load or to run.
pub(crate) fn build(
    folder: &Path,
    language: Language,
    text: &str,
    programs: &[Program],
    sanitizer: Sanitizer,
) -> Result<PathBuf, Error> {
    check_lints(language, text, programs)?;
    sources::write(folder)?;
    write_text(folder, language, text, programs)?;
    let table = folder.join("table.cpp");
    fs::write(&table, launcher::table(programs)).map_err(io(table))?;
    compile_text(folder, language, sanitizer)?;
    runtime(folder, sanitizer)?;
    let product = if sanitizer == Sanitizer::None { "kernels.so" } else { "kernels" };
    let mut arguments =
        vec!["-std=c++20", "table.cpp", "runtime.o", "unit.o", "-o", product, "-lm"];
    arguments.extend(sanitizer_flags(sanitizer));
    arguments.extend(common_flags(sanitizer));
    if sanitizer == Sanitizer::None {
        arguments.extend(["-shared", "-Wl,-z,defs"]);
    }
    match run_tool(folder, "linking the kernels", &arguments) {
        Err(Error::Tool { messages, .. }) if messages.contains("libclang_rt.") => {
            Err(Error::NoSanitizer { sanitizer, messages })
        }
        linked => linked.map(|()| folder.join(product)),
    }
}

/// Whether a text is well typed; nothing is built.
pub(crate) fn check(language: Language, text: &str, programs: &[Program]) -> Result<(), Error> {
    check_lints(language, text, programs)?;
    let folder = folder()?;
    let folder = folder.path();
    sources::write(folder)?;
    write_text(folder, language, text, programs)?;
    let mut arguments = text_flags(language);
    arguments.extend(["-fsyntax-only", "unit"]);
    accepted(language, run(folder, &arguments)?)
}

fn check_lints(language: Language, text: &str, programs: &[Program]) -> Result<(), Error> {
    lint::lint(language, text, programs).map_err(|complaint| {
        let source_line = crate::error::source_line(text, complaint.line);
        Error::Lint { language, complaint, source_line }
    })
}

/// Writes the printed text, and the file that includes it.
fn write_text(
    folder: &Path,
    language: Language,
    text: &str,
    programs: &[Program],
) -> Result<(), Error> {
    let printed = folder.join(language.file());
    fs::write(&printed, text).map_err(io(printed))?;
    let unit = folder.join("unit");
    fs::write(&unit, launcher::unit(language, programs)).map_err(io(unit))
}

fn compile_text(folder: &Path, language: Language, sanitizer: Sanitizer) -> Result<(), Error> {
    let mut arguments = text_flags(language);
    arguments.extend(common_flags(sanitizer));
    arguments.extend(sanitizer_flags(sanitizer));
    arguments.extend(["-c", "unit", "-o", "unit.o"]);
    accepted(language, run(folder, &arguments)?)
}

fn accepted(language: Language, output: Output) -> Result<(), Error> {
    if output.status.success() {
        return Ok(());
    }
    let messages = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Error::Rejected { language, messages })
}

/// A folder to compile in, gone when dropped.
pub(crate) fn folder() -> Result<tempfile::TempDir, Error> {
    tempfile::Builder::new().prefix("tessera-emulate-").tempdir().map_err(io(std::env::temp_dir()))
}
