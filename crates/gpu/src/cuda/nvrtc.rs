//! NVIDIA's run-time compiler, loaded when it is needed.
//!
//! Its library has few functions, so that they are bound here: it may then lie where a caller says, and nothing panics where it
//! is missing.

use std::{
    ffi::{CStr, CString, c_char, c_int},
    path::Path,
    ptr,
};

use libloading::Library;

/// Where the library may be, for the system's loader; the last have been seen where CUDA is installed by hand.
#[cfg(not(windows))]
const NAMES: [&str; 7] = [
    "libnvrtc.so.13",
    "libnvrtc.so.12",
    "libnvrtc.so",
    "/usr/local/cuda/lib64/libnvrtc.so",
    "/usr/local/cuda/lib64/libnvrtc.so.13",
    "/usr/local/cuda/lib64/libnvrtc.so.12",
    "/opt/cuda/lib64/libnvrtc.so",
];
#[cfg(windows)]
const NAMES: [&str; 2] = ["nvrtc64_130_0.dll", "nvrtc64_120_0.dll"];

type Program = *mut std::ffi::c_void;
type Size = unsafe extern "C" fn(Program, *mut usize) -> c_int;
type Copy = unsafe extern "C" fn(Program, *mut c_char) -> c_int;

/// The compiler.
#[derive(Debug)]
pub struct Nvrtc {
    version: (i32, i32),
    architectures: Vec<i32>,
    create: unsafe extern "C" fn(
        *mut Program,
        *const c_char,
        *const c_char,
        c_int,
        *const *const c_char,
        *const *const c_char,
    ) -> c_int,
    compile: unsafe extern "C" fn(Program, c_int, *const *const c_char) -> c_int,
    destroy: unsafe extern "C" fn(*mut Program) -> c_int,
    log: (Size, Copy),
    cubin: (Size, Copy),
    ptx: (Size, Copy),
    text: unsafe extern "C" fn(c_int) -> *const c_char,
    /// Keeps the functions.
    _library: Library,
}

/// What the device runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Its own instructions, by `--gpu-architecture=sm_..`.
    Cubin,
    /// What the driver compiles on, by `--gpu-architecture=compute_..`.
    Ptx,
}

/// What was compiled.
#[derive(Debug)]
pub struct Compiled {
    /// A cubin, or PTX that ends with 0.
    pub image: Vec<u8>,
    /// What the compiler had to say.
    pub log: String,
}

impl Nvrtc {
    /// Loads the library at `path`, or from where such libraries are.
    pub fn open(path: Option<&Path>) -> Result<Self, String> {
        let library = match path {
            // SAFETY: NVIDIA's library does nothing when it is loaded; whoever names another one answers for it.
            Some(path) => unsafe { Library::new(path) }
                .map_err(|error| format!("{}: {error}", path.display()))?,
            None => NAMES
                .iter()
                // SAFETY: as above.
                .find_map(|name| unsafe { Library::new(*name) }.ok())
                .ok_or_else(|| format!("no library {}", NAMES[0]))?,
        };
        Self::bind(library).map_err(|error| format!("not NVRTC's library: {error}"))
    }

    fn bind(library: Library) -> Result<Self, libloading::Error> {
        // SAFETY: the types are those of NVRTC's header, the same since CUDA 11.1; the library is kept beside the pointers.
        unsafe {
            let version: unsafe extern "C" fn(*mut c_int, *mut c_int) -> c_int =
                *library.get(b"nvrtcVersion")?;
            let count: unsafe extern "C" fn(*mut c_int) -> c_int =
                *library.get(b"nvrtcGetNumSupportedArchs")?;
            let list: unsafe extern "C" fn(*mut c_int) -> c_int =
                *library.get(b"nvrtcGetSupportedArchs")?;
            let (mut major, mut minor, mut known) = (0, 0, 0);
            version(&raw mut major, &raw mut minor);
            count(&raw mut known);
            let mut architectures = vec![0; usize::try_from(known).unwrap_or(0)];
            list(architectures.as_mut_ptr());
            Ok(Self {
                version: (major, minor),
                architectures,
                create: *library.get(b"nvrtcCreateProgram")?,
                compile: *library.get(b"nvrtcCompileProgram")?,
                destroy: *library.get(b"nvrtcDestroyProgram")?,
                log: (
                    *library.get(b"nvrtcGetProgramLogSize")?,
                    *library.get(b"nvrtcGetProgramLog")?,
                ),
                cubin: (*library.get(b"nvrtcGetCUBINSize")?, *library.get(b"nvrtcGetCUBIN")?),
                ptx: (*library.get(b"nvrtcGetPTXSize")?, *library.get(b"nvrtcGetPTX")?),
                text: *library.get(b"nvrtcGetErrorString")?,
                _library: library,
            })
        }
    }

