//! Threads that compute a step together: pinned, spinning briefly between steps, then parked.
//!
//! The caller is thread 0. Inside a step threads meet at a [`Barrier`] that spins, because an operation
//! is a few microseconds long; between steps workers spin for a moment and then sleep, so that an idle
//! model costs nothing.

use std::{
    hint::spin_loop,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::*},
    },
    thread::{self, JoinHandle, Thread, ThreadId},
};

/// Spins before a worker without a job goes to sleep: 100 to 200 microseconds, longer than the engine needs
/// between two steps.
const IDLE_SPINS: usize = 10_000;

/// Spins before a thread that waits within a step gives its core away, when each has a core: the others
/// are microseconds behind.
const STEP_SPINS: usize = 20_000;

/// The same with more threads than cores: whoever is awaited may need this very core.
const CROWDED_SPINS: usize = 50;

/// A panic on one of the pool's threads; the step's results are void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Panicked;

/// What every thread of a step runs, with its index.
type Job<'a> = dyn Fn(usize) + Sync + 'a;

struct Shared {
    /// Increases by one for each job.
    epoch: AtomicUsize,
    /// The current job: a pointer to a `&Job` on the caller's stack, valid until `running` is zero.
    job: AtomicPtr<()>,
    /// Workers that have not finished the current job.
    running: AtomicUsize,
    stop: AtomicBool,
    barrier: Barrier,
}

/// A pool of threads that run one job at a time.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<(Thread, Option<JoinHandle<()>>)>,
    /// Where the caller is to run, and which caller has been sent there. Held while a job runs.
    caller: Mutex<(Option<usize>, Option<ThreadId>)>,
}

impl Pool {
    /// A pool of `threads` threads, the caller included.
    ///
    /// With a thread for every core, each is pinned to its own (the caller when it first runs a
    /// job): left alone, the system may put two spinning threads on one core for many milliseconds.
    /// With fewer threads than cores the system is left to find idle ones.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        let threads = threads.max(1);
        let cores = allowed_cores();
        let room = thread::available_parallelism().map_or(1, usize::from);
        let spins = if threads > room { CROWDED_SPINS } else { STEP_SPINS };
        let shared = Arc::new(Shared {
            epoch: AtomicUsize::new(0),
            job: AtomicPtr::new(std::ptr::null_mut()),
            running: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            barrier: Barrier::new(threads, spins),
        });
        let pinned = threads > 1 && threads == cores.len();
        let mut workers = Vec::with_capacity(threads - 1);
        for index in 1..threads {
            let shared = shared.clone();
            let core = if pinned { cores.get(index).copied() } else { None };
            let handle =
                thread::Builder::new().name(format!("tessera-cpu-{index}")).spawn(move || {
                    if let Some(core) = core {
                        pin(core);
                    }
                    work(&shared, index);
                })?;
            workers.push((handle.thread().clone(), Some(handle)));
        }
        let home = if pinned { cores.first().copied() } else { None };
        Ok(Self { shared, workers, caller: Mutex::new((home, None)) })
    }

    /// Threads, the caller included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// The barrier at which the threads of a running job meet.
    pub fn barrier(&self) -> &Barrier {
        &self.shared.barrier
    }

    /// Runs `job` on every thread and waits for all of them.
    pub fn run(&self, job: &Job<'_>) -> Result<(), Panicked> {
        let mut caller = self.caller.lock().unwrap_or_else(|e| e.into_inner());
        if let (Some(core), last) = &mut *caller
            && *last != Some(thread::current().id())
        {
            *last = Some(thread::current().id());
            pin(*core);
        }
        let shared = &*self.shared;
        shared.barrier.poisoned.store(false, Relaxed);
        if !self.workers.is_empty() {
            shared.job.store((&raw const job).cast_mut().cast(), Relaxed);
            shared.running.store(self.workers.len(), Relaxed);
            shared.epoch.fetch_add(1, Release);
            for (thread, _) in &self.workers {
                thread.unpark();
            }
        }
        shared.guarded(|| job(0));
        // the job lives on this stack: nobody leaves before all have finished with it
        let mut spins = 0;
        while shared.running.load(Acquire) != 0 {
            shared.barrier.pause(&mut spins);
        }
        if shared.barrier.poisoned.load(Relaxed) {
            shared.barrier.reset();
            return Err(Panicked);
        }
        Ok(())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Release);
        for (thread, handle) in &mut self.workers {
            thread.unpark();
            if let Some(handle) = handle.take() {
                // a worker catches its panics, so it ends well
                let _ = handle.join();
            }
        }
    }
}

