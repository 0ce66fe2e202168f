//! Registers and spills of the CUDA kernels, by NVRTC, which needs no GPU.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    thread,
};

use tessera_gpu::cuda::{
    Capability, Text, architecture,
    nvrtc::{Form, Nvrtc},
};
use tessera_kernels::manifest;
use tessera_tile::{print, sim::trace};

use crate::{
    root,
    tools::{Result, run},
};

/// The architectures of the table: the oldest that all kernels run on, and the one they are tuned for.
const ARCHITECTURES: [Capability; 2] = [(8, 0), (9, 0)];

/// What a kernel takes of a multiprocessor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Usage {
    /// Registers of a thread.
    registers: u32,
    /// Bytes of a thread that did not find room in registers: on its stack, stored, loaded.
    spilled: [u32; 3],
    /// Bytes of static shared memory.
    shared: u32,
}

fn table() -> PathBuf {
    root().join("crates/kernels/registers.txt")
}

/// The version that the table is made with, as a Python package.
const PACKAGE: &str = "nvidia-cuda-nvrtc==13.5.37";

/// A folder beside this program, where what belongs to no source lies.
pub(crate) fn beside(name: &str) -> Result<PathBuf> {
    let program = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
    Ok(program.parent().unwrap_or(&program).join(name))
}

/// NVRTC's library at a path; without one, that of [`PACKAGE`], which pip fetches once.
pub(crate) fn nvrtc(path: Option<&str>) -> Result<Nvrtc> {
    if let Some(path) = path {
        return Nvrtc::open(Some(Path::new(path)));
    }
    let folder = beside("nvrtc")?;
    let library = || {
        // the folder within is named after CUDA's version
        let versions = fs::read_dir(folder.join("nvidia")).into_iter().flatten().flatten();
        let mut files = versions
            .filter_map(|version| fs::read_dir(version.path().join("lib")).ok())
            .flat_map(|files| files.flatten().map(|file| file.path()));
        files.find(|file| file.to_string_lossy().contains("libnvrtc.so."))
    };
    if library().is_none() {
        let mut command = Command::new("python3");
        command.args(["-m", "pip", "install", "-q", "--no-deps", "--target"]).arg(&folder);
        command.arg(PACKAGE);
        run(command).map_err(|error| {
            format!("{error}\nfetching {PACKAGE} failed; name NVRTC's library instead")
        })?;
    }
    let library = library().ok_or_else(|| format!("{PACKAGE} has no library"))?;
    Nvrtc::open(Some(&library))
}

/// Compiles the manifest and compares what the kernels take with the table, or writes it anew with `--write`; another
/// argument is NVRTC's library.
pub fn registers(arguments: &[&str]) -> Result {
    let write = arguments.contains(&"--write");
    let nvrtc = nvrtc(arguments.iter().find(|argument| **argument != "--write").copied())?;
    let programs = manifest::programs().map_err(|error| error.to_string())?;
    let texts: Vec<Text> = programs.iter().map(Text::from).collect();
    let text = print_table(&nvrtc, &texts)?;
    let path = table();
    let error = |error: std::io::Error| format!("{}: {error}", path.display());
    if write {
        return fs::write(&path, text).map_err(error);
    }
    let committed = fs::read_to_string(&path).map_err(error)?;
    let differ = differences(&committed, &text).join("\n");
    let version = |text: &str| text.lines().next().map(str::to_owned);
    match differ.is_empty() {
        true => Ok(()),
        // every version of the compiler has registers of its own
        false if version(&committed) != version(&text) => {
            println!("another version of NVRTC gives other registers:\n{differ}");
            Ok(())
        }
        false => Err(format!(
            "{differ}\n`cargo xtask registers --write` writes the table anew; look at what changed"
        )),
    }
}

/// Lines that are in one table alone.
fn differences(committed: &str, now: &str) -> Vec<String> {
    let only = |these: &str, those: &str, mark: &str| {
        let has = |line: &&str| those.lines().any(|other| other == *line);
        let lines = these.lines().filter(|line| !has(line));
        lines.map(|line| format!("{mark} {line}")).collect::<Vec<_>>()
    };
    [only(committed, now, "-"), only(now, committed, "+")].concat()
}

