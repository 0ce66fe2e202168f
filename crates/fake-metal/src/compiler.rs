//! Libraries, functions, pipelines and archives. A text "compiles" if each of its kernels is one that the world knows, to
//! the letter.

use std::{
    collections::BTreeSet,
    fs, ptr,
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
};

use tessera_tile::{print, sim::Kernel};

use crate::{
    foundation::{fail, path, read},
    object::{Body, Object, Ref},
    runtime::{Method, Selector, method},
    world::{World, lock},
};

/// Options of the compiler.
#[derive(Default)]
pub struct Options {
    language: usize,
    safe: bool,
}

/// Compiled kernels.
pub struct Library(Vec<Arc<Kernel>>);

/// How a pipeline is to be made.
#[derive(Default)]
pub struct Descriptor {
    function: Option<Arc<Kernel>>,
    threads: usize,
    /// Whether threadgroups are promised to be of whole simdgroups.
    whole: bool,
    indirect: bool,
    archives: Vec<Ref>,
}

/// Machine code: names of kernels with their texts' checksums.
#[derive(Default)]
pub struct Archive(BTreeSet<(String, u64)>);

/// First line of an archive's file.
const MAGIC: &str = "machine code of a fake";

/// What a compiled library begins with, before its text.
pub const METALLIB: &str = "library of a fake\n";

/// `MTLLanguageVersion3_0`
const LANGUAGE: usize = 3 << 16;

/// `MTLPipelineOptionFailOnBinaryArchiveMiss`
const FAIL_ON_MISS: usize = 4;

impl Archive {
    fn entry(kernel: &Kernel, indirect: bool) -> (String, u64) {
        let text = print::metal(kernel.program());
        let sum = text.bytes().fold(7u64, |sum, byte| sum.wrapping_mul(31) + u64::from(byte));
        // machine code for indirect commands is another
        (kernel.program().name.clone(), sum ^ u64::from(indirect))
    }

    fn to_text(&self) -> String {
        let lines: Vec<_> = self.0.iter().map(|(name, sum)| format!("{name} {sum}")).collect();
        format!("{MAGIC}\n{}\nend\n", lines.join("\n"))
    }

    fn of_text(text: &str) -> Option<Self> {
        let lines = text.strip_prefix(MAGIC)?.strip_suffix("\nend\n")?;
        let entry = |line: &str| {
            let (name, sum) = line.split_once(' ')?;
            Some((name.to_owned(), sum.parse().ok()?))
        };
        lines.lines().filter(|line| !line.is_empty()).map(entry).collect::<Option<_>>().map(Self)
    }
}

impl Descriptor {
    fn in_archives(&self, kernel: &Kernel) -> bool {
        let entry = Archive::entry(kernel, self.indirect);
        self.archives.iter().any(|archive| match &*archive.body() {
            Body::Archive(archive) => lock(archive).0.contains(&entry),
            _ => false,
        })
    }
}

/// The kernels of a text, or what the compiler says.
fn compile(world: &World, text: &str) -> Result<Library, String> {
    if !text.starts_with(print::metal_prelude()) {
        return Err("error: the prelude is missing".into());
    }
    let heads =
        text.lines().filter_map(|line| line.strip_prefix("kernel void ")?.strip_suffix('('));
    let mut kernels = Vec::new();
    for name in heads {
        if world.settings.refused.as_deref() == Some(name) {
            return Err(format!("error: {name} is refused"));
        }
        let program = world.program(name).ok_or_else(|| format!("error: {name} is unknown"))?;
        if !text.contains(&print::metal(&program)) {
            return Err(format!("error: {name} is not what was recorded"));
        }
        kernels.push(Arc::new(Kernel::new(program)));
    }
    Ok(Library(kernels))
}

pub(crate) fn of_class(class: &str, name: &str) -> Option<Method> {
    match (class, name) {
        ("MTLCompileOptions", "new") => method!(|_class| -> *const Object {
            Ref::new(&World::current(), Body::Options(Mutex::default())).into_raw()
        }),
        ("MTLComputePipelineDescriptor", "new") => method!(|_class| -> *const Object {
            Ref::new(&World::current(), Body::Descriptor(Mutex::default())).into_raw()
        }),
        ("MTLBinaryArchiveDescriptor", "new") => method!(|_class| -> *const Object {
            Ref::new(&World::current(), Body::ArchiveDescriptor(Mutex::default())).into_raw()
        }),
        _ => None,
    }
}

