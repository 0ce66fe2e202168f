//! The driver's handles as owned values: what is made is given back, what fails is named.
//!
//! Work on the device is in order of one [`Stream`]; a failure of a launch shows when the stream is awaited.

mod memory;
mod module;
mod stream;

use std::{
    ffi::CStr,
    ptr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cudarc::driver::sys::{self, CUdevice_attribute, CUresult};
use tessera_graph::DeviceMemory;

pub use memory::{Memory, Pinned};
pub use module::{Function, Module};
pub use stream::{Event, Graph, MOST_PARAMETERS, Stream};

use crate::device::DeviceError;

/// The oldest driver that has all that is called here.
const OLDEST_DRIVER: i32 = 12_000;

/// What the driver calls a result: name, and description.
fn described(result: CUresult) -> String {
    let text = |get: unsafe fn(CUresult, *mut *const std::ffi::c_char) -> CUresult| {
        let mut text = ptr::null();
        // SAFETY: the driver writes a pointer to a constant of its own, or none.
        unsafe {
            let known = get(result, &raw mut text) == CUresult::CUDA_SUCCESS && !text.is_null();
            known.then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
        }
    };
    let name = text(sys::cuGetErrorName).unwrap_or_else(|| format!("CUDA error {}", result as u32));
    match text(sys::cuGetErrorString) {
        Some(description) => format!("{name} ({description})"),
        None => name,
    }
}

/// An error of a call that did `what`.
fn done(result: CUresult, what: &str) -> Result<(), DeviceError> {
    match result {
        CUresult::CUDA_SUCCESS => Ok(()),
        _ => Err(DeviceError::Run(format!("{what}: {}", described(result)))),
    }
}

fn absent(why: impl Into<String>) -> DeviceError {
    DeviceError::Absent { device: "cuda", why: why.into() }
}

/// A device's primary context.
#[derive(Debug)]
pub struct Context {
    device: sys::CUdevice,
    context: sys::CUcontext,
    /// CUDA version of the driver: 13000 is 13.0.
    driver: i32,
    /// Memory that nobody holds any more, to be given back when nothing can still use it.
    loose: Mutex<Vec<sys::CUdeviceptr>>,
}

// SAFETY: the driver's handles may be used from any thread; each call here makes its context the thread's own before.
unsafe impl Send for Context {}
// SAFETY: as above; what changes is behind a lock.
unsafe impl Sync for Context {}

impl Context {
    /// Of device `ordinal`, in the driver's order.
    pub fn open(ordinal: usize) -> Result<Arc<Self>, DeviceError> {
        // SAFETY: loads a library by its name; the driver's has no preconditions. cudarc panics where it is missing.
        if !unsafe { sys::is_culib_present() } {
            return Err(absent(
                "NVIDIA's driver is not installed (no libcuda); install it, or take the cpu",
            ));
        }
        // SAFETY: the driver's first call; it has no preconditions.
        let begun = unsafe { sys::cuInit(0) };
        if begun != CUresult::CUDA_SUCCESS {
            return Err(absent(format!("the driver does not start: {}", described(begun))));
        }
        let (mut version, mut count, mut device) = (0, 0, 0);
        // SAFETY: each writes one number to where it is told.
        unsafe {
            done(sys::cuDriverGetVersion(&raw mut version), "version of the driver")?;
            done(sys::cuDeviceGetCount(&raw mut count), "number of devices")?;
        }
        if version < OLDEST_DRIVER {
            return Err(absent(format!(
                "the driver is for CUDA {}.{}; install one for CUDA 12.0 or later",
                version / 1000,
                version % 1000 / 10
            )));
        }
        let ordinal = i32::try_from(ordinal).unwrap_or(i32::MAX);
        if ordinal >= count {
            return Err(absent(format!("device {ordinal} of {count}; the first is 0")));
        }
        let mut context = ptr::null_mut();
        // SAFETY: `ordinal` is that of a device; each writes one handle to where it is told.
        unsafe {
            done(sys::cuDeviceGet(&raw mut device, ordinal), "a device")?;
            done(sys::cuDevicePrimaryCtxRetain(&raw mut context, device), "a context")?;
        }
        let context = Arc::new(Self { device, context, driver: version, loose: Mutex::default() });
        context.bind()?;
        Ok(context)
    }

    /// CUDA version of the driver: 13000 is 13.0.
    pub fn driver(&self) -> i32 {
        self.driver
    }

    /// Makes it the calling thread's.
    pub fn bind(&self) -> Result<(), DeviceError> {
        // SAFETY: the context is retained until this is dropped.
        done(unsafe { sys::cuCtxSetCurrent(self.context) }, "a context")
    }

    /// A number that the device tells of itself.
    pub fn attribute(&self, attribute: CUdevice_attribute) -> Result<u32, DeviceError> {
        let mut value = 0;
        // SAFETY: writes one number.
        let result = unsafe { sys::cuDeviceGetAttribute(&raw mut value, attribute, self.device) };
        done(result, "an attribute of the device")?;
        Ok(u32::try_from(value).unwrap_or(0))
    }

    /// What the device has of memory. It is the thread's context.
    pub fn memory(&self) -> Result<DeviceMemory, DeviceError> {
        let (mut free, mut total) = (0, 0);
        // SAFETY: writes two numbers.
        done(unsafe { sys::cuMemGetInfo_v2(&raw mut free, &raw mut total) }, "free memory")?;
        let unified = self.attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_INTEGRATED)? != 0;
        Ok(DeviceMemory { free, total, unified })
    }

    /// What the device is called.
    pub fn name(&self) -> Result<String, DeviceError> {
        let mut name = [0u8; 256];
        let most = name.len() as i32;
        // SAFETY: writes at most as many bytes as there are, the last of them 0.
        let result = unsafe { sys::cuDeviceGetName(name.as_mut_ptr().cast(), most, self.device) };
        done(result, "the device's name")?;
        let name = CStr::from_bytes_until_nul(&name).unwrap_or_default();
        Ok(name.to_string_lossy().into_owned())
    }
}

impl Context {
    fn loose(&self) -> MutexGuard<'_, Vec<sys::CUdeviceptr>> {
        self.loose.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is loose memory.
    pub fn has_loose(&self) -> bool {
        !self.loose().is_empty()
    }

    /// Gives loose memory back. It is the thread's context, and nothing that may use such memory is to be launched or runs.
    pub fn sweep(&self) {
        for address in self.loose().drain(..) {
            // SAFETY: allocated once in this context, and let go of once. A failure leaves nothing to do.
            unsafe { sys::cuMemFree_v2(address) };
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if self.bind().is_ok() {
            self.sweep();
        }
        // SAFETY: retained once; everything made in it holds it and is gone. A failure leaves nothing to do.
        unsafe { sys::cuDevicePrimaryCtxRelease_v2(self.device) };
    }
}