/// Compiles the kernels of files of launches, for what they are tested with is more than the manifest.
pub fn compile(launches: &str, library: Option<&str>) -> Result {
    let nvrtc = nvrtc(library)?;
    let mut texts = BTreeMap::new();
    let error = |error: std::io::Error| format!("{launches}: {error}");
    for file in fs::read_dir(launches).map_err(error)? {
        let (kernels, _) = trace::read(&file.map_err(error)?.path()).map_err(error)?;
        texts.extend(kernels.iter().map(|kernel| (kernel.name.clone(), Text::from(kernel))));
    }
    let texts: Vec<Text> = texts.into_values().collect();
    for capability in ARCHITECTURES {
        let used = usages(&nvrtc, &texts, capability)?;
        for (text, usage) in texts.iter().zip(&used).filter(|(_, usage)| usage.spilled != [0; 3]) {
            println!("sm_{}{} {}: {usage:?}", capability.0, capability.1, text.name);
        }
    }
    println!("{} kernels compile", texts.len());
    Ok(())
}

fn print_table(nvrtc: &Nvrtc, texts: &[Text]) -> Result<String> {
    let (major, minor) = nvrtc.version();
    let mut table =
        format!("NVRTC {major}.{minor}: registers, bytes of stack, spilled and shared\n");
    let columns = ARCHITECTURES.map(|capability| usages(nvrtc, texts, capability));
    let [old, new] = columns;
    let (old, new) = (old?, new?);
    let widest = texts.iter().map(|text| text.name.len()).max().unwrap_or(0);
    let of = |usage: &Usage| {
        let [stack, stores, loads] = usage.spilled;
        let Usage { registers, shared, .. } = usage;
        format!("{registers:>3} {stack:>4} {:>4} {shared:>6}", stores + loads)
    };
    for ((text, old), new) in texts.iter().zip(&old).zip(&new) {
        let (old, new) = (of(old), of(new));
        table += &format!("{:<widest$}  sm_80 {old}  sm_90a {new}\n", text.name);
    }
    Ok(table)
}

/// What each kernel takes, compiled two at a time.
fn usages(nvrtc: &Nvrtc, texts: &[Text], capability: Capability) -> Result<Vec<Usage>> {
    let target = architecture(capability);
    let mut options = vec![target.as_str(), "--ptxas-options=-v"];
    options.extend(print::CUDA_OPTIONS);
    let next = Mutex::new(texts.iter().enumerate());
    let found = Mutex::new(vec![Err("not compiled".to_owned()); texts.len()]);
    let lost = "no thread panics while it holds a lock";
    let work = || {
        loop {
            let Some((i, text)) = next.lock().expect(lost).next() else { return };
            let compiled = nvrtc.compile(&text.source, &text.name, Form::Cubin, &options);
            let usage = compiled.and_then(|compiled| {
                usage(&compiled.log).ok_or_else(|| format!("no registers in:\n{}", compiled.log))
            });
            let usage = usage.map_err(|error| format!("{}: {error}", text.name));
            found.lock().expect(lost)[i] = usage;
        }
    };
    thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
    found.into_inner().expect(lost).into_iter().collect()
}

/// What the assembler tells.
fn usage(log: &str) -> Option<Usage> {
    // the number before a word
    let before = |mark: &str| -> Option<u32> {
        let (text, _) = log.split_once(mark)?;
        text.trim_end().rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    Some(Usage {
        registers: before(" registers")?,
        spilled: [
            before(" bytes stack frame")?,
            before(" bytes spill stores")?,
            before(" bytes spill loads")?,
        ],
        shared: before(" bytes smem").unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_assembler_is_understood() {
        let log = "ptxas info    : Compiling entry function 'f' for 'sm_90a'
ptxas info    : Function properties for f
    8 bytes stack frame, 12 bytes spill stores, 16 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 2560 bytes smem";
        let wanted = Usage { registers: 40, spilled: [8, 12, 16], shared: 2560 };
        assert_eq!(usage(log), Some(wanted));
        assert_eq!(usage("nothing"), None);
    }

    /// The table is of the manifest's kernels: whoever adds one measures it.
    #[test]
    fn the_table_is_complete() {
        let table = fs::read_to_string(table()).unwrap();
        let listed: Vec<_> =
            table.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
        let programs = manifest::programs().unwrap();
        let names: Vec<_> = programs.iter().map(|program| program.name.as_str()).collect();
        assert_eq!(listed, names, "`cargo xtask registers --write`");
    }
}
