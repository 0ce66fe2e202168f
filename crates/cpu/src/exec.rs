//! A compiled model: its memory, and the door to a step.

use std::{
    cell::UnsafeCell,
    ptr::null_mut,
    sync::{Arc, atomic::AtomicUsize, atomic::Ordering::Relaxed},
};

use tessera_graph::{
    BackendError, Batch, Executable, Footprint, Graph, KvType, Limits, MemoryReport, NO_PAGE,
    NO_SLOT, Op, Progress, Sampled, Weights, plan,
};

use crate::{
    Cpu, Level,
    blocks::{self, Blocks, Place},
    buffers::Buffers,
    experts::Sorted,
    kernels::{
        attention::{GROUP, SPLIT},
        route, sample,
    },
    load::{self, Loaded},
    lower::{Lower, Program},
    pool::Pool,
    recur::scratch_bytes,
    region::Region,
    step::Step,
};

/// Steps of so few rows have them prepared by every thread for itself: that costs less than meeting.
pub(crate) const OWN_ROWS: usize = 1;

/// Sequences whose attention may be divided among threads at full context, all splits stored.
const DIVIDED: usize = 4;

/// A compiled model with its pages.
pub(crate) struct Model {
    graph: Arc<Graph>,
    limits: Limits,
    pub(crate) level: Level,
    pub(crate) precise: bool,
    pub(crate) pool: Pool,
    pub(crate) program: Program,
    loaded: Loaded,
    arena: Region,
    pub(crate) acts: Region,
    /// What experts make of their rows.
    mixed: Region,
    pub(crate) kv: KvType,
    blocks: Vec<Blocks>,
    pub(crate) partials: Partials,
    /// `[instructions, threads]`: how much of each instruction, or of each thread's share, has been taken.
    pub(crate) taken: Vec<AtomicUsize>,
    pub(crate) locals: Vec<Local>,
    /// For each row of the step: its run.
    pub(crate) run_of: Vec<u32>,
    /// For each entry of the batch's page tables: its address.
    pub(crate) addresses: Vec<*mut u8>,
    /// For each run of the batch: the slot it reads, null at the beginning of a sequence.
    pub(crate) read: Vec<*mut u8>,
    /// For each save of the batch: its slot.
    pub(crate) saved: Vec<*mut u8>,
}

// SAFETY: the raw addresses point into memory that the model owns.
unsafe impl Send for Model {}
// SAFETY: shared only within a step, whose threads write disjoint parts.
unsafe impl Sync for Model {}

/// Room for the splits of queries whose attention is divided among threads.
pub(crate) struct Partials {
    /// `[capacity, dim]`.
    pub values: *mut f32,
    /// `[capacity, 2]`: largest and sum.
    pub heads: *mut f32,
    pub capacity: usize,
    pub dim: usize,
    region: Region,
}

/// Working memory of one thread.
pub(crate) struct Local(UnsafeCell<Scratch>);

// SAFETY: thread `i` of a step alone touches local `i`.
unsafe impl Sync for Local {}

pub(crate) struct Scratch {
    /// Activations of up to [`OWN_ROWS`] rows (and of their experts), prepared by every thread for itself.
    pub acts: Region,
    /// A row of activations.
    pub row: Vec<f32>,
    /// Values of two groups of queries.
    pub attention: Vec<f32>,
    /// Of recurrences.
    pub recurrence: Region,
    /// What a row's experts are chosen by.
    pub keys: Vec<u64>,
    /// The routes of the mixture at hand.
    pub sorted: Sorted,
    pub sample: sample::Scratch,
}

impl Local {
    /// Bytes that grow with what a step may hold. No step is running.
    fn bytes(&self) -> usize {
        // SAFETY: a step borrows the model mutably, so none is running and nobody holds a reference.
        let scratch = unsafe { &*self.0.get() };
        scratch.acts.len() + scratch.recurrence.len() + scratch.sorted.bytes()
    }

    /// The thread's memory.
    ///
    /// # Safety
    /// Only the thread this local belongs to calls this, and holds one reference at a time.
    #[allow(clippy::mut_from_ref)] // that is what the cell is for
    pub unsafe fn get(&self) -> &mut Scratch {
        // SAFETY: the caller's.
        unsafe { &mut *self.0.get() }
    }
}

