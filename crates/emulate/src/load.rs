//! Compiled kernels in this process. All that is unsafe is here.

use std::{
    cell::Cell,
    ffi::{CStr, c_char, c_int, c_void},
    io, mem,
    path::Path,
    ptr, slice,
    sync::OnceLock,
    time::Duration,
};

use crate::{error::Error, library::Request};

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
type EscapeFunction = unsafe extern "C" fn(c_int, *const c_void);

/// How a launch ended badly, as `emu::Ending` in kernel.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Ending {
    /// Threads did not meet.
    Divergent = 1,
    /// An access to memory that does not exist.
    NobodysMemory = 2,
    /// A division by zero.
    Division = 3,
    /// The time was up.
    TooLong = 4,
    /// An index outside of a shared array.
    OutsideArray = 5,
}

/// Kernels that can be launched. Their memory is one for all launches, hence `&mut`.
pub(crate) struct Loaded {
    launch: LaunchFunction,
    escape: EscapeFunction,
    /// Keeps the code where it is.
    _library: libloading::Library,
}

impl Loaded {
    /// Loads what the compiler made.
    pub fn new(path: &Path) -> Result<Self, Error> {
        // SAFETY: the library was compiled from sources of this crate a moment ago, in a folder of this process; it has no
        // initialisers, and its finaliser gives back its own memory.
        let library = unsafe { libloading::Library::new(path) }?;
        // SAFETY: kernel.h declares the function with this signature.
        let launch: LaunchFunction = *unsafe { library.get(b"emu_launch\0") }?;
        // SAFETY: as above.
        let escape: EscapeFunction = *unsafe { library.get(b"emu_escape\0") }?;
        Ok(Self { launch, escape, _library: library })
    }

    /// Runs a kernel of the table. There are as many buffers and words of arguments as it takes. On a failure, what the
    /// runtime reports.
    ///
    /// A kernel may be wrong: that is what these tests look for. No index of 32 bits reaches from a buffer to what is not
    /// its own (see [`Guarded`]), and indices of shared arrays are checked. A matrix tile half outside of its array
    /// is not; the address sanitizer sees it.
    pub fn launch(
        &mut self,
        request: &Request<'_>,
        buffers: &[Guarded],
    ) -> Result<(), (Ending, String)> {
        let buffers: Vec<_> = buffers.iter().map(Guarded::address).collect();
        let mut report = [0u8; 1024];
        let launch = RawLaunch {
            kernel: request.kernel,
            grid: request.grid,
            backward: request.backward.into(),
            arguments: request.words.as_ptr().cast(),
            buffers: buffers.as_ptr(),
            report: report.as_mut_ptr().cast(),
            report_bytes: report.len() as u64,
        };
        watch_signals();
        ESCAPE.set(Some(self.escape));
        let timer = Timer::start(request.limit);
        // SAFETY: the launch and all it points to outlive the call, and nobody else uses the library's memory meanwhile.
        let ending = unsafe { (self.launch)(&raw const launch) };
        drop(timer);
        ESCAPE.set(None);
        let ending = match ending {
            0 => return Ok(()),
            2 => Ending::NobodysMemory,
            3 => Ending::Division,
            4 => Ending::TooLong,
            5 => Ending::OutsideArray,
            _ => Ending::Divergent,
        };
        let text = CStr::from_bytes_until_nul(&report).unwrap_or_default();
        Err((ending, text.to_string_lossy().into_owned()))
    }
}

/// A copy of a buffer's bytes, with nothing behind as far as an index of 32 bits reaches.
pub(crate) struct Guarded {
    mapping: *mut u8,
    /// Bytes that exist: whole pages.
    pages: usize,
    /// Bytes of the buffer.
    bytes: usize,
}

/// As far as an index of 32 bits reaches: elements have four bytes at most.
const REACH: usize = 16 << 30;

/// Bytes of a page, or a multiple.
const PAGE: usize = 64 << 10;

/// What the bytes around a buffer hold: no number, if read as floats.
const MARGIN: u8 = 0xff;

impl Guarded {
    /// Copies a buffer so that it ends where its pages end, up to the 15 bytes that keep its beginning at a multiple of 16.
    pub fn new(data: &[u8]) -> io::Result<Self> {
        let pages = data.len().next_multiple_of(PAGE);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping somewhere, of nothing.
        let mapping =
            unsafe { libc::mmap(ptr::null_mut(), pages + REACH, libc::PROT_NONE, flags, -1, 0) };
        if mapping == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let mut made = Self { mapping: mapping.cast(), pages, bytes: data.len() };
        // SAFETY: the pages lie within the mapping.
        if unsafe { libc::mprotect(mapping, pages, libc::PROT_READ | libc::PROT_WRITE) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let from = made.from();
        let whole = made.whole_mut();
        whole.fill(MARGIN);
        whole[from..from + data.len()].copy_from_slice(data);
        Ok(made)
    }

    fn from(&self) -> usize {
        self.pages - self.bytes.next_multiple_of(16)
    }

    fn address(&self) -> *mut c_void {
        self.mapping.wrapping_add(self.from()).cast()
    }

    fn whole(&self) -> &[u8] {
        // SAFETY: the pages exist as long as `self`, and were filled.
        unsafe { slice::from_raw_parts(self.mapping, self.pages) }
    }

    fn whole_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; fresh pages hold zeros, and nobody else refers to them.
        unsafe { slice::from_raw_parts_mut(self.mapping, self.pages) }
    }

