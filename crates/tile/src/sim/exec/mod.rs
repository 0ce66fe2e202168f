//! One threadgroup: its registers, its shared memory, and its way through the program.

mod access;
mod collective;
mod flow;
mod staged;
mod tiles;
mod values;

use std::sync::Mutex;

use super::{Binding, Counts, Fault, Kernel, What, shadow::Shadow};
use crate::{
    ir::{Block, Kind, LANES, Line, Stmt, TILE},
    record::At,
};
use staged::Flight;

/// Elements of a tile.
const TILE_LEN: usize = (TILE * TILE) as usize;
const SIMD: usize = LANES as usize;

/// Which threads are here.
struct Mask {
    on: Vec<bool>,
    active: usize,
}

impl Mask {
    fn is_full(&self) -> bool {
        self.active == self.on.len()
    }

    fn threads(&self) -> impl Iterator<Item = usize> {
        self.on.iter().enumerate().filter(|(_, on)| **on).map(|(thread, _)| thread)
    }
}

/// A worker that runs threadgroups of a launch.
pub(super) struct Run<'a> {
    kernel: &'a Kernel,
    args: &'a [u32],
    buffers: &'a [Binding<'a>],
    width: usize,
    columns: Vec<Vec<u32>>,
    scalars: Vec<u32>,
    /// Bits of elements as they are stored, one a word.
    shared: Vec<Vec<u32>>,
    /// `[tile, simdgroup, TILE_LEN]`.
    tiles: Vec<f32>,
    shadow: Option<Shadow>,
    flight: Flight,
    group: [u32; 3],
    number: u32,
    /// Barriers so far: of shared memory, of all memory, of each simdgroup.
    intervals: [u32; 2],
    turns: Vec<u32>,
    spare: Vec<Vec<bool>>,
    pub counts: Counts,
    total: Option<&'a Mutex<Counts>>,
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        if let Some(total) = self.total
            && let Ok(mut total) = total.lock()
        {
            *total += self.counts;
        }
    }
}

impl<'a> Run<'a> {
    pub fn new(
        kernel: &'a Kernel,
        args: &'a [u32],
        buffers: &'a [Binding<'a>],
        shadow: Option<Shadow>,
    ) -> Self {
        let program = &kernel.program;
        let width = program.threads as usize;
        let simdgroups = width / SIMD;
        Self {
            kernel,
            args,
            buffers,
            width,
            columns: vec![vec![0; width]; kernel.columns],
            scalars: vec![0; program.regs.len()],
            shared: program.shared.iter().map(|s| vec![0; s.len as usize]).collect(),
            tiles: vec![0.0; program.tiles.len() * simdgroups * TILE_LEN],
            shadow,
            flight: Flight::default(),
            group: [0; 3],
            number: 0,
            intervals: [0; 2],
            turns: vec![0; simdgroups],
            spare: Vec::new(),
            counts: Counts::default(),
            total: None,
        }
    }

    /// Adds what it counts to `total` in the end.
    pub fn counted(self, total: &'a Mutex<Counts>) -> Self {
        let mut run = self;
        run.total = Some(total);
        run
    }

    /// Runs one threadgroup.
    pub fn group(&mut self, group: [u32; 3]) -> Result<(), Fault> {
        self.group = group;
        self.number = self.number.wrapping_add(1);
        self.counts.groups += 1;
        if let Some(shadow) = &mut self.shadow {
            shadow.next_group();
        }
        let kernel = self.kernel;
        let mask = Mask { on: vec![true; self.width], active: self.width };
        self.block(&kernel.program.body, &mask)?;
        self.landed()
    }

    fn block(&mut self, block: &'a Block, mask: &Mask) -> Result<(), Fault> {
        block.iter().try_for_each(|stmt| self.stmt(stmt, mask))
    }

    fn fault(&self, at: At, thread: usize, what: What) -> Fault {
        Fault {
            kernel: self.kernel.program.name.clone(),
            line: Line(at).to_string(),
            group: self.group,
            thread: thread as u32,
            what,
        }
    }

    fn stmt(&mut self, stmt: &'a Stmt, mask: &Mask) -> Result<(), Fault> {
        let at = stmt.at;
        match &stmt.kind {
            Kind::Let(to, expr) => {
                self.counts.operations += mask.active as u64;
                self.invalid(at, expr, mask)?;
                self.make(*to, |run, out| run.expr(expr, out));
            }
            Kind::Assign(to, from) => self.assign(*to, *from, mask),
            Kind::Load { to, memory, index } => self.load(at, to, *memory, *index, mask)?,
            Kind::Store { from, memory, index } => self.store(at, from, *memory, *index, mask)?,
            Kind::Stage { to, at: first, from, index, count, inside } => {
                let (to, from) =
                    (self.place(*to, *count as usize), self.place(*from, *count as usize));
                self.stage(at, [(&to, *first), (&from, *index)], *inside, mask)?;
            }
            Kind::Commit => self.flight.commit(),
            Kind::Wait(left) => self.wait(at, *left)?,
            Kind::Atomic { op, old, memory, index, value } => {
                self.atomic(at, *op, *old, *memory, *index, *value, mask)?;
            }
            Kind::If { condition, then, otherwise } => {
                // both before either block, which may use the condition's column again
                let masks = [self.mask(mask, *condition, true), self.mask(mask, *condition, false)];
                for (block, inner) in [then, otherwise].into_iter().zip(masks) {
                    if inner.active > 0 && !block.is_empty() {
                        self.block(block, &inner)?;
                    }
                    self.spare.push(inner.on);
                }
            }
            Kind::For { counter, from, to, step, body } => {
                self.each(at, *counter, [*from, *to, *step], body, mask)?;
            }
            Kind::Barrier(scope) => self.barrier(at, *scope, mask)?,
            Kind::Collective { op, to, value, lane } => {
                self.collective(at, *op, *to, *value, *lane, mask)?;
            }
            Kind::TileFill { tile, value } => {
                self.simdgroups(at, mask, |run, simd| {
                    run.tile(*tile, simd).fill(*value);
                    Ok(())
                })?;
            }
            Kind::TileLoad { tile, memory, index, stride, transposed } => {
                let turn = if *transposed { (1, *stride) } else { (*stride, 1) };
                self.simdgroups(at, mask, |run, simd| {
                    run.tile_load(*tile, simd, *memory, *index, turn)
                })?;
            }
            Kind::TileMultiply { sum, left, right } => {
                self.simdgroups(at, mask, |run, simd| {
                    run.tile_multiply(*sum, *left, *right, simd);
                    Ok(())
                })?;
            }
            Kind::TileStore { tile, memory, index, stride } => {
                self.simdgroups(at, mask, |run, simd| {
                    run.tile_store(*tile, simd, *memory, *index, *stride)
                })?;
            }
        }
        Ok(())
    }
}
