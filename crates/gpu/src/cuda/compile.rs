//! From kernels' texts to what the device runs: looked up in what the program brings along and on disk, else compiled, a
//! kernel by itself, several at once.
//!
//! Kernels are compiled one by one because they are kept one by one: models share them, and what a source costs besides its
//! kernel is small, as the prelude has no headers.

use std::{
    num::NonZero,
    path::PathBuf,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use tessera_tile::{Program, print, sim::trace::TracedKernel};

use super::{
    Options,
    archive::Archive,
    cache::{Cache, Digest},
    nvrtc::{Compiled, Form, Nvrtc},
};
use crate::device::DeviceError;

/// A compute capability: `(9, 0)`.
pub type Capability = (u32, u32);

/// Compiles for one kind of device.
#[derive(Debug)]
pub struct Compiler {
    capability: Capability,
    library: Option<PathBuf>,
    /// Loaded when the first kernel is asked for.
    nvrtc: OnceLock<Result<Nvrtc, String>>,
    /// What the program brings along.
    embedded: Option<Archive>,
    /// Folders that are looked into, and the cache, which is written too.
    ready: Vec<Cache>,
    cache: Option<Cache>,
    compiled: AtomicU64,
}

/// A kernel as text, and what it is launched with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Its function.
    pub name: String,
    /// The whole source, prelude included.
    pub source: String,
    /// Threads of a threadgroup.
    pub threads: u32,
    /// Bytes of static shared memory.
    pub shared: usize,
    /// Buffers.
    pub buffers: usize,
    /// Words of the argument struct.
    pub words: usize,
}

/// A source: the prelude and a kernel.
fn source(kernel: &str) -> String {
    [print::cuda_prelude(), "\n", kernel].concat()
}

impl From<&Program> for Text {
    fn from(program: &Program) -> Self {
        Self {
            name: program.name.clone(),
            source: source(&print::cuda(program)),
            threads: program.threads,
            shared: program.shared_bytes(),
            buffers: program.buffers.len(),
            words: program.fields.len(),
        }
    }
}

impl From<&TracedKernel> for Text {
    fn from(kernel: &TracedKernel) -> Self {
        Self {
            name: kernel.name.clone(),
            source: source(&kernel.cuda),
            threads: kernel.threads,
            shared: kernel.shared as usize,
            buffers: kernel.buffers.len(),
            words: kernel.words as usize,
        }
    }
}

/// The options that make a cubin for a capability. From 9.0 on the instructions that only this architecture has are
/// allowed: `sm_90a`.
pub fn architecture((major, minor): Capability) -> String {
    let own = if major >= 9 { "a" } else { "" };
    format!("--gpu-architecture=sm_{major}{minor}{own}")
}

impl Text {
    /// What its image for devices of a capability is found by: all that it is made from.
    pub fn key(&self, capability: Capability) -> Digest {
        let target = architecture(capability);
        let options = print::CUDA_OPTIONS.iter().copied();
        let parts = [self.source.as_str(), &target].into_iter().chain(options);
        Digest::of(parts.map(str::as_bytes))
    }
}

/// The capabilities whose machine code a device runs, the best first: its own, and before 9.0 (where [`architecture`]
/// begins to use what one architecture has alone) the lower ones of its generation. The small computers, 7.2 and 8.7, keep
/// to themselves.
fn compatible((major, minor): Capability) -> impl Iterator<Item = Capability> {
    let alone = |it: Capability| it.0 >= 9 || [(7, 2), (8, 7)].contains(&it);
    let lower = (0..minor).rev().map(move |lower| (major, lower));
    let lower = lower.filter(move |&it| !alone(it) && !alone((major, minor)));
    [(major, minor)].into_iter().chain(lower)
}

fn no_compiler(why: &String) -> DeviceError {
    DeviceError::Absent {
        device: "cuda",
        why: format!(
            "its kernels have to be compiled, and NVRTC is missing ({why}); install CUDA's NVRTC (the Python package \
             nvidia-cuda-nvrtc has it too) where the system looks for libraries"
        ),
    }
}

impl Compiler {
    /// For devices of a capability. Embedded kernels that are damaged are told of and passed over.
    pub fn new(capability: Capability, options: Options) -> Self {
        let Options { nvrtc: library, cache, ready, embedded, .. } = options;
        let embedded = embedded.map(Archive::open).and_then(|opened| {
            opened.map_err(|why| tracing::warn!("embedded kernels are ignored: {why}")).ok()
        });
        let ready = ready.into_iter().map(|folder| Cache::new(folder, u64::MAX)).collect();
        let (nvrtc, compiled) = (OnceLock::new(), AtomicU64::new(0));
        Self { capability, library, nvrtc, embedded, ready, cache, compiled }
    }

