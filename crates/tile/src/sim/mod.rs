//! A simulated GPU: a program is executed in lockstep, threadgroup by threadgroup, every lane at once.
//!
//! What no GPU tells is an error here, with kernel, line, threadgroup and thread: an access out of bounds or unaligned,
//! division by zero, lanes missing from an operation of their simdgroup; and, with [`Checks::All`], reading what nobody wrote
//! and races: two threads at one element, one of them writing, with no barrier between. Checks of the second kind
//! take memory and time, and run one threadgroup after the other.

mod columns;
mod exec;
mod fault;
mod lanes;
mod memory;
mod shadow;
pub mod trace;

use rayon::prelude::*;

pub use fault::{Fault, What};
pub use memory::{Binding, Memory};

use crate::{
    check::uniformity,
    ir::{Access, Program},
};
use columns::Slot;

/// How much is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checks {
    /// Bounds, alignment, arithmetic, and who takes part in what.
    #[default]
    Access,
    /// Undefined values and races too.
    All,
}

/// What a launch did, for predictions of its time on a device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Threadgroups.
    pub groups: u64,
    /// Scalar operations, one for each active thread.
    pub operations: u64,
    /// Bytes loaded from buffers.
    pub loaded: u64,
    /// Bytes stored to buffers.
    pub stored: u64,
    /// Elements loaded from or stored to shared memory.
    pub shared: u64,
    /// Barriers of threadgroups.
    pub barriers: u64,
    /// Multiplications of tiles.
    pub tiles: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.groups += other.groups;
        self.operations += other.operations;
        self.loaded += other.loaded;
        self.stored += other.stored;
        self.shared += other.shared;
        self.barriers += other.barriers;
        self.tiles += other.tiles;
    }
}

/// A program ready to run.
#[derive(Debug, Clone)]
pub struct Kernel {
    program: Program,
    slots: Vec<Slot>,
    columns: usize,
}

/// Largest grid along one axis, as on any device.
const MAX_GRID: u32 = 65_535;

impl Kernel {
    /// Prepares a program.
    pub fn new(program: Program) -> Self {
        let levels = uniformity(&program);
        let (slots, columns) = columns::assign(&program, &levels);
        Self { program, slots, columns }
    }

    /// The program.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Runs `grid` threadgroups. `args` are the words of the argument struct.
    pub fn launch(
        &self,
        grid: [u32; 3],
        args: &[u32],
        buffers: &[Binding<'_>],
        checks: Checks,
    ) -> Result<Counts, Fault> {
        let refuse = |what: String| {
            let kernel = self.program.name.clone();
            Err(Fault {
                kernel,
                line: String::new(),
                group: [0; 3],
                thread: 0,
                what: What::Launch(what),
            })
        };
        if buffers.len() != self.program.buffers.len() || args.len() != self.program.fields.len() {
            return refuse(format!(
                "{} buffers and {} arguments; it has {} and {}",
                buffers.len(),
                args.len(),
                self.program.buffers.len(),
                self.program.fields.len()
            ));
        }
        for (binding, buffer) in buffers.iter().zip(&self.program.buffers) {
            if !binding.fits() {
                return refuse(format!(
                    "{}: a binding outside its memory, or unaligned",
                    buffer.name
                ));
            }
            if binding.memory.is_lent() && buffer.access != Access::Read {
                return refuse(format!("{}: it is written, and its memory is lent", buffer.name));
            }
        }
        if grid[0].max(grid[1]).max(grid[2]) > MAX_GRID && grid[0] > i32::MAX as u32
            || grid[1].max(grid[2]) > MAX_GRID
        {
            return refuse(format!("a grid of {grid:?}"));
        }
        let groups = grid.iter().map(|&n| u64::from(n)).product::<u64>();
        let place = |i: u64| {
            let (x, y) = (u64::from(grid[0]), u64::from(grid[1]));
            [(i % x) as u32, (i / x % y) as u32, (i / (x * y)) as u32]
        };
        match checks {
            Checks::All => {
                let mut run = exec::Run::new(self, args, buffers, Some(shadow::Shadow::default()));
                (0..groups).try_for_each(|i| run.group(place(i)))?;
                Ok(run.counts)
            }
            Checks::Access => {
                let total = std::sync::Mutex::new(Counts::default());
                (0..groups).into_par_iter().try_for_each_init(
                    || exec::Run::new(self, args, buffers, None).counted(&total),
                    |run, i| run.group(place(i)),
                )?;
                Ok(total.into_inner().unwrap_or_default())
            }
        }
    }
}
