//! Compiled kernels in this process. All that is unsafe is here.

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    path::Path,
};

use crate::error::Error;

/// As `emu::Launch` in kernel.h.
#[repr(C)]
struct RawLaunch {
    kernel: u32,
    grid: [u32; 3],
    backward: u32,
    arguments: *const c_void,
    buffers: *const *mut c_void,
    report: *mut c_char,
    report_bytes: u64,
}

type LaunchFunction = unsafe extern "C" fn(*const RawLaunch) -> c_int;

/// Kernels that can be launched. Their memory is one for all launches, hence `&mut`.
pub(crate) struct Loaded {
    launch: LaunchFunction,
    /// Keeps the code where it is.
    _library: libloading::Library,
}

impl Loaded {
    /// Loads what the compiler made.
    pub fn new(path: &Path) -> Result<Self, Error> {
        // SAFETY: the library was compiled from sources of this crate a moment ago, in a folder of this process; it has no
        // initialisers that do anything.
        let library = unsafe { libloading::Library::new(path) }?;
        // SAFETY: kernel.h declares the function with this signature.
        let launch: LaunchFunction = *unsafe { library.get(b"emu_launch\0") }?;
        Ok(Self { launch, _library: library })
    }

    /// Runs a kernel of the table. There are as many addresses of buffers and words of arguments as it takes, and memory
    /// around each buffer that may be written to. On a failure, what the runtime reports.
    ///
    /// A kernel may be wrong and write anywhere: that is what these tests look for. An index a little outside falls into
    /// the margins; what writes far away may end the process.
    pub fn launch(
        &mut self,
        kernel: u32,
        grid: [u32; 3],
        backward: bool,
        arguments: &[u32],
        buffers: &[*mut c_void],
    ) -> Result<(), String> {
        let mut report = [0u8; 1024];
        let launch = RawLaunch {
            kernel,
            grid,
            backward: backward.into(),
            arguments: arguments.as_ptr().cast(),
            buffers: buffers.as_ptr(),
            report: report.as_mut_ptr().cast(),
            report_bytes: report.len() as u64,
        };
        // SAFETY: the launch and all it points to outlive the call, and nobody else uses the library's memory meanwhile.
        let failed = unsafe { (self.launch)(&raw const launch) } != 0;
        if !failed {
            return Ok(());
        }
        let text = CStr::from_bytes_until_nul(&report).unwrap_or_default();
        Err(text.to_string_lossy().into_owned())
    }
}