    /// The buffer.
    pub fn bytes(&self) -> &[u8] {
        &self.whole()[self.from()..][..self.bytes]
    }

    /// Where, from the buffer's beginning, something was written beside it.
    pub fn written_outside(&self) -> Option<i64> {
        let (from, whole) = (self.from(), self.whole());
        let mut beside = (0..from).chain(from + self.bytes..self.pages);
        beside.find(|&at| whole[at] != MARGIN).map(|at| at as i64 - from as i64)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping is `self`'s.
        unsafe { libc::munmap(self.mapping.cast(), self.pages + REACH) };
    }
}

thread_local! {
    /// How this thread leaves the kernel that it runs.
    static ESCAPE: Cell<Option<EscapeFunction>> = const { Cell::new(None) };
}

/// Sent when a launch takes too long; nothing else here uses it.
const TIME: c_int = libc::SIGVTALRM;

/// Signals that end a launch.
const SIGNALS: [(c_int, Ending); 5] = [
    (libc::SIGSEGV, Ending::NobodysMemory),
    (libc::SIGBUS, Ending::NobodysMemory),
    (libc::SIGFPE, Ending::Division),
    (TIME, Ending::TooLong),
    // What the compiler puts where an index of an array is wrong.
    (libc::SIGILL, Ending::OutsideArray),
];

/// What was done on these signals before.
static BEFORE: OnceLock<[libc::sigaction; SIGNALS.len()]> = OnceLock::new();

/// From now on, a thread that has an escape takes it on these signals.
fn watch_signals() {
    BEFORE.get_or_init(|| {
        SIGNALS.map(|(signal, _)| {
            // SAFETY: zeros are a valid value of this plain C struct.
            let (mut action, mut before): (libc::sigaction, libc::sigaction) =
                unsafe { (mem::zeroed(), mem::zeroed()) };
            let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = on_signal;
            action.sa_sigaction = handler as usize;
            // On the thread's own stack for signals, as a fiber's may be full; and again within a handler, as one that
            // escapes never returns.
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
            // SAFETY: both structs are valid; the handler does nothing but what is safe in one.
            unsafe { libc::sigaction(signal, &raw const action, &raw mut before) };
            before
        })
    });
}

extern "C" fn on_signal(signal: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    let Some(which) = SIGNALS.iter().position(|&(known, _)| known == signal) else { return };
    if let Some(escape) = ESCAPE.get() {
        // SAFETY: this thread is in a launch of the library that the function comes from. It switches to the stack that
        // waits for the launch and never comes back; nothing on this stack needs to be dropped.
        unsafe { escape(SIGNALS[which].1 as c_int, instruction(context)) };
    }
    if signal != TIME
        && let Some(before) = BEFORE.get()
    {
        // Not a kernel's: what would have been done without us, as the instruction is tried again.
        // SAFETY: the struct is what the system gave.
        unsafe { libc::sigaction(signal, &raw const before[which], ptr::null_mut()) };
    }
}

/// The instruction that was interrupted, or null.
fn instruction(context: *mut c_void) -> *const c_void {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    {
        // SAFETY: the system passes a context of this type to a handler with SA_SIGINFO.
        let context = unsafe { &*context.cast::<libc::ucontext_t>() };
        context.uc_mcontext.gregs[libc::REG_RIP as usize] as *const c_void
    }
    #[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
    {
        _ = context;
        ptr::null()
    }
}

/// Sends the thread a signal when the time is up, until dropped.
struct Timer {
    #[cfg(target_os = "linux")]
    id: Option<libc::timer_t>,
}

#[cfg(target_os = "linux")]
impl Timer {
    fn start(limit: Duration) -> Self {
        // SAFETY: zeros are a valid value of this plain C struct.
        let mut event: libc::sigevent = unsafe { mem::zeroed() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = TIME;
        // SAFETY: it has no preconditions.
        event.sigev_notify_thread_id = unsafe { libc::gettid() };
        let mut id: libc::timer_t = ptr::null_mut();
        // SAFETY: both pointers are valid, and the thread is this one.
        if unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut id) } != 0 {
            return Self { id: None };
        }
        let once = libc::timespec {
            tv_sec: limit.as_secs() as libc::time_t,
            tv_nsec: libc::c_long::from(limit.subsec_nanos() as i32),
        };
        let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let when = libc::itimerspec { it_interval: never, it_value: once };
        // SAFETY: the timer was made above, and the pointer is valid.
        unsafe { libc::timer_settime(id, 0, &raw const when, ptr::null_mut()) };
        Self { id: Some(id) }
    }
}

#[cfg(target_os = "linux")]
impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            // SAFETY: the timer was made by `start`, and is deleted once.
            unsafe { libc::timer_delete(id) };
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl Timer {
    fn start(_: Duration) -> Self {
        Self {}
    }
}