    /// Its version: `(13, 0)`.
    pub fn version(&self) -> (i32, i32) {
        self.version
    }

    /// For which architectures it makes cubins: 90 is compute capability 9.0.
    pub fn architectures(&self) -> &[i32] {
        &self.architectures
    }

    /// Compiles a source; what the compiler says if it refuses.
    pub fn compile(
        &self,
        source: &str,
        name: &str,
        form: Form,
        options: &[&str],
    ) -> Result<Compiled, String> {
        let text = |text: &str| CString::new(text).map_err(|_| "a 0 in a source".to_owned());
        let (source, name) = (text(source)?, text(name)?);
        let options: Vec<_> =
            options.iter().map(|option| text(option)).collect::<Result<_, _>>()?;
        let pointers: Vec<_> = options.iter().map(|option| option.as_ptr()).collect();
        let mut program = Made { nvrtc: self, program: ptr::null_mut() };
        // SAFETY: writes one handle; the texts end with 0; there are no headers.
        self.done(unsafe {
            (self.create)(
                &raw mut program.program,
                source.as_ptr(),
                name.as_ptr(),
                0,
                ptr::null(),
                ptr::null(),
            )
        })?;
        let count = pointers.len() as c_int;
        // SAFETY: the program is made; as many options as are told, each ending with 0.
        let result = unsafe { (self.compile)(program.program, count, pointers.as_ptr()) };
        let log = String::from_utf8_lossy(&program.bytes(self.log)?)
            .trim_end_matches('\0')
            .trim()
            .to_owned();
        self.done(result).map_err(|error| format!("{error}\n{log}"))?;
        let image = program.bytes(if form == Form::Cubin { self.cubin } else { self.ptx })?;
        match image.is_empty() {
            true => Err("the compiler made nothing".into()),
            false => Ok(Compiled { image, log }),
        }
    }

    fn done(&self, result: c_int) -> Result<(), String> {
        if result == 0 {
            return Ok(());
        }
        // SAFETY: gives a constant text for any number.
        let text = unsafe { (self.text)(result) };
        match text.is_null() {
            true => Err(format!("NVRTC error {result}")),
            // SAFETY: it ends with 0 and is never freed.
            false => Err(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()),
        }
    }
}

/// A program of the compiler's.
struct Made<'a> {
    nvrtc: &'a Nvrtc,
    program: Program,
}

impl Made<'_> {
    /// What two functions give: a size, and as many bytes.
    fn bytes(&self, (size, copy): (Size, Copy)) -> Result<Vec<u8>, String> {
        let mut bytes = 0;
        // SAFETY: the program is made; writes one number.
        self.nvrtc.done(unsafe { size(self.program, &raw mut bytes) })?;
        let mut out = vec![0u8; bytes];
        if bytes > 0 {
            // SAFETY: writes as many bytes as it told.
            self.nvrtc.done(unsafe { copy(self.program, out.as_mut_ptr().cast()) })?;
        }
        Ok(out)
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        if !self.program.is_null() {
            // SAFETY: made once. A failure leaves nothing to do.
            unsafe { (self.nvrtc.destroy)(&raw mut self.program) };
        }
    }
}
