//! The driver's handles as owned values: what is made is given back, what fails is named.
//!
//! Work on the device is in order of one [`Stream`]; a failure of a launch shows when the stream is awaited.

use std::{
    ffi::{CStr, CString, c_void},
    ptr::{self, NonNull},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cudarc::driver::sys::{self, CUdevice_attribute, CUresult};

use crate::device::DeviceError;

/// The oldest driver that has all that is called here.
const OLDEST_DRIVER: i32 = 12_000;

/// Buffers and argument struct of a kernel, at most.
pub const MOST_PARAMETERS: usize = 32;

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
                "NVIDIA's driver is not installed (no libcuda); install it, or use the cpu backend",
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

/// Memory on the device.
#[derive(Debug)]
pub struct Memory {
    context: Arc<Context>,
    address: sys::CUdeviceptr,
    bytes: usize,
}

impl Memory {
    /// `bytes` of it, at least 16, with contents unknown.
    fn new(context: &Arc<Context>, bytes: usize, what: &'static str) -> Result<Self, DeviceError> {
        let mut address = 0;
        // SAFETY: writes one address; not of zero bytes.
        match unsafe { sys::cuMemAlloc_v2(&raw mut address, bytes.max(16)) } {
            CUresult::CUDA_ERROR_OUT_OF_MEMORY => Err(DeviceError::Memory { bytes, what }),
            result => {
                done(result, "memory")?;
                Ok(Self { context: context.clone(), address, bytes })
            }
        }
    }

    /// Where it begins, a multiple of 256.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Bytes of it.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The address of a part, which must lie within.
    pub fn part(&self, offset: usize, bytes: usize) -> Result<u64, DeviceError> {
        match offset.checked_add(bytes) {
            Some(end) if end <= self.bytes => Ok(self.address + offset as u64),
            _ => Err(DeviceError::Run(format!(
                "bytes {offset} and {bytes} more of a buffer of {}",
                self.bytes
            ))),
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.context.loose().push(self.address);
    }
}

/// Memory of the host that the device reads and writes by itself.
#[derive(Debug)]
pub struct Pinned {
    context: Arc<Context>,
    at: NonNull<u8>,
    bytes: usize,
}

// SAFETY: it is owned memory, and reached through this alone.
unsafe impl Send for Pinned {}

impl Pinned {
    /// `bytes` of it, all zeros.
    pub fn new(context: &Arc<Context>, bytes: usize) -> Result<Self, DeviceError> {
        let what = "pinned memory of the host";
        let mut at = ptr::null_mut();
        // SAFETY: writes one address; not of zero bytes.
        match unsafe { sys::cuMemAllocHost_v2(&raw mut at, bytes.max(16)) } {
            CUresult::CUDA_ERROR_OUT_OF_MEMORY => Err(DeviceError::Memory { bytes, what }),
            result => {
                done(result, what)?;
                let at =
                    NonNull::new(at.cast::<u8>()).ok_or(DeviceError::Memory { bytes, what })?;
                // SAFETY: as many bytes were allocated.
                unsafe { at.write_bytes(0, bytes) };
                Ok(Self { context: context.clone(), at, bytes })
            }
        }
    }

    /// Its bytes. Nothing on the device may write them meanwhile.
    pub fn get(&self) -> &[u8] {
        // SAFETY: allocated and initialised; the stream is awaited before the host looks.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.bytes) }
    }

    /// Its bytes. Nothing on the device may touch them meanwhile.
    pub fn get_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `get`, and borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.at.as_ptr(), self.bytes) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: allocated once in this context. A failure leaves nothing to do.
        unsafe {
            if self.context.bind().is_ok() {
                sys::cuMemFreeHost(self.at.as_ptr().cast());
            }
        }
    }
}

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
    function: sys::CUfunction,
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

impl Function {
    /// What it is a part of.
    pub fn module(&self) -> &Arc<Module> {
        &self.module
    }

    /// A number that tells it from all other kernels that are loaded.
    pub fn id(&self) -> u64 {
        self.function.addr() as u64
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

/// A list of launches that the device has as one.
#[derive(Debug)]
pub struct Graph {
    context: Arc<Context>,
    graph: sys::CUgraphExec,
}

// SAFETY: the driver's handles may be used from any thread, by one at a time.
unsafe impl Send for Graph {}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: made once; the driver keeps what still runs. A failure leaves nothing to do.
        unsafe {
            if self.context.bind().is_ok() {
                sys::cuGraphExecDestroy(self.graph);
            }
        }
    }
}