/// The most experts that any row of `graph` chooses from.
fn routed(graph: &Graph) -> usize {
    let routes = graph.nodes.iter().filter(|node| matches!(node.op, Op::Route(_)));
    routes.map(|node| graph.values[node.inputs[0].index()].width).max().unwrap_or(0)
}

/// Bytes of everything that [`Model::new`] makes of the same arguments, and of a page of each group.
pub(crate) fn footprint(
    graph: &Graph,
    weights: &Weights,
    limits: &Limits,
    threads: usize,
    precise: bool,
) -> Result<Footprint, BackendError> {
    let (places, blocks) = blocks::layout(graph, limits.kv)?;
    let (capacity, dim) = Partials::size(graph, &places, limits);
    let buffers = Buffers::of(graph, weights, limits, precise);
    Ok(Footprint {
        weights: load::Layout::plan(graph, weights)?.bytes,
        mapped: 0,
        arena: plan(graph, limits).bytes
            + buffers.acts
            + buffers.mixtures.bytes
            + threads
                * (buffers.own_acts + scratch_bytes(graph) + Sorted::bytes_of(&buffers.mixtures))
            + Partials::bytes(capacity, dim),
        blocks: blocks.iter().map(|group| group.bytes).collect(),
    })
}

impl Model {
    pub fn new(
        graph: Arc<Graph>,
        weights: Weights,
        limits: &Limits,
        cpu: &Cpu,
        progress: &mut Progress<'_>,
    ) -> Result<Self, BackendError> {
        let plan = plan(&graph, limits);
        let (places, blocks) = blocks::layout(&graph, limits.kv)?;
        let arena = Region::new(plan.bytes, "intermediates")?;
        let buffers = Buffers::of(&graph, &weights, limits, cpu.precise);
        let acts = Region::new(buffers.acts, "activations")?;
        let mixed = Region::new(buffers.mixtures.bytes, "rows of experts")?;
        let partials = Partials::new(&graph, &places, limits)?;
        let pool = Pool::new(cpu.threads)
            .map_err(|_| BackendError::Memory { bytes: 0, what: "threads of the pool" })?;
        let loaded = Loaded::new(&graph, weights, cpu.threads, progress)?;
        let lower = Lower {
            graph: &graph,
            plan: &plan,
            limits,
            loaded: &loaded,
            places: &places,
            arena: &arena,
            mixed: &mixed,
            buffers: &buffers,
            precise: cpu.precise,
        };
        let program = lower.program()?;
        let local = || {
            Ok(Local(UnsafeCell::new(Scratch {
                acts: Region::new(buffers.own_acts, "activations")?,
                row: vec![0.0; program.widest],
                attention: vec![0.0; 2 * GROUP * partials.dim],
                recurrence: Region::new(scratch_bytes(&graph), "recurrences")?,
                keys: vec![0; route::keys(routed(&graph))],
                sorted: Sorted::new(&buffers.mixtures),
                sample: sample::Scratch::new(graph.vocab()),
            })))
        };
        let tables = limits.runs * blocks.len() * (limits.context / tessera_graph::PAGE + 1);
        Ok(Self {
            limits: limits.clone(),
            level: cpu.level,
            precise: cpu.precise,
            taken: (0..program.instructions.len() * cpu.threads)
                .map(|_| AtomicUsize::new(0))
                .collect(),
            locals: (0..cpu.threads).map(|_| local()).collect::<Result<_, BackendError>>()?,
            run_of: Vec::with_capacity(limits.tokens),
            // an address for each page of every run at full context would be too much to set aside
            addresses: Vec::with_capacity(tables.min(1 << 16)),
            read: Vec::with_capacity(limits.runs),
            saved: Vec::with_capacity(limits.tokens),
            graph,
            pool,
            program,
            loaded,
            arena,
            acts,
            mixed,
            kv: limits.kv,
            blocks,
            partials,
        })
    }

