//! Compiled kernels in this process. All that is unsafe is here.

use std::{
    cell::Cell,
    ffi::{CStr, c_char, c_int, c_void},
    mem,
    path::Path,
    ptr,
    sync::OnceLock,
    time::Duration,
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

    /// Runs a kernel of the table. There are as many addresses of buffers and words of arguments as it takes, and memory
    /// around each buffer that may be written to. On a failure, what the runtime reports.
    ///
    /// A kernel may be wrong and write anywhere: that is what these tests look for. An index a little outside falls into
    /// the margins, one far away mostly where no memory is, which ends the launch only. What hits the memory of others is
    /// beyond help; the address sanitizer sees it.
    pub fn launch(
        &mut self,
        kernel: u32,
        grid: [u32; 3],
        backward: bool,
        limit: Duration,
        arguments: &[u32],
        buffers: &[*mut c_void],
    ) -> Result<(), (Ending, String)> {
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
        watch_signals();
        ESCAPE.set(Some(self.escape));
        let timer = Timer::start(limit);
        // SAFETY: the launch and all it points to outlive the call, and nobody else uses the library's memory meanwhile.
        let ending = unsafe { (self.launch)(&raw const launch) };
        drop(timer);
        ESCAPE.set(None);
        let ending = match ending {
            0 => return Ok(()),
            2 => Ending::NobodysMemory,
            3 => Ending::Division,
            4 => Ending::TooLong,
            _ => Ending::Divergent,
        };
        let text = CStr::from_bytes_until_nul(&report).unwrap_or_default();
        Err((ending, text.to_string_lossy().into_owned()))
    }
}

thread_local! {
    /// How this thread leaves the kernel that it runs.
    static ESCAPE: Cell<Option<EscapeFunction>> = const { Cell::new(None) };
}

/// Sent when a launch takes too long; nothing else here uses it.
const TIME: c_int = libc::SIGVTALRM;

/// Signals that end a launch.
const SIGNALS: [(c_int, Ending); 4] = [
    (libc::SIGSEGV, Ending::NobodysMemory),
    (libc::SIGBUS, Ending::NobodysMemory),
    (libc::SIGFPE, Ending::Division),
    (TIME, Ending::TooLong),
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