/// A moment in a stream's work.
#[derive(Debug)]
pub struct Event {
    context: Arc<Context>,
    event: sys::CUevent,
}

impl Event {
    /// Milliseconds from an earlier event to this one; both must have happened.
    pub fn since(&self, earlier: &Self) -> Result<f32, DeviceError> {
        if self.context.driver < 12_080 {
            return Err(absent("events are timed by drivers for CUDA 12.8 and later"));
        }
        let mut time = 0.0;
        // SAFETY: writes one number; both events are alive.
        let result =
            unsafe { sys::cuEventElapsedTime_v2(&raw mut time, earlier.event, self.event) };
        done(result, "time between events")?;
        Ok(time)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: made once. A failure leaves nothing to do.
        unsafe {
            if self.context.bind().is_ok() {
                sys::cuEventDestroy_v2(self.event);
            }
        }
    }
}

/// Work in order.
#[derive(Debug)]
pub struct Stream {
    context: Arc<Context>,
    stream: sys::CUstream,
}

// SAFETY: the driver's handles may be used from any thread.
unsafe impl Send for Stream {}

impl Stream {
    /// With nothing to do.
    pub fn new(context: &Arc<Context>) -> Result<Self, DeviceError> {
        let mut stream = ptr::null_mut();
        let flags = sys::CUstream_flags::CU_STREAM_NON_BLOCKING as u32;
        // SAFETY: writes one handle.
        done(unsafe { sys::cuStreamCreate(&raw mut stream, flags) }, "a stream")?;
        Ok(Self { context: context.clone(), stream })
    }

    /// The context it belongs to.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Waits for all of its work. What failed on the device, in whatever launch, is told here.
    pub fn wait(&self) -> Result<(), DeviceError> {
        // SAFETY: the stream is alive.
        done(unsafe { sys::cuStreamSynchronize(self.stream) }, "running kernels")
    }

    /// Makes memory, all zeros.
    pub fn allocate(&self, bytes: usize, what: &'static str) -> Result<Memory, DeviceError> {
        let memory = Memory::new(&self.context, bytes, what)?;
        // SAFETY: as many bytes were allocated, at least 16.
        let result = unsafe { sys::cuMemsetD8Async(memory.address, 0, bytes.max(16), self.stream) };
        done(result, "zeroing memory")?;
        Ok(memory)
    }

    /// Copies bytes to the device and waits.
    pub fn write(&self, to: &Memory, offset: usize, bytes: &[u8]) -> Result<(), DeviceError> {
        let to = to.part(offset, bytes.len())?;
        if bytes.is_empty() {
            return Ok(());
        }
        // SAFETY: both sides are as long; the bytes are borrowed until the wait is over.
        let result = unsafe {
            sys::cuMemcpyHtoDAsync_v2(to, bytes.as_ptr().cast(), bytes.len(), self.stream)
        };
        done(result, "copying to the device").and_then(|()| self.wait())
    }

    /// Copies bytes from the device and waits.
    pub fn read(&self, from: &Memory, offset: usize, bytes: &mut [u8]) -> Result<(), DeviceError> {
        let from = from.part(offset, bytes.len())?;
        if bytes.is_empty() {
            return Ok(());
        }
        // SAFETY: both sides are as long; the bytes are borrowed until the wait is over.
        let result = unsafe {
            sys::cuMemcpyDtoHAsync_v2(bytes.as_mut_ptr().cast(), from, bytes.len(), self.stream)
        };
        done(result, "copying from the device").and_then(|()| self.wait())
    }

    /// Copies bytes on the device.
    pub fn copy(
        &self,
        from: (&Memory, usize),
        to: (&Memory, usize),
        bytes: usize,
    ) -> Result<(), DeviceError> {
        let (from, to) = (from.0.part(from.1, bytes)?, to.0.part(to.1, bytes)?);
        if bytes == 0 {
            return Ok(());
        }
        // SAFETY: both lie within their memory.
        let result = unsafe { sys::cuMemcpyDtoDAsync_v2(to, from, bytes, self.stream) };
        done(result, "copying on the device")
    }

    /// Begins to copy pinned bytes to the device. They stay as they are until the stream is awaited.
    pub fn send(
        &self,
        from: &Pinned,
        offset: usize,
        to: u64,
        bytes: usize,
    ) -> Result<(), DeviceError> {
        let from = &from.get()[offset..offset + bytes];
        if bytes == 0 {
            return Ok(());
        }
        // SAFETY: `to` is a part of a buffer that was checked; the caller keeps the pinned bytes.
        let result =
            unsafe { sys::cuMemcpyHtoDAsync_v2(to, from.as_ptr().cast(), bytes, self.stream) };
        done(result, "copying to the device")
    }

