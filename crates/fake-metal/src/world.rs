//! What a test sets and asks.

use std::{
    cell::RefCell,
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicIsize, AtomicU64, Ordering::Relaxed},
    },
};

use tessera_tile::{Program, sim::Checks};

/// How the fake behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Decides the order of concurrent dispatches.
    pub seed: u64,
    /// How much the simulator checks.
    pub checks: Checks,
    /// Whether there is a GPU at all.
    pub present: bool,
    /// Apple's family of it: 7 is M1.
    pub family: isize,
    /// Version of macOS.
    pub macos: u32,
    /// Threads of a threadgroup at most.
    pub threads: usize,
    /// Lanes of a simdgroup.
    pub lanes: usize,
    /// Bytes of threadgroup memory at most.
    pub shared: usize,
    /// Bytes of all buffers at most.
    pub memory: usize,
    /// Bytes of one buffer at most.
    pub longest: usize,
    /// A kernel that the compiler refuses.
    pub refused: Option<String>,
    /// A message that does nothing, except to command buffers: a mistake of the device code's that is to be found.
    pub deaf: Option<&'static str>,
    /// Whether command buffers never end.
    pub hangs: bool,
    /// Where the user's caches are.
    pub caches: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 1,
            checks: Checks::All,
            present: true,
            family: 7,
            macos: 15,
            threads: 1024,
            lanes: 32,
            shared: 32 << 10,
            memory: 1 << 30,
            longest: 1 << 30,
            refused: None,
            deaf: None,
            hangs: false,
            caches: PathBuf::from("/Users/nobody/Library/Caches"),
        }
    }
}

/// One Mac. Objects belong to the world that is entered on the thread which makes them, or to their maker's.
#[derive(Debug, Default)]
pub struct World {
    /// How it behaves.
    pub settings: Settings,
    programs: Mutex<Vec<Program>>,
    violations: Mutex<Vec<String>>,
    bounds: Mutex<VecDeque<Vec<usize>>>,
    random: AtomicU64,
    pub(crate) live: AtomicIsize,
    pub(crate) allocated: AtomicIsize,
    pub(crate) texts: AtomicU64,
    pub(crate) machine: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) dispatches: AtomicU64,
    pub(crate) indirect: AtomicU64,
    pub(crate) unmapped: AtomicU64,
    /// Command buffers between their commit and their end.
    pub(crate) running: AtomicIsize,
}

/// An odd number, the golden ratio's digits.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

thread_local! {
    static CURRENT: RefCell<Arc<World>> = RefCell::default();
}

pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    /// Makes a world and enters it on this thread.
    pub fn enter(settings: Settings) -> Arc<Self> {
        let random = AtomicU64::new(settings.seed << 32);
        let world = Arc::new(Self { settings, random, ..Self::default() });
        CURRENT.with(|current| current.replace(Arc::clone(&world)));
        world
    }

    pub(crate) fn current() -> Arc<Self> {
        CURRENT.with(|current| Arc::clone(&current.borrow()))
    }

    /// Tells what kernels mean.
    pub fn know(&self, programs: &[Program]) {
        lock(&self.programs).extend_from_slice(programs);
    }

    pub(crate) fn program(&self, name: &str) -> Option<Program> {
        lock(&self.programs).iter().find(|program| program.name == name).cloned()
    }

    /// Tells how many bytes of each buffer the next dispatch may touch, which Metal itself is never told. Dispatches are
    /// encoded in the order in which they are told of.
    pub fn bound(&self, bytes: Vec<usize>) {
        lock(&self.bounds).push_back(bytes);
    }

    /// Dispatches that were told of and not encoded so far.
    pub fn told(&self) -> usize {
        lock(&self.bounds).len()
    }

    /// Forgets all but the first of them: those that were refused, or had been encoded already.
    pub fn unbound(&self, first: usize) {
        lock(&self.bounds).truncate(first);
    }

    pub(crate) fn take_bounds(&self) -> Option<Vec<usize>> {
        lock(&self.bounds).pop_front()
    }

    pub(crate) fn violation(&self, what: impl Into<String>) {
        lock(&self.violations).push(what.into());
    }

    /// What was done against the rules so far.
    pub fn violations(&self) -> Vec<String> {
        lock(&self.violations).clone()
    }

    /// A number below `n`: Steele, Lea and Flood's SplitMix.
    pub(crate) fn draw(&self, n: usize) -> usize {
        let mut x = self.random.fetch_add(GOLDEN, Relaxed);
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
        ((x >> 32) as usize * n) >> 32
    }

    /// Objects that were made and not released.
    pub fn live(&self) -> isize {
        self.live.load(Relaxed)
    }

    /// Texts compiled.
    pub fn texts(&self) -> u64 {
        self.texts.load(Relaxed)
    }

    /// Kernels compiled to machine code.
    pub fn machine(&self) -> u64 {
        self.machine.load(Relaxed)
    }

    /// Command buffers committed.
    pub fn commits(&self) -> u64 {
        self.commits.load(Relaxed)
    }

    /// Executions of indirect commands, all of a buffer's being one.
    pub fn indirect(&self) -> u64 {
        self.indirect.load(Relaxed)
    }

    /// Pieces of memory that were given back to those who lent them.
    pub fn unmapped(&self) -> u64 {
        self.unmapped.load(Relaxed)
    }

    /// Kernels that ran.
    pub fn dispatches(&self) -> u64 {
        self.dispatches.load(Relaxed)
    }
}
