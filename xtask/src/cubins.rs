//! CUDA kernels, compiled before the program is built: by nvcc where it is, else by NVRTC.

use std::{
    collections::HashSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    thread,
    time::Instant,
};

use tessera_gpu::cuda::{
    Archive, Capability, Digest, Options, Text, architecture,
    nvrtc::{Form, Nvrtc},
};
use tessera_graph::{KvType, Limits};
use tessera_kernels::manifest;
use tessera_models::{BuildOptions, CapabilitySet};
use tessera_tile::print;

use crate::{
    cuda::{beside, nvrtc},
    root,
    tools::Result,
};

/// What kernels are compiled for unless told otherwise: the generations from the first that all kernels run on. Whatever of 8.x
/// is not among them runs the next lower one.
const ARCHITECTURES: [Capability; 6] = [(8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0)];

/// Steps that a model's kernels are for, as the engine runs one unless told otherwise: tokens, outputs, and sequences
/// side by side for one person and for several.
const STEP: (usize, usize, [usize; 2]) = (512, 8, [1, 8]);

/// What the command line asks for.
struct Wanted<'a> {
    nvcc: Option<&'a str>,
    nvrtc: Option<&'a str>,
    architectures: Vec<Capability>,
    models: Vec<&'a str>,
}

/// Compiles the manifest's kernels, and those of the models that are named, for the GPU crate to embed.
pub fn cubins(arguments: &[&str]) -> Result {
    let wanted = read(arguments)?;
    let begun = Instant::now();
    let compiler = Compiler::find(&wanted)?;
    let programs = manifest::programs().map_err(|error| error.to_string())?;
    let mut texts: Vec<Text> = programs.iter().map(Text::from).collect();
    for model in &wanted.models {
        texts.extend(of_model(model).map_err(|error| format!("{model}: {error}"))?);
    }
    let mut known = HashSet::new();
    texts.retain(|text| known.insert(text.source.clone()));
    println!("{} kernels by {}", texts.len(), compiler.name());
    let mut made = Vec::new();
    for &capability in &wanted.architectures {
        let images = compiler.all(&texts, capability)?;
        let bytes: usize = images.iter().map(|(_, image)| image.len()).sum();
        let (major, minor) = capability;
        println!("  {major}.{minor}: {} KiB, after {:.0?}", bytes >> 10, begun.elapsed());
        made.extend(images);
    }
    let archive = Archive::write(compiler.version(), &made)?;
    let path = root().join("crates/gpu/embedded/kernels.cubins");
    fs::write(&path, &archive).map_err(|error| format!("{}: {error}", path.display()))?;
    println!("{}: {} kernels, {} KiB", path.display(), made.len(), archive.len() >> 10);
    Ok(())
}

fn read<'a>(arguments: &[&'a str]) -> Result<Wanted<'a>> {
    let architectures = ARCHITECTURES.to_vec();
    let mut wanted = Wanted { nvcc: None, nvrtc: None, architectures, models: Vec::new() };
    let mut rest = arguments.iter();
    while let Some(&option) = rest.next() {
        let mut value = || rest.next().copied().ok_or_else(|| format!("{option} needs a value"));
        match option {
            "--nvcc" => wanted.nvcc = Some(value()?),
            "--nvrtc" => wanted.nvrtc = Some(value()?),
            "--for" => {
                wanted.architectures =
                    value()?.split(',').map(capability).collect::<Result<_>>()?;
            }
            "--model" => wanted.models.push(value()?),
            _ => return Err(format!("{option:?} is no option of cubins")),
        }
    }
    Ok(wanted)
}

/// A compute capability as people write it: `9.0`.
fn capability(text: &str) -> Result<Capability> {
    let parts = text.split_once('.').and_then(|(major, minor)| {
        Some((major.parse().ok()?, minor.parse().ok().filter(|&minor| minor < 10)?))
    });
    parts.ok_or_else(|| format!("{text:?} is no compute capability, such as 9.0"))
}

/// The kernels of a model on an NVIDIA GPU, before any tuning.
fn of_model(path: &str) -> Result<Vec<Text>> {
    let checkpoint = tessera_models::checkpoint(Path::new(path), CapabilitySet::TEXT)
        .map_err(|error| error.to_string())?;
    let bound = tessera_models::open(&checkpoint, &BuildOptions { context: None })
        .map_err(|error| error.to_string())?;
    let gpu = tessera_gpu::cuda(Options { cache: None, ..Options::default() });
    let (tokens, outputs, several) = STEP;
    let mut texts = Vec::new();
    for runs in several {
        let limits = Limits { tokens, outputs, runs, context: bound.info.context, kv: KvType::F16 };
        let programs = gpu
            .programs(&bound.graph, &bound.weights, &limits)
            .map_err(|error| error.to_string())?;
        texts.extend(programs.iter().map(Text::from));
    }
    Ok(texts)
}

/// NVIDIA's compiler, either way.
enum Compiler {
    Nvcc { program: PathBuf, version: (i32, i32), folder: PathBuf },
    Nvrtc(Nvrtc),
}