    /// Begins to copy bytes of the device to pinned ones. They are there when the stream has been awaited.
    pub fn fetch(
        &self,
        from: u64,
        to: &mut Pinned,
        offset: usize,
        bytes: usize,
    ) -> Result<(), DeviceError> {
        let to = &mut to.get_mut()[offset..offset + bytes];
        if bytes == 0 {
            return Ok(());
        }
        // SAFETY: `from` is a part of a buffer that was checked; the caller keeps the pinned bytes.
        let result =
            unsafe { sys::cuMemcpyDtoHAsync_v2(to.as_mut_ptr().cast(), from, bytes, self.stream) };
        done(result, "copying from the device")
    }

    /// Launches a kernel: the addresses of its buffers, then, if it takes one, its argument struct, words of four bytes.
    ///
    /// # Safety
    /// Number and order of the buffers and words are the kernel's, and what it reads and writes is alive until the stream has
    /// been awaited.
    pub unsafe fn launch(
        &self,
        function: &Function,
        grid: [u32; 3],
        threads: u32,
        buffers: &[u64],
        args: &[u32],
    ) -> Result<(), DeviceError> {
        let mut parameters = [ptr::null_mut::<c_void>(); MOST_PARAMETERS];
        for (parameter, address) in parameters.iter_mut().zip(buffers) {
            *parameter = ptr::from_ref(address).cast_mut().cast();
        }
        if let (false, Some(parameter)) = (args.is_empty(), parameters.get_mut(buffers.len())) {
            *parameter = args.as_ptr().cast_mut().cast();
        }
        let [x, y, z] = grid;
        // SAFETY: the driver copies as many parameters as the kernel has, each of the size it has, before it returns.
        let result = unsafe {
            sys::cuLaunchKernel(
                function.function,
                x,
                y,
                z,
                threads,
                1,
                1,
                0,
                self.stream,
                parameters.as_mut_ptr(),
                ptr::null_mut(),
            )
        };
        done(result, "launching a kernel")
    }

    /// Makes a graph of what `launches` puts on the stream, and does not run it.
    pub fn capture(
        &self,
        launches: impl FnOnce() -> Result<(), DeviceError>,
    ) -> Result<Graph, DeviceError> {
        let what = "capturing launches";
        // other threads, with other models, go on meanwhile
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream is alive and not being captured: a capture ends in this function.
        done(unsafe { sys::cuStreamBeginCapture_v2(self.stream, mode) }, what)?;
        let launched = launches();
        let (mut graph, mut ready) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: begun above; writes one handle, null if the capture failed.
        let ended = unsafe { sys::cuStreamEndCapture(self.stream, &raw mut graph) };
        // SAFETY: made here, and not used after it is destroyed; what was instantiated does not need it.
        let made = unsafe {
            let made = match (launched, ended) {
                (Ok(()), CUresult::CUDA_SUCCESS) => {
                    done(sys::cuGraphInstantiateWithFlags(&raw mut ready, graph, 0), "a graph")
                }
                (Err(error), _) => Err(error),
                (_, result) => done(result, what),
            };
            if !graph.is_null() {
                sys::cuGraphDestroy(graph);
            }
            made
        };
        made.map(|()| Graph { context: self.context.clone(), graph: ready })
    }

    /// Launches all that a graph has.
    ///
    /// # Safety
    /// What its launches read and write is alive until the stream has been awaited.
    pub unsafe fn replay(&self, graph: &Graph) -> Result<(), DeviceError> {
        // SAFETY: the graph is alive.
        done(unsafe { sys::cuGraphLaunch(graph.graph, self.stream) }, "launching a graph")
    }

    /// Marks this moment of the stream's work.
    pub fn mark(&self) -> Result<Event, DeviceError> {
        let mut event = ptr::null_mut();
        // SAFETY: writes one handle.
        done(unsafe { sys::cuEventCreate(&raw mut event, 0) }, "an event")?;
        let event = Event { context: self.context.clone(), event };
        // SAFETY: both are alive.
        done(unsafe { sys::cuEventRecord(event.event, self.stream) }, "an event")?;
        Ok(event)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: made once; the driver finishes what it has. A failure leaves nothing to do.
        unsafe {
            if self.context.bind().is_ok() {
                sys::cuStreamSynchronize(self.stream);
                sys::cuStreamDestroy_v2(self.stream);
            }
        }
    }
}
