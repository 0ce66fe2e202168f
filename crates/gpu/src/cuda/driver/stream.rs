//! Work in order: copies, launches, graphs of launches.

use std::{ffi::c_void, ptr, sync::Arc};

use cudarc::driver::sys::{self, CUresult};

use super::{Context, Function, Memory, Pinned, absent, done};
use crate::device::DeviceError;

/// Buffers and argument struct of a kernel, at most.
pub const MOST_PARAMETERS: usize = 32;

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

// SAFETY: the driver's handles may be used from any thread.
unsafe impl Send for Event {}

impl Event {
    /// Waits for it.
    pub fn wait(&self) -> Result<(), DeviceError> {
        // SAFETY: the event is alive.
        done(unsafe { sys::cuEventSynchronize(self.event) }, "copying to the device")
    }

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