impl Compiler {
    /// What is named; else nvcc where it is looked for: on the path, in CUDA's folder as the environment tells it, and where
    /// it is installed by itself; else NVRTC.
    fn find(wanted: &Wanted<'_>) -> Result<Self> {
        if let Some(program) = wanted.nvcc {
            return Self::nvcc(program.into()).ok_or_else(|| format!("{program} is no nvcc"));
        }
        if wanted.nvrtc.is_some() {
            return nvrtc(wanted.nvrtc).map(Self::Nvrtc);
        }
        let name = format!("nvcc{}", env::consts::EXE_SUFFIX);
        let of_environment = ["CUDA_HOME", "CUDA_PATH"].map(env::var_os).into_iter().flatten();
        let folders = of_environment.map(PathBuf::from).chain(["/usr/local/cuda".into()]);
        let all = folders.map(|folder| folder.join("bin").join(&name));
        let found = [PathBuf::from(&name)].into_iter().chain(all).find_map(Self::nvcc);
        match found {
            Some(nvcc) => Ok(nvcc),
            None => nvrtc(None).map(Self::Nvrtc).map_err(|error| {
                format!("there is no nvcc (on the path, in CUDA_HOME or by --nvcc), and no NVRTC: {error}")
            }),
        }
    }

    fn nvcc(program: PathBuf) -> Option<Self> {
        let told = Command::new(&program).arg("--version").output().ok()?;
        let version = release(&String::from_utf8_lossy(&told.stdout))?;
        let folder = beside("cubins").ok()?;
        Some(Self::Nvcc { program, version, folder })
    }

    fn version(&self) -> (i32, i32) {
        match self {
            Self::Nvcc { version, .. } => *version,
            Self::Nvrtc(nvrtc) => nvrtc.version(),
        }
    }

    fn name(&self) -> String {
        let (major, minor) = self.version();
        match self {
            Self::Nvcc { program, .. } => format!("{} {major}.{minor}", program.display()),
            Self::Nvrtc(_) => format!("NVRTC {major}.{minor}"),
        }
    }

    /// All kernels with their keys, as many at once as there are processors.
    fn all(&self, texts: &[Text], capability: Capability) -> Result<Vec<(Digest, Vec<u8>)>> {
        let lost = "no thread panics while it holds a lock";
        let next = Mutex::new(texts.iter());
        let made = Mutex::new(Vec::with_capacity(texts.len()));
        let work = || {
            loop {
                let Some(text) = next.lock().expect(lost).next() else { return };
                let image = self.compile(text, capability);
                let image = image.map_err(|error| format!("{}: {error}", text.name));
                let failed = image.is_err();
                made.lock().expect(lost).push(image.map(|image| (text.key(capability), image)));
                if failed {
                    // the rest would fail, too
                    return next.lock().expect(lost).by_ref().for_each(drop);
                }
            }
        };
        let threads = thread::available_parallelism().map_or(1, usize::from).min(texts.len());
        thread::scope(|scope| {
            (0..threads).for_each(|_| {
                scope.spawn(work);
            });
        });
        made.into_inner().expect(lost).into_iter().collect()
    }

    fn compile(&self, text: &Text, capability: Capability) -> Result<Vec<u8>> {
        let target = architecture(capability);
        match self {
            Self::Nvrtc(nvrtc) => {
                let mut options = vec![target.as_str()];
                options.extend(print::CUDA_OPTIONS);
                let name = format!("{}.cu", text.name);
                Ok(nvrtc.compile(&text.source, &name, Form::Cubin, &options)?.image)
            }
            Self::Nvcc { program, folder, .. } => {
                // a kernel's name may be longer than a file's
                let file = folder.join(text.key(capability).to_string());
                let [source, made] = ["cu", "cubin"].map(|ending| file.with_extension(ending));
                let tell = |error: std::io::Error| format!("{}: {error}", file.display());
                fs::create_dir_all(folder).map_err(tell)?;
                fs::write(&source, &text.source).map_err(tell)?;
                let mut command = Command::new(program);
                command.args(["--cubin", &target]).args(print::CUDA_OPTIONS);
                command.arg("-o").arg(&made).arg(&source);
                let output = command.output().map_err(|e| format!("{}: {e}", program.display()))?;
                let image = match output.status.success() {
                    true => fs::read(&made).map_err(tell),
                    false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
                };
                for file in [source, made] {
                    let _ = fs::remove_file(file);
                }
                image
            }
        }
    }
}

/// The version in what nvcc tells of itself.
fn release(text: &str) -> Option<(i32, i32)> {
    let (_, rest) = text.split_once("release ")?;
    let (major, rest) = rest.split_once('.')?;
    let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nvcc_tells_its_version() {
        let text = "Cuda compilation tools, release 13.5, V13.5.37\nBuild cuda_13.5";
        assert_eq!(release(text), Some((13, 5)));
        assert_eq!(release("clang version 19"), None);
    }

    #[test]
    fn options_are_read() {
        let wanted = read(&["--for", "8.0,9.0", "--model", "a", "--model", "b"]).unwrap();
        assert_eq!((wanted.architectures, wanted.models), (vec![(8, 0), (9, 0)], vec!["a", "b"]));
        for wrong in [&["--for"][..], &["--for", "sm_90"], &["--for", "8.10"], &["--fast"]] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
        assert!(Compiler::find(&read(&["--nvcc", "no/such/nvcc"]).unwrap()).is_err());
    }
}
