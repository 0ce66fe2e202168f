//! What the machine could do at best: the lines that speeds are held against.

use std::time::Instant;

use tessera_graph::BackendError;

use crate::{
    Cpu,
    isa::{Isa, Kernel},
    pool::Pool,
    region::Region,
};

/// Speeds that a step of this backend cannot pass, with its threads and instruction set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MachineLimits {
    /// Bytes a second that all threads together read, from a buffer of the size asked for.
    pub read: f64,
    /// Operations a second of integer dot products (a multiplication and an addition are two), from
    /// registers.
    pub int8: f64,
}

/// Runs of each measurement; the best counts, since others' work can only slow it.
const RUNS: usize = 5;
/// Dot products of a run and accumulator.
const DOTS: usize = 200_000;
/// Accumulators: more than latency times throughput.
const CHAINS: usize = 12;

impl Cpu {
    /// Measures this machine's limits with a buffer of `bytes` bytes (that of the weights, say).
    ///
    /// # Errors
    /// When the buffer or the threads cannot be had.
    pub fn measure(&self, bytes: usize) -> Result<MachineLimits, BackendError> {
        let threads = Pool::new(self.threads)
            .map_err(|_| BackendError::Memory { bytes: 0, what: "threads of the pool" })?;
        let lines = bytes.div_ceil(64 * self.threads).max(1);
        let region = Region::new(lines * 64 * self.threads, "measuring")?;
        let share = |thread: usize| region.at(thread * lines * 64);
        let run = |job: &(dyn Fn(usize) + Sync)| {
            let start = Instant::now();
            // nothing in these jobs panics
            let _ = threads.run(job);
            start.elapsed().as_secs_f64().max(1e-9)
        };
        // SAFETY: every thread touches its own share, which is `lines` lines long.
        run(&|thread| unsafe { share(thread).write_bytes(1, lines * 64) });
        let best = |job: &(dyn Fn(usize) + Sync)| {
            (0..RUNS).map(|_| run(job)).fold(f64::INFINITY, f64::min)
        };
        // SAFETY: as above; the level was checked when the backend was made.
        let read = best(&|thread| unsafe {
            std::hint::black_box(self.level.run(Read { p: share(thread), lines }));
        });
        // SAFETY: the level was checked.
        let dots = best(&|_| unsafe {
            std::hint::black_box(self.level.run(Dots(std::hint::black_box(DOTS))));
        });
        let operations = (self.threads * DOTS * CHAINS * 16 * 4 * 2) as f64;
        Ok(MachineLimits {
            read: (lines * 64 * self.threads) as f64 / read,
            int8: operations / dots,
        })
    }
}

/// Reads lines of 64 bytes.
struct Read {
    p: *const u8,
    lines: usize,
}

impl Kernel for Read {
    type Output = f32;

    #[inline(always)]
    unsafe fn run<S: Isa>(self) -> f32 {
        // SAFETY: the lines are there; the machine has `S`.
        unsafe {
            let mut sums = [S::splat_byte(0); 4];
            for line in 0..self.lines {
                let x = S::load_bytes(self.p.add(line * 64));
                sums[line % 4] = S::or(sums[line % 4], x);
            }
            let all = S::or(S::or(sums[0], sums[1]), S::or(sums[2], sums[3]));
            S::sum(S::byte::<0>(all))
        }
    }
}

/// Independent chains of integer dot products.
struct Dots(usize);

impl Kernel for Dots {
    type Output = i32;

    #[inline(always)]
    unsafe fn run<S: Isa>(self) -> i32 {
        // SAFETY: the machine has `S`.
        unsafe {
            let codes = S::splat_byte(3);
            let mut sums = [S::splat_i(0); CHAINS];
            for i in 0..self.0 {
                for sum in &mut sums {
                    *sum = S::dot::<false>(*sum, codes, i as i32 & 0x7f7f_7f7f);
                }
            }
            sums.into_iter().fold(0, |all, sum| all.wrapping_add(S::sum_i(sum)))
        }
    }
}
