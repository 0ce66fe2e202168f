//! From kernels' texts to what the device runs: looked up, else compiled, a kernel by itself, several at once.
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

impl Compiler {
    /// For devices of a capability. `library` is NVRTC's, else it is looked for; `ready` are folders of kernels that were
    /// compiled before, in the cache's form.
    pub fn new(
        capability: Capability,
        library: Option<PathBuf>,
        ready: Vec<PathBuf>,
        cache: Option<Cache>,
    ) -> Self {
        let ready = ready.into_iter().map(|folder| Cache::new(folder, u64::MAX)).collect();
        let (nvrtc, compiled) = (OnceLock::new(), AtomicU64::new(0));
        Self { capability, library, nvrtc, ready, cache, compiled }
    }

    /// How many kernels were compiled from source.
    pub fn compiled(&self) -> u64 {
        self.compiled.load(Relaxed)
    }

    fn nvrtc(&self) -> Result<&Nvrtc, &String> {
        self.nvrtc.get_or_init(|| Nvrtc::open(self.library.as_deref())).as_ref()
    }

    /// The images of kernels, in order.
    pub fn images(&self, kernels: &[Text]) -> Result<Vec<Vec<u8>>, DeviceError> {
        let next = AtomicUsize::new(0);
        let images = Mutex::new(vec![None; kernels.len()]);
        let failed = Mutex::new(None);
        let work = || {
            while let Some((i, kernel)) =
                Some(next.fetch_add(1, Relaxed)).and_then(|i| Some((i, kernels.get(i)?)))
            {
                match self.image(kernel) {
                    Ok(image) => lock(&images)[i] = Some(image),
                    Err(error) => {
                        lock(&failed).get_or_insert(error);
                        next.store(kernels.len(), Relaxed);
                    }
                }
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
        match failed.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()) {
            Some(error) => Err(error),
            None => Ok(lock(&images).drain(..).flatten().collect()),
        }
    }

    /// What a kernel's image is found by.
    fn key(&self, kernel: &Text) -> Digest {
        let target = architecture(self.capability);
        let options = print::CUDA_OPTIONS.iter().copied();
        let parts = [kernel.source.as_str(), &target].into_iter().chain(options);
        Digest::of(parts.map(str::as_bytes))
    }

    /// The image of a kernel.
    fn image(&self, kernel: &Text) -> Result<Vec<u8>, DeviceError> {
        let key = self.key(kernel);
        // where there is no compiler, a kernel of any version will do
        let version = self.nvrtc().ok().map(Nvrtc::version);
        let found = self.ready.iter().find_map(|ready| ready.get(key, None));
        let found = found.or_else(|| self.cache.as_ref()?.get(key, version));
        if let Some(image) = found {
            return Ok(image);
        }
        let nvrtc = self.nvrtc().map_err(|why| DeviceError::Absent {
            device: "cuda",
            why: format!(
                "its kernels have to be compiled, and NVRTC is missing ({why}); install CUDA's NVRTC (the Python \
                 package nvidia-cuda-nvrtc has it too) where the system looks for libraries"
            ),
        })?;
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
        Compiler::new(capability, Some("no/such/nvrtc".into()), vec![ready.into()], cache)
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
            place.put(compiler.key(kernel), (12, i as i32), &[i as u8; 50]);
        }
        let images = compiler.images(&kernels).expect("all are there");
        let wanted: Vec<_> = (0..20).map(|i| vec![i as u8; 50]).collect();
        assert_eq!(images, wanted, "in order");
        assert_eq!(compiler.compiled(), 0);
    }

    #[test]
    fn whatever_an_image_depends_on_is_in_its_key() {
        let folder = Path::new("no/such/folder");
        let (one, other) = (compiler((9, 0), folder, None), compiler((8, 9), folder, None));
        assert_ne!(one.key(&text("a")), one.key(&text("b")));
        assert_ne!(one.key(&text("a")), other.key(&text("a")));
        assert_eq!(architecture((9, 0)), "--gpu-architecture=sm_90a");
        assert_eq!(architecture((8, 9)), "--gpu-architecture=sm_89");
    }

    #[test]
    fn a_missing_compiler_is_named() {
        let compiler = compiler((9, 0), Path::new("no/such/folder"), None);
        let error = compiler.images(&[text("a"), text("b")]).expect_err("nobody compiles");
        let DeviceError::Absent { device: "cuda", why } = &error else { panic!("{error}") };
        assert!(why.contains("no/such/nvrtc") && why.contains("install"), "{why}");
    }
}