    /// How many kernels were compiled from source.
    pub fn compiled(&self) -> u64 {
        self.compiled.load(Relaxed)
    }

    fn nvrtc(&self) -> Result<&Nvrtc, &String> {
        self.nvrtc.get_or_init(|| Nvrtc::open(self.library.as_deref())).as_ref()
    }

    /// Whether it has kernels without NVRTC, or can compile them; if not, why.
    pub fn ready(&self) -> Result<(), DeviceError> {
        let embedded = self.embedded.as_ref().is_some_and(|it| !it.is_empty());
        match self.nvrtc() {
            Err(why) if !embedded => Err(no_compiler(why)),
            _ => Ok(()),
        }
    }

    /// The images of kernels, in order, or why there is none.
    pub fn each(&self, kernels: &[Text]) -> Vec<Result<Vec<u8>, DeviceError>> {
        // what takes longest first, so that the threads end at about the same time
        let mut order: Vec<_> = kernels.iter().enumerate().collect();
        order.sort_by_key(|(_, kernel)| std::cmp::Reverse(kernel.source.len()));
        let next = AtomicUsize::new(0);
        let images = Mutex::new(Vec::with_capacity(kernels.len()));
        let work = || {
            while let Some(&(i, kernel)) = order.get(next.fetch_add(1, Relaxed)) {
                let image = self.image(kernel);
                lock(&images).push((i, image));
            }
        };
        let before = self.compiled();
        let workers = thread::available_parallelism().map_or(1, NonZero::get).min(kernels.len());
        thread::scope(|scope| {
            (1..workers).for_each(|_| {
                scope.spawn(work);
            });
            work();
        });
        if let (Some(cache), true) = (&self.cache, self.compiled() > before) {
            cache.trim();
        }
        let mut images = std::mem::take(&mut *lock(&images));
        images.sort_unstable_by_key(|(i, _)| *i);
        images.into_iter().map(|(_, image)| image).collect()
    }

    /// The image of a kernel.
    fn image(&self, kernel: &Text) -> Result<Vec<u8>, DeviceError> {
        let embedded = self.embedded.as_ref().and_then(|embedded| {
            compatible(self.capability).find_map(|target| embedded.get(kernel.key(target)))
        });
        if let Some(image) = embedded {
            return Ok(image.to_vec());
        }
        let key = kernel.key(self.capability);
        // where there is no compiler, a kernel of any version will do
        let version = self.nvrtc().ok().map(Nvrtc::version);
        let found = self.ready.iter().find_map(|ready| ready.get(key, None));
        let found = found.or_else(|| self.cache.as_ref()?.get(key, version));
        if let Some(image) = found {
            return Ok(image);
        }
        let nvrtc = self.nvrtc().map_err(no_compiler)?;
        let compiled = self
            .compile(nvrtc, &kernel.source, &kernel.name)
            .map_err(|why| DeviceError::Build { kernel: kernel.name.clone(), why })?;
        self.compiled.fetch_add(1, Relaxed);
        if let Some(cache) = &self.cache {
            cache.put(key, nvrtc.version(), &compiled.image);
        }
        Ok(compiled.image)
    }

    fn compile(&self, nvrtc: &Nvrtc, source: &str, name: &str) -> Result<Compiled, String> {
        let own = number(self.capability);
        let (form, target) = match nvrtc.architectures() {
            known if known.contains(&own) => (Form::Cubin, architecture(self.capability)),
            // a device newer than the compiler: the driver does the last step
            known => match known.iter().filter(|&&it| it < own).max() {
                Some(older) => (Form::Ptx, format!("--gpu-architecture=compute_{older}")),
                None => {
                    let (major, minor) = nvrtc.version();
                    return Err(format!(
                        "NVRTC {major}.{minor} no longer compiles for compute capability {own}; install an older one"
                    ));
                }
            },
        };
        let options: Vec<&str> =
            [target.as_str()].into_iter().chain(print::CUDA_OPTIONS.iter().copied()).collect();
        nvrtc.compile(source, &format!("{name}.cu"), form, &options)
    }
}

