//! One step, as each thread runs it.

use std::{ops::Range, sync::atomic::Ordering::Relaxed};

use tessera_graph::{Batch, RopeSpec, Rows, Sampled};

use crate::{
    attend,
    exec::{Model, OWN_ROWS, Scratch},
    experts,
    kernels::{
        acts::Acts,
        route::Route,
        rows::{LayerNorm, Map, Norm, Pointwise, Prepare, Rope},
    },
    kv::{self, Layer, Token},
    lower::{Slot, Work},
    product, recur,
    tile::Tiles,
};

/// A step in progress, shared by its threads. Each instruction divides its rows, tiles or queries among
/// them, so that no two write the same memory between two meetings.
pub(crate) struct Step<'a> {
    pub(crate) model: &'a Model,
    pub(crate) batch: &'a Batch,
    sampled: *mut Sampled,
}

// SAFETY: `sampled` is written at different indices by different threads; the rest is shared.
unsafe impl Sync for Step<'_> {}

impl<'a> Step<'a> {
    /// `batch` has been checked, and `sampled` has an entry for each of its outputs.
    pub fn new(model: &'a Model, batch: &'a Batch, sampled: &'a mut [Sampled]) -> Self {
        Self { model, batch, sampled: sampled.as_mut_ptr() }
    }

    /// Runs all instructions as thread `thread`.
    pub fn run(&self, thread: usize) {
        // SAFETY: this thread's local, borrowed here only.
        let scratch = unsafe { self.model.locals[thread].get() };
        for (index, instruction) in self.model.program.instructions.iter().enumerate() {
            // splits that were joined at once leave nothing to do, nor to meet for
            if let Work::Join { heads, .. } = &instruction.work
                && !self.divided(*heads)
            {
                continue;
            }
            let own = match &instruction.work {
                Work::Prepare { x, .. } | Work::Product { x, .. } => self.own(x),
                Work::Experts(mixture, _) => mixture.own(self),
                _ => false,
            };
            let meet = if own { instruction.meet_own } else { instruction.meet };
            if meet {
                self.model.pool.barrier().wait();
            }
            // SAFETY: the batch keeps to the limits that all memory was planned for; rows and queries are
            // divided by thread, tiles and splits by what has been taken.
            unsafe { self.work(&instruction.work, index, thread, scratch) };
            if let (true, Some(next)) = (instruction.work.is_product(), instruction.product) {
                product::warm(self, next, thread);
            }
        }
    }

    /// Rows of the step.
    pub(crate) fn rows(&self, rows: Rows) -> usize {
        match rows {
            Rows::Tokens => self.batch.tokens.len(),
            Rows::Outputs => self.batch.outputs.len(),
        }
    }

    /// Rows that are this thread's in work by rows.
    pub(crate) fn mine(&self, rows: Rows, thread: usize) -> Range<usize> {
        let (n, threads) = (self.rows(rows), self.model.pool.threads());
        n * thread / threads..n * (thread + 1) / threads
    }

    /// Takes the next `n` of an instruction's items: the first of them.
    pub(crate) fn take(&self, index: usize, n: usize) -> usize {
        self.take_of(index, 0, n)
    }

    /// Takes the next `n` items of one thread's share of an instruction.
    pub(crate) fn take_of(&self, index: usize, share: usize, n: usize) -> usize {
        self.model.taken[index * self.model.pool.threads() + share].fetch_add(n, Relaxed)
    }

    /// Whether every thread prepares the activations of `x` for itself.
    fn own(&self, x: &Slot) -> bool {
        self.rows(x.rows) <= OWN_ROWS
    }

    /// Where the activations of `x` are prepared.
    fn acts(&self, x: &Slot, scratch: &Scratch) -> Acts {
        let base = if self.own(x) { scratch.acts.at(0) } else { self.model.acts.at(0) };
        Acts::place(base, self.rows(x.rows), x.width)
    }

