//! What a launch would cost on a GPU, from what the simulator counted. It is made to compare geometries of one kernel, where
//! there is no GPU; it is not a prediction for a device that one could buy.
//!
//! ```text
//! time     = launch + max(work, chain) + waves * barriers * barrier
//! work     = max(bytes / bandwidth, operations / rate, shared / rate, tiles / rate) / (filled * even)
//! chain    = waves * operations of a thread * latency
//! waves    = ceil(groups / (processors * groups that a processor holds))
//! filled   = threads at once / threads that hide latency, at most 1
//! even     = groups / (waves * groups at once): the last wave may be nearly empty
//! ```
//!
//! A processor holds as many threadgroups as its threads, its shared memory and its tables allow. Every byte that a kernel
//! loads counts once for each time it is loaded: caches are not modelled, so that kernels which read an operand again and
//! again look worse than they are. Registers are not known.

use tessera_tile::{Program, sim::Counts};

/// Tables of choices made by another model are not used.
pub const VERSION: u32 = 1;

/// A GPU, as far as the model goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Device {
    /// Processors.
    pub processors: f64,
    /// Threads that a processor holds.
    pub threads: f64,
    /// Threads of a processor that hide latency, so that it works at its full rate.
    pub hiding: f64,
    /// Threadgroups that a processor holds.
    pub groups: f64,
    /// Bytes of shared memory of a processor.
    pub shared_bytes: f64,
    /// Bytes from and to memory a second.
    pub bandwidth: f64,
    /// Scalar operations a second.
    pub operations: f64,
    /// Elements from and to shared memory a second.
    pub shared: f64,
    /// Multiplications of 16 x 16 tiles a second.
    pub tiles: f64,
    /// Seconds of a launch.
    pub launch: f64,
    /// Seconds of a barrier of a threadgroup.
    pub barrier: f64,
    /// Seconds from an operation to the next that waits for it, less what runs beside it.
    pub latency: f64,
}

/// A GPU of a workstation: 48 processors, 500 GB/s, 15 Tflop/s.
pub const TYPICAL: Device = Device {
    processors: 48.0,
    threads: 1536.0,
    hiding: 512.0,
    groups: 16.0,
    shared_bytes: 98_304.0,
    bandwidth: 5e11,
    operations: 7.5e12,
    shared: 2.5e12,
    tiles: 4e9,
    launch: 2e-6,
    barrier: 3e-8,
    latency: 1e-9,
};

impl Device {
    /// Seconds of a launch that did so much.
    pub fn seconds(&self, program: &Program, counts: &Counts) -> f64 {
        let (groups, threads) = (counts.groups as f64, f64::from(program.threads));
        if groups == 0.0 {
            return 0.0;
        }
        let by_memory = self.shared_bytes / (program.shared_bytes() as f64).max(1.0);
        let held = self.groups.min(self.threads / threads).min(by_memory).floor().max(1.0);
        let at_once = self.processors * held;
        let waves = (groups / at_once).ceil();
        let busy = groups.min(at_once) * threads / (self.processors * self.hiding);
        // what is less than a wave is not uneven, it only fills less
        let even = if waves > 1.0 { groups / (waves * at_once) } else { 1.0 };
        let rates = [
            (counts.loaded + counts.stored) as f64 / self.bandwidth,
            counts.operations as f64 / self.operations,
            counts.shared as f64 / self.shared,
            counts.tiles as f64 / self.tiles,
        ];
        let work = rates.into_iter().fold(0.0, f64::max) / (busy.min(1.0) * even);
        let chain = waves * counts.operations as f64 / (groups * threads) * self.latency;
        let barriers = waves * counts.barriers as f64 / groups * self.barrier;
        self.launch + work.max(chain) + barriers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tessera_kernels::select::SelectRows;
    use tessera_tile::Record;

    fn counts(groups: u64) -> Counts {
        let one = Counts {
            groups: 1,
            operations: 4096,
            loaded: 65_536,
            stored: 1024,
            ..Counts::default()
        };
        let mut all = Counts::default();
        (0..groups).for_each(|_| all += one);
        all
    }

    #[test]
    fn more_work_takes_longer_and_never_less_than_memory_allows() {
        let program = SelectRows.record().unwrap();
        let mut before = 0.0;
        for groups in [1, 8, 64, 512, 4096, 32_768] {
            let counts = counts(groups);
            let seconds = TYPICAL.seconds(&program, &counts);
            let least = (counts.loaded + counts.stored) as f64 / TYPICAL.bandwidth;
            // until the device is full, threadgroups take no time from each other
            assert!(seconds > 0.999 * before && seconds > least, "{groups}: {seconds}");
            before = seconds;
        }
        // a large launch is bound by memory
        let many = counts(1 << 20);
        let bound = (many.loaded + many.stored) as f64 / TYPICAL.bandwidth;
        assert!(TYPICAL.seconds(&program, &many) < 1.05 * bound);
        assert_eq!(TYPICAL.seconds(&program, &Counts::default()), 0.0);
    }

    #[test]
    fn few_groups_do_not_fill_the_device() {
        let program = SelectRows.record().unwrap();
        let all = counts(1024);
        let few = Counts { groups: 8, ..all };
        assert!(TYPICAL.seconds(&program, &few) > 4.0 * TYPICAL.seconds(&program, &all));
    }

    #[test]
    fn shared_memory_limits_what_runs_at_once() {
        let program = SelectRows.record().unwrap();
        let mut hungry = program.clone();
        let elem = tessera_tile::ir::Elem::F32;
        hungry.shared.push(tessera_tile::ir::Shared { name: "x", elem, len: 24_000 });
        let all = counts(4096);
        assert!(TYPICAL.seconds(&hungry, &all) > TYPICAL.seconds(&program, &all));
    }
}
