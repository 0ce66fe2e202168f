//! Compiled kernels.

use std::{ffi::CString, ptr, sync::Arc};

use cudarc::driver::sys;

use super::{Context, done};
use crate::{device::DeviceError, replay::Identity};

/// Compiled code on the device.
#[derive(Debug)]
pub struct Module {
    context: Arc<Context>,
    module: sys::CUmodule,
}

// SAFETY: the driver's handles may be used from any thread.
unsafe impl Send for Module {}
// SAFETY: as above; nothing here changes.
unsafe impl Sync for Module {}

/// A kernel of a [`Module`], which it keeps.
#[derive(Debug, Clone)]
pub struct Function {
    module: Arc<Module>,
    pub(super) function: sys::CUfunction,
}

// SAFETY: the driver's handles may be used from any thread.
unsafe impl Send for Function {}

impl Module {
    /// Loads a cubin, or PTX that ends with 0.
    pub fn load(context: &Arc<Context>, image: &[u8]) -> Result<Arc<Self>, DeviceError> {
        let mut module = ptr::null_mut();
        // SAFETY: the image is complete: a cubin tells its own length, PTX ends with 0. Both are checked by who makes them.
        let result = unsafe { sys::cuModuleLoadData(&raw mut module, image.as_ptr().cast()) };
        done(result, "loading a kernel")?;
        Ok(Arc::new(Self { context: context.clone(), module }))
    }

    /// A kernel by its name.
    pub fn function(self: &Arc<Self>, name: &str) -> Result<Function, DeviceError> {
        let missing = |_| DeviceError::Run(format!("{name:?} is no kernel's name"));
        let name = CString::new(name).map_err(missing)?;
        let mut function = ptr::null_mut();
        // SAFETY: the module is loaded, the name ends with 0.
        let result =
            unsafe { sys::cuModuleGetFunction(&raw mut function, self.module, name.as_ptr()) };
        done(result, "a kernel of a module")?;
        Ok(Function { module: self.clone(), function })
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // SAFETY: loaded once; what runs is awaited before a device lets go of its kernels. A failure leaves nothing to do.
        unsafe {
            if self.context.bind().is_ok() {
                sys::cuModuleUnload(self.module);
            }
        }
    }
}

impl Identity for Function {
    fn id(&self) -> u64 {
        self.function.addr() as u64
    }
}

impl Function {
    /// What it is a part of.
    pub fn module(&self) -> &Arc<Module> {
        &self.module
    }

    /// How many threads a threadgroup may have, which depends on the registers it takes.
    pub fn most_threads(&self) -> Result<u32, DeviceError> {
        let mut value = 0;
        let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK;
        self.module.context.bind()?;
        // SAFETY: writes one number; the module is kept.
        let result = unsafe { sys::cuFuncGetAttribute(&raw mut value, attribute, self.function) };
        done(result, "an attribute of a kernel")?;
        Ok(u32::try_from(value).unwrap_or(0))
    }
}