    /// One instruction's share.
    ///
    /// # Safety
    /// As said in [`Step::run`].
    unsafe fn work(&self, work: &Work, index: usize, thread: usize, scratch: &mut Scratch) {
        let level = self.model.level;
        // SAFETY: slots hold a row for each row of the step; the level was checked when the backend was made.
        unsafe {
            match work {
                Work::Embed { table, scale, out } => self.embed(table, *scale, out, thread),
                Work::Norm { norm, x, out } => {
                    for row in self.mine(out.rows, thread) {
                        level.run(Norm { x: x.row(row), out: out.row(row), ..*norm });
                    }
                }
                Work::LayerNorm { norm, x, out } => {
                    for row in self.mine(out.rows, thread) {
                        level.run(LayerNorm { x: x.row(row), out: out.row(row), ..*norm });
                    }
                }
                Work::RopeTable { spec, out } => self.rope_table(spec, out, thread),
                Work::Rope { x, table, out, heads } => {
                    for row in self.mine(out.rows, thread) {
                        level.run(Rope {
                            x: x.row(row),
                            out: out.row(row),
                            table: table.row(row),
                            half: table.width / 2,
                            heads: *heads,
                            head_dim: x.width / heads,
                        });
                    }
                }
                Work::Keep { layer, k, v } => self.keep(layer, k, v, thread),
                Work::Attend { layer, op, q, to } => {
                    attend::attend(self, layer, op, q, to, index, &mut scratch.attention)
                }
                Work::Join { layer, heads, to } => attend::join(self, layer, *heads, to, thread),
                Work::Recur(work) => {
                    recur::run(self, work, thread, scratch.recurrence.at(0).cast());
                }
                Work::Prepare { x, norm, wants } => {
                    let acts = self.acts(x, scratch);
                    let mine =
                        if self.own(x) { 0..self.rows(x.rows) } else { self.mine(x.rows, thread) };
                    for row in mine {
                        level.run(Prepare {
                            x: x.row(row),
                            cols: x.width,
                            norm: *norm,
                            acts,
                            row,
                            wants: *wants,
                            scratch: scratch.row.as_mut_ptr(),
                        });
                    }
                }
                Work::Product { parts, residual, gate, x } => {
                    let acts = self.acts(x, scratch);
                    product::run(
                        self,
                        parts,
                        residual.as_ref(),
                        *gate,
                        &acts,
                        self.rows(x.rows),
                        index,
                        thread,
                    )
                }
                Work::Route { op, bias, logits, out } => {
                    for row in self.mine(out.rows, thread) {
                        level.run(Route {
                            op,
                            bias: *bias,
                            logits: logits.row(row),
                            experts: logits.width,
                            out: out.row(row),
                            scores: scratch.row.as_mut_ptr(),
                            keys: &mut scratch.keys,
                        });
                    }
                }
                Work::Experts(mixture, stage) => {
                    experts::run(self, mixture, *stage, index, thread, scratch)
                }
                Work::Glu { unit, a, b, out } => {
                    self.map(out, thread, a, b, || Pointwise::Glu(*unit))
                }
                Work::Activate { activation, x, out } => {
                    self.map(out, thread, x, x, || Pointwise::Activate(*activation))
                }
                // one factor for a row, or one for each element
                Work::Mul { a, b, out } if b.width < a.width => {
                    for row in self.mine(out.rows, thread) {
                        let function = Pointwise::Scale(*b.row(row));
                        let (a, out, n) = (a.row(row), out.row(row), out.width);
                        level.run(Map { function, a, b: a, out, n });
                    }
                }
                Work::Mul { a, b, out } => self.map(out, thread, a, b, || Pointwise::Mul),
                Work::Add { a, b, out } => self.map(out, thread, a, b, || Pointwise::Add),
                Work::Scale { factor, x, out } => {
                    self.map(out, thread, x, x, || Pointwise::Scale(*factor))
                }
                Work::Softcap { cap, x, out } => {
                    self.map(out, thread, x, x, || Pointwise::Softcap(*cap))
                }
                Work::Select { x, out } => {
                    for row in self.mine(Rows::Outputs, thread) {
                        let from = self.batch.outputs[row].row as usize;
                        std::ptr::copy_nonoverlapping(x.row(from), out.row(row), out.width);
                    }
                }
                Work::Sample { logits } => self.sample(logits, index, scratch),
            }
        }
    }