    /// Resolves what the step's threads look up: runs of rows, addresses of pages and slots.
    fn prepare(&mut self, batch: &Batch) -> Result<(), BackendError> {
        self.run_of.clear();
        for (i, run) in batch.runs.iter().enumerate() {
            self.run_of.extend((0..run.len).map(|_| i as u32));
        }
        self.addresses.clear();
        self.addresses.resize(batch.pages.len(), null_mut());
        let groups = self.graph.windows().count();
        for run in &batch.runs {
            for (group, pages) in self.blocks[..groups].iter().enumerate() {
                let (start, len) = batch.tables[run.tables as usize + group];
                for i in start as usize..(start + len) as usize {
                    if batch.pages[i] != NO_PAGE {
                        self.addresses[i] = pages.address(batch.pages[i])?;
                    }
                }
            }
        }
        self.read.clear();
        self.saved.clear();
        if let Some(slots) = self.blocks.get(groups) {
            for run in &batch.runs {
                let fresh = run.slot == NO_SLOT;
                let address = if fresh { Ok(null_mut()) } else { slots.address(run.slot) };
                self.read.push(address?);
            }
            for save in &batch.saves {
                self.saved.push(slots.address(save.slot)?);
            }
        }
        for taken in &self.taken {
            taken.store(0, Relaxed);
        }
        Ok(())
    }
}

impl Partials {
    /// Splits in all, and elements of one.
    fn size(graph: &Graph, places: &[Place], limits: &Limits) -> (usize, usize) {
        let dim = places.iter().filter_map(Place::kv).map(|l| l.dim).max().unwrap_or(0);
        let heads = graph.nodes.iter().map(|n| match &n.op {
            Op::Attend(a) => a.heads,
            _ => 0,
        });
        let capacity = DIVIDED * heads.max().unwrap_or(0) * limits.context.div_ceil(SPLIT);
        (capacity, dim)
    }

    fn bytes(capacity: usize, dim: usize) -> usize {
        capacity * (dim + 2) * size_of::<f32>()
    }

    fn new(graph: &Graph, places: &[Place], limits: &Limits) -> Result<Self, BackendError> {
        let (capacity, dim) = Self::size(graph, places, limits);
        let region = Region::new(Self::bytes(capacity, dim), "attention splits")?;
        Ok(Self {
            values: region.at(0).cast(),
            heads: region.at(capacity * dim * size_of::<f32>()).cast(),
            capacity,
            dim,
            region,
        })
    }
}

fn no_group(group: usize) -> BackendError {
    BackendError::Batch(format!("no group {group} of pages or slots"))
}

impl Model {
    fn group_mut(&mut self, group: usize) -> Result<&mut Blocks, BackendError> {
        self.blocks.get_mut(group).ok_or_else(|| no_group(group))
    }
}

impl Executable for Model {
    fn grow(&mut self, group: usize, blocks: usize) -> Result<(), BackendError> {
        self.group_mut(group)?.grow(blocks)
    }

    fn block_bytes(&self, group: usize) -> usize {
        self.blocks.get(group).map_or(0, |g| g.bytes)
    }

    fn copy(&mut self, group: usize, from: u32, to: u32) -> Result<(), BackendError> {
        self.group_mut(group)?.copy(from, to)
    }

    fn export(&self, group: usize, block: u32, out: &mut Vec<u8>) -> Result<(), BackendError> {
        self.blocks.get(group).ok_or_else(|| no_group(group))?.export(block, out)
    }

    fn import(&mut self, group: usize, block: u32, bytes: &[u8]) -> Result<(), BackendError> {
        self.group_mut(group)?.import(block, bytes)
    }

    fn step(&mut self, batch: &Batch, sampled: &mut Vec<Sampled>) -> Result<(), BackendError> {
        batch.check(&self.graph, &self.limits)?;
        self.prepare(batch)?;
        sampled.resize_with(batch.outputs.len(), Sampled::default);
        let step = Step::new(self, batch, sampled);
        self.pool.run(&|thread| step.run(thread)).map_err(|_| {
            BackendError::Batch("a thread of the step panicked; its results are void".into())
        })
    }

    fn read_logits(&self, output: usize, logits: &mut [f32]) {
        let slot = self.program.logits;
        assert!(output < self.limits.outputs && logits.len() == slot.width, "output {output}");
        // SAFETY: the arena holds a row of `width` for each output, and no step is running.
        unsafe { std::ptr::copy_nonoverlapping(slot.row(output), logits.as_mut_ptr(), slot.width) };
    }

    fn memory(&self) -> MemoryReport {
        MemoryReport {
            weights: self.loaded.bytes(),
            mapped: 0,
            arena: self.arena.len()
                + self.acts.len()
                + self.mixed.len()
                + self.partials.region.len()
                + self.locals.iter().map(Local::bytes).sum::<usize>(),
            state: self.blocks.iter().map(|g| g.bytes * g.len()).sum(),
        }
    }
}