/// Runs on the settings of a descriptor of this kind.
macro_rules! set {
    ($kind:ident, |$it:ident, $value:ident: $type:ty| $body:expr) => {
        method!(|this, $value: $type| {
            if let Body::$kind(settings) = &*this.body() {
                let mut $it = lock(settings);
                $body;
            }
        })
    };
}

pub(crate) fn of_object(body: &Body, name: &str) -> Option<Method> {
    match (body, name) {
        (Body::Options(_), "respondsToSelector:") => {
            method!(|this, selector: Selector| -> bool {
                // SAFETY: selectors are C strings that are kept for ever
                let name = unsafe { std::ffi::CStr::from_ptr(selector) };
                name != c"setMathMode:" || this.world().settings.macos >= 15
            })
        }
        (Body::Options(_), "setLanguageVersion:") => {
            set!(Options, |options, version: usize| options.language = version)
        }
        // `MTLMathModeSafe` is 0
        (Body::Options(_), "setMathMode:") => {
            set!(Options, |options, mode: usize| options.safe = mode == 0)
        }
        (Body::Options(_), "setFastMathEnabled:") => {
            set!(Options, |options, fast: bool| options.safe = !fast)
        }
        (Body::Device, "newLibraryWithSource:options:error:") => {
            method!(|this,
                     source: &'static Object,
                     options: Option<&'static Object>,
                     error: *mut *const Object|
             -> *const Object {
                let world = this.world();
                world.texts.fetch_add(1, Relaxed);
                let kept = options.is_some_and(|options| match &*options.body() {
                    Body::Options(options) => {
                        let options = lock(options);
                        options.language == LANGUAGE && options.safe
                    }
                    _ => false,
                });
                if !kept {
                    world.violation("compiled with other options than the text relies on");
                }
                match compile(world, &read(source)) {
                    Ok(library) => Ref::new(world, Body::Library(library)).into_raw(),
                    Err(why) => {
                        fail(world, error, 3, &why);
                        ptr::null()
                    }
                }
            })
        }
        (Body::Device, "newLibraryWithData:error:") => {
            method!(|this, data: &'static Object, error: *mut *const Object| -> *const Object {
                let (world, body) = (this.world(), data.body());
                let Body::Data(data) = &*body else { return ptr::null() };
                let text = str::from_utf8(data).ok().and_then(|t| t.strip_prefix(METALLIB));
                match text.ok_or("not a library".into()).and_then(|text| compile(world, text)) {
                    Ok(library) => Ref::new(world, Body::Library(library)).into_raw(),
                    Err(why) => {
                        fail(world, error, 1, &why);
                        ptr::null()
                    }
                }
            })
        }
        (Body::Library(_), "newFunctionWithName:") => {
            method!(|this, name: &'static Object| -> *const Object {
                let (body, name) = (this.body(), read(name));
                let Body::Library(Library(kernels)) = &*body else { return ptr::null() };
                let kernel = kernels.iter().find(|kernel| kernel.program().name == name);
                kernel.map_or(ptr::null(), |kernel| {
                    Ref::new(this.world(), Body::Function(Arc::clone(kernel))).into_raw()
                })
            })
        }
        (Body::Descriptor(_), "setLabel:") => {
            set!(Descriptor, |_descriptor, label: &'static Object| drop(read(label)))
        }
        (Body::Descriptor(_), "setComputeFunction:") => {
            set!(Descriptor, |descriptor, function: &'static Object| match &*function.body() {
                Body::Function(kernel) => descriptor.function = Some(Arc::clone(kernel)),
                _ => function.world().violation("a function is expected"),
            })
        }
        (Body::Descriptor(_), "setMaxTotalThreadsPerThreadgroup:") => {
            set!(Descriptor, |descriptor, threads: usize| descriptor.threads = threads)
        }
        (Body::Descriptor(_), "setThreadGroupSizeIsMultipleOfThreadExecutionWidth:") => {
            set!(Descriptor, |descriptor, whole: bool| descriptor.whole = whole)
        }
        (Body::Descriptor(_), "setSupportIndirectCommandBuffers:") => {
            set!(Descriptor, |descriptor, indirect: bool| descriptor.indirect = indirect)
        }
        (Body::Descriptor(_), "setBinaryArchives:") => {
            set!(Descriptor, |descriptor, archives: &'static Object| match &*archives.body() {
                Body::Array(archives) => {
                    let own = archives.iter().map(|a| Ref::to(crate::foundation::as_static(a)));
                    descriptor.archives = own.collect();
                }
                _ => archives.world().violation("an array is expected"),
            })
        }
        (Body::Device, "newComputePipelineStateWithDescriptor:options:reflection:error:") => {
            method!(|this,
                     descriptor: &'static Object,
                     options: usize,
                     _reflection: usize,
                     error: *mut *const Object|
             -> *const Object {
                let (world, body) = (this.world(), descriptor.body());
                let Body::Descriptor(descriptor) = &*body else { return ptr::null() };
                let descriptor = lock(descriptor);
                let refuse = |code, why: &str| {
                    fail(world, error, code, why);
                    ptr::null()
                };
                let Some(kernel) = &descriptor.function else { return refuse(3, "no function") };
                let program = kernel.program();
                if descriptor.threads != program.threads as usize {
                    return refuse(3, "not the number of threads that the text says");
                }
                if descriptor.whole && !descriptor.threads.is_multiple_of(32) {
                    world.violation("threadgroups of whole simdgroups are promised and not given");
                }
                if program.shared_bytes() > world.settings.shared {
                    return refuse(3, "too much threadgroup memory");
                }
                if !descriptor.in_archives(kernel) {
                    if options & FAIL_ON_MISS != 0 {
                        return refuse(2, "not in the archives");
                    }
                    world.machine.fetch_add(1, Relaxed);
                }
                Ref::new(world, Body::Pipeline(Arc::clone(kernel), descriptor.indirect)).into_raw()
            })
        }
        (Body::Pipeline(..), "threadExecutionWidth") => {
            method!(|this| -> usize { this.world().settings.lanes })
        }
        (Body::Pipeline(..), "maxTotalThreadsPerThreadgroup") => {
            method!(|this| -> usize { this.world().settings.threads })
        }
        (Body::Pipeline(..), "staticThreadgroupMemoryLength") => {
            method!(|this| -> usize {
                match &*this.body() {
                    Body::Pipeline(kernel, _) => kernel.program().shared_bytes(),
                    _ => 0,
                }
            })
        }
        (Body::ArchiveDescriptor(_), "setUrl:") => {
            set!(ArchiveDescriptor, |to, url: Option<&'static Object>| *to = url.and_then(path))
        }
        (Body::Device, "newBinaryArchiveWithDescriptor:error:") => {
            method!(|this,
                     descriptor: &'static Object,
                     error: *mut *const Object|
             -> *const Object {
                let (world, body) = (this.world(), descriptor.body());
                let Body::ArchiveDescriptor(url) = &*body else { return ptr::null() };
                let archive = match &*lock(url) {
                    None => Some(Archive::default()),
                    Some(path) => fs::read_to_string(path).ok().and_then(|t| Archive::of_text(&t)),
                };
                match archive {
                    Some(archive) => Ref::new(world, Body::Archive(Mutex::new(archive))).into_raw(),
                    None => {
                        fail(world, error, 1, "the archive is damaged");
                        ptr::null()
                    }
                }
            })
        }
        (Body::Archive(_), "addComputePipelineFunctionsWithDescriptor:error:") => {
            method!(|this, descriptor: &'static Object, _error: *mut *const Object| -> bool {
                let (body, descriptor) = (this.body(), descriptor.body());
                let (Body::Archive(archive), Body::Descriptor(descriptor)) = (&*body, &*descriptor)
                else {
                    return false;
                };
                let descriptor = lock(descriptor);
                let Some(kernel) = &descriptor.function else { return false };
                this.world().machine.fetch_add(1, Relaxed);
                lock(archive).0.insert(Archive::entry(kernel, descriptor.indirect));
                true
            })
        }
        (Body::Archive(_), "serializeToURL:error:") => {
            method!(|this, url: &'static Object, error: *mut *const Object| -> bool {
                let body = this.body();
                let Body::Archive(archive) = &*body else { return false };
                let written = fs::write(path(url).unwrap_or_default(), lock(archive).to_text());
                if let Err(why) = &written {
                    fail(this.world(), error, 4, &why.to_string());
                }
                written.is_ok()
            })
        }
        _ => None,
    }
}