    /// # Safety
    /// As for [`Step::work`].
    unsafe fn embed(&self, table: &Tiles, scale: f32, out: &Slot, thread: usize) {
        for row in self.mine(out.rows, thread) {
            // SAFETY: the row is this thread's; the batch's ids are inside the table.
            unsafe {
                let x = std::slice::from_raw_parts_mut(out.row(row), out.width);
                table.read_row(self.batch.tokens[row] as usize, x);
                if scale != 1.0 {
                    x.iter_mut().for_each(|x| *x *= scale);
                }
            }
        }
    }

    /// # Safety
    /// As for [`Step::work`].
    unsafe fn rope_table(&self, spec: &RopeSpec, out: &Slot, thread: usize) {
        for row in self.mine(out.rows, thread) {
            let position = self.position(row) as f32;
            // SAFETY: the row is this thread's and holds cosines and sines.
            let x = unsafe { std::slice::from_raw_parts_mut(out.row(row), out.width) };
            let (cos, sin) = x.split_at_mut(spec.frequencies.len());
            for ((cos, sin), frequency) in cos.iter_mut().zip(sin).zip(&spec.frequencies) {
                let (s, c) = (position * frequency).sin_cos();
                (*cos, *sin) = (c * spec.scale, s * spec.scale);
            }
        }
    }

    /// Absolute position of a row's token.
    fn position(&self, row: usize) -> usize {
        let run = &self.batch.runs[self.model.run_of[row] as usize];
        run.position as usize + row - run.row as usize
    }

    /// # Safety
    /// As for [`Step::work`].
    unsafe fn keep(&self, layer: &Layer, k: &Slot, v: &Slot, thread: usize) {
        for row in self.mine(k.rows, thread) {
            let run = &self.batch.runs[self.model.run_of[row] as usize];
            let position = self.position(row);
            let page = self.pages(run, layer)[position / tessera_graph::PAGE];
            if page.is_null() {
                // behind the window of every query of the run: nobody will look
                continue;
            }
            let last = row + 1 == (run.row + run.len) as usize;
            let token = Token { k: k.row(row), v: v.row(row), last };
            let (kv, slot) = (self.model.kv, position % tessera_graph::PAGE);
            // SAFETY: the position's page is there, and no other row has the position.
            unsafe { self.model.level.run(kv::Write { layer, kv, page, slot, token }) };
        }
    }

    /// # Safety
    /// As for [`Step::work`].
    unsafe fn map(
        &self,
        out: &Slot,
        thread: usize,
        a: &Slot,
        b: &Slot,
        function: impl Fn() -> Pointwise,
    ) {
        for row in self.mine(out.rows, thread) {
            let (a, b, out, n) = (a.row(row), b.row(row), out.row(row), out.width);
            // SAFETY: all three rows are `n` wide.
            unsafe { self.model.level.run(Map { function: function(), a, b, out, n }) };
        }
    }

    /// # Safety
    /// As for [`Step::work`].
    unsafe fn sample(&self, logits: &Slot, index: usize, scratch: &mut Scratch) {
        loop {
            let i = self.take(index, 1);
            let Some(output) = self.batch.outputs.get(i) else { return };
            // SAFETY: this output is taken by this thread alone; its logits are `width` floats.
            unsafe {
                let sampled = &mut *self.sampled.add(i);
                let Some(sampling) = &output.sampling else {
                    *sampled =
                        Sampled { top: std::mem::take(&mut sampled.top), ..Sampled::default() };
                    sampled.top.clear();
                    continue;
                };
                let row = std::slice::from_raw_parts(logits.row(i), logits.width);
                let history = self.batch.history(output);
                scratch.sample.sample(
                    self.model.level,
                    row,
                    sampling,
                    history,
                    output.position,
                    sampled,
                );
            }
        }
    }
}