impl Shared {
    /// Runs `f`; a panic poisons the barrier, so that nobody waits for this thread.
    fn guarded(&self, f: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(f)).is_err() {
            self.barrier.poisoned.store(true, Release);
        }
    }
}

/// A worker's life: wait for an epoch, run its job.
fn work(shared: &Shared, index: usize) {
    let mut seen = 0;
    loop {
        let mut spins = 0;
        while shared.epoch.load(Acquire) == seen {
            if shared.stop.load(Acquire) {
                return;
            }
            spins += 1;
            if spins < IDLE_SPINS {
                spin_loop();
            } else {
                // an unpark between the check and here is remembered, so this returns at once
                thread::park();
            }
        }
        seen += 1;
        // SAFETY: `run` stored a pointer to its `&Job` before the epoch that was just acquired, and keeps
        // it alive until `running` is zero, which waits for the decrement below.
        let job: &Job<'_> = unsafe { *shared.job.load(Relaxed).cast::<&Job<'_>>() };
        shared.guarded(|| job(index));
        shared.running.fetch_sub(1, Release);
    }
}

/// A spinning barrier for a fixed number of threads.
pub(crate) struct Barrier {
    threads: usize,
    /// Spins before a waiting thread gives its core away.
    spins: usize,
    arrived: AtomicUsize,
    generation: AtomicUsize,
    poisoned: AtomicBool,
}

impl Barrier {
    fn new(threads: usize, spins: usize) -> Self {
        Self {
            threads,
            spins,
            arrived: AtomicUsize::new(0),
            generation: AtomicUsize::new(0),
            poisoned: AtomicBool::new(false),
        }
    }

    /// Waits until every thread is here. What any of them wrote before is visible to all after.
    ///
    /// # Panics
    /// When another thread of the job has panicked.
    pub fn wait(&self) {
        if self.threads == 1 {
            return;
        }
        let generation = self.generation.load(Relaxed);
        if self.arrived.fetch_add(1, AcqRel) + 1 == self.threads {
            self.arrived.store(0, Relaxed);
            self.generation.store(generation.wrapping_add(1), Release);
            return;
        }
        let mut spins = 0;
        while self.generation.load(Acquire) == generation {
            assert!(!self.poisoned.load(Acquire), "another thread of the step has panicked");
            self.pause(&mut spins);
        }
    }

    /// Spins; after a while gives the core away, for machines with fewer free cores than threads.
    fn pause(&self, spins: &mut usize) {
        *spins += 1;
        if *spins < self.spins {
            spin_loop();
        } else {
            thread::yield_now();
        }
    }

    /// Makes a poisoned barrier usable again; no thread may be waiting.
    fn reset(&self) {
        self.arrived.store(0, Relaxed);
    }
}

/// Cores this process may run on.
fn allowed_cores() -> Vec<usize> {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: an all-zero cpu_set_t is a valid empty set, and the call fills it.
        let set = unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) != 0 {
                return Vec::new();
            }
            set
        };
        // SAFETY: every index is below CPU_SETSIZE.
        (0..libc::CPU_SETSIZE as usize).filter(|&i| unsafe { libc::CPU_ISSET(i, &set) }).collect()
    }
    #[cfg(not(target_os = "linux"))]
    Vec::new()
}

/// Binds this thread to a core; failing is harmless.
fn pin(core: usize) {
    #[cfg(target_os = "linux")]
    // SAFETY: the set is initialised, and `core` came from such a set.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = core;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_runs_every_job_once() {
        let pool = Pool::new(3).unwrap();
        let count = AtomicUsize::new(0);
        for _ in 0..1000 {
            pool.run(&|_| {
                count.fetch_add(1, Relaxed);
                pool.barrier().wait();
                assert_eq!(count.load(Relaxed) % 3, 0);
                pool.barrier().wait();
            })
            .unwrap();
        }
        assert_eq!(count.load(Relaxed), 3000);
    }

    #[test]
    fn a_panic_ends_the_step_for_all_and_the_pool_goes_on() {
        let pool = Pool::new(3).unwrap();
        for bad in 0..3 {
            let result = pool.run(&|thread| {
                assert_ne!(thread, bad, "on purpose");
                pool.barrier().wait();
            });
            assert_eq!(result, Err(Panicked));
            assert_eq!(pool.run(&|_| pool.barrier().wait()), Ok(()));
        }
    }
}