/// As NVRTC counts: 90 is 9.0.
fn number((major, minor): Capability) -> i32 {
    i32::try_from(major * 10 + minor).unwrap_or(i32::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn text(name: &str) -> Text {
        let source = format!("extern \"C\" __global__ void {name}() {{}}");
        Text { name: name.into(), source, threads: 32, shared: 0, buffers: 0, words: 0 }
    }

    fn compiler(capability: Capability, ready: &Path, cache: Option<Cache>) -> Compiler {
        let options = Options {
            ordinal: 0,
            nvrtc: Some("no/such/nvrtc".into()),
            ready: vec![ready.into()],
            cache,
            embedded: None,
        };
        Compiler::new(capability, options)
    }

    /// A compiler whose program brings along what is in an archive, and that has nothing else.
    fn bringing(capability: Capability, archive: Vec<u8>) -> Compiler {
        let nvrtc = Some("no/such/nvrtc".into());
        let embedded = Some(archive.into());
        let options = Options { ordinal: 0, nvrtc, ready: Vec::new(), cache: None, embedded };
        Compiler::new(capability, options)
    }

    fn images(compiler: &Compiler, kernels: &[Text]) -> Result<Vec<Vec<u8>>, DeviceError> {
        compiler.each(kernels).into_iter().collect()
    }

    #[test]
    fn ready_kernels_need_no_compiler() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (ready, own) = (folder.path().join("ready"), folder.path().join("own"));
        let cache = Cache::new(&own, 1 << 20);
        let kernels: Vec<_> = (0..20).map(|i| text(&format!("k{i}"))).collect();
        let compiler = compiler((9, 0), &ready, Some(cache.clone()));
        for (i, kernel) in kernels.iter().enumerate() {
            // half of them in each place
            let place = if i % 2 == 0 { &cache } else { &Cache::new(&ready, 1 << 20) };
            place.put(kernel.key((9, 0)), (12, i as i32), &[i as u8; 50]);
        }
        let images = images(&compiler, &kernels).expect("all are there");
        let wanted: Vec<_> = (0..20).map(|i| vec![i as u8; 50]).collect();
        assert_eq!(images, wanted, "in order");
        assert_eq!(compiler.compiled(), 0);
    }

    /// Each kernel of the manifest is found in an archive as `cargo xtask cubins` makes it, and nothing is compiled: there is
    /// no compiler.
    #[test]
    fn embedded_kernels_need_no_compiler() {
        let programs = tessera_kernels::manifest::programs().expect("records");
        let kernels: Vec<_> = programs.iter().map(Text::from).collect();
        let image =
            |kernel: &Text, minor: u32| format!("{} for 8.{minor}", kernel.name).into_bytes();
        let made: Vec<_> = [0, 6]
            .iter()
            .flat_map(|&minor| kernels.iter().map(move |it| (it.key((8, minor)), image(it, minor))))
            .collect();
        let archive = Archive::write((13, 5), &made).expect("small");
        for (capability, found) in [((8, 0), 0), ((8, 6), 6), ((8, 9), 6)] {
            let compiler = bringing(capability, archive.clone());
            compiler.ready().expect("embedded");
            let wanted: Vec<_> = kernels.iter().map(|kernel| image(kernel, found)).collect();
            assert_eq!(images(&compiler, &kernels), Ok(wanted), "{capability:?}");
            assert_eq!(compiler.compiled(), 0);
        }
        // what is not in it has to be compiled
        for (capability, kernel) in
            [((9, 0), &kernels[0]), ((8, 7), &kernels[0]), ((8, 0), &text("k"))]
        {
            let missing = bringing(capability, archive.clone()).each(std::slice::from_ref(kernel));
            assert!(matches!(missing[..], [Err(DeviceError::Absent { .. })]), "{capability:?}");
        }
        // a damaged archive is as good as none
        let damaged = bringing((8, 0), archive[..archive.len() / 2].to_vec());
        assert!(damaged.ready().is_err() && images(&damaged, &kernels).is_err());
    }

    #[test]
    fn whatever_an_image_depends_on_is_in_its_key() {
        assert_ne!(text("a").key((9, 0)), text("b").key((9, 0)));
        assert_ne!(text("a").key((9, 0)), text("a").key((8, 9)));
        assert_eq!(architecture((9, 0)), "--gpu-architecture=sm_90a");
        assert_eq!(architecture((8, 9)), "--gpu-architecture=sm_89");
        let of = |capability| compatible(capability).collect::<Vec<_>>();
        assert_eq!(of((8, 9)), [9, 8, 6, 5, 4, 3, 2, 1, 0].map(|minor| (8, minor)));
        assert_eq!(
            (of((9, 0)), of((12, 1)), of((8, 7))),
            (vec![(9, 0)], vec![(12, 1)], vec![(8, 7)])
        );
    }

    #[test]
    fn a_missing_compiler_is_named() {
        let compiler = compiler((9, 0), Path::new("no/such/folder"), None);
        for error in compiler.each(&[text("a"), text("b")]) {
            let error = error.expect_err("nobody compiles");
            let DeviceError::Absent { device: "cuda", why } = &error else { panic!("{error}") };
            assert!(why.contains("no/such/nvrtc") && why.contains("install"), "{why}");
        }
        assert!(compiler.ready().is_err());
    }
}
