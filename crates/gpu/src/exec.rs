//! A compiled model on a device.

use tessera_graph::{
    BackendError, Batch, Executable, Footprint, Graph, Limits, MemoryReport, NO_PAGE, NO_SLOT,
    Progress, Sampled, Weights,
};

use crate::{
    device::{Bound, Device, DeviceError},
    lower::{self, Lowered},
    queue::{Counters, Queue},
    state::States,
    stream::{BufferId, Hazards, Range, Shape},
    weights,
};

impl From<DeviceError> for BackendError {
    fn from(error: DeviceError) -> Self {
        match error {
            DeviceError::Memory { bytes, what } => Self::Memory { bytes, what },
            other => Self::Device(other.to_string()),
        }
    }
}

/// A model with its memory.
pub struct Model<D: Device> {
    graph: Graph,
    limits: Limits,
    queue: Queue<D>,
    lowered: Lowered,
    pipelines: Vec<D::Pipeline>,
    arena: D::Buffer,
    tables: D::Buffer,
    results: D::Buffer,
    weights: Vec<D::Buffer>,
    states: States<D>,
    hazards: Hazards,
    /// Reused from step to step.
    words: Vec<u32>,
    args: Vec<u32>,
    bytes: Vec<u8>,
}

/// What [`Model::new`] of the same arguments will hold.
pub fn footprint(
    graph: &Graph,
    bound: &Weights,
    limits: &Limits,
) -> Result<Footprint, BackendError> {
    let lowered = lower::lower(graph, bound, limits)?;
    Ok(Footprint {
        weights: lowered.weights.bytes(),
        arena: lowered.step_bytes(limits),
        blocks: graph
            .groups()
            .iter()
            .map(|group| States::<crate::sim::Sim>::block_bytes(graph, limits, group))
            .collect(),
    })
}

impl Lowered {
    /// Bytes of all that a step needs besides weights and states.
    fn step_bytes(&self, limits: &Limits) -> usize {
        self.arena + self.tables.words * 4 + self.result_bytes(limits)
    }

    fn result_bytes(&self, limits: &Limits) -> usize {
        (limits.outputs * self.results).max(16)
    }
}

impl<D: Device> Model<D> {
    /// Lowers, builds kernels, and lays weights out.
    pub fn new(
        graph: Graph,
        bound: &Weights,
        limits: &Limits,
        device: D,
        progress: &mut Progress<'_>,
    ) -> Result<Self, BackendError> {
        let lowered = lower::lower(&graph, bound, limits)?;
        let mut queue = Queue::new(device);
        let pipelines = queue.build(&lowered.stream.programs)?;
        let device = queue.device();
        let arena = device.allocate(lowered.arena.max(16), "intermediates")?;
        let tables = device.allocate(lowered.tables.words * 4, "tables of a step")?;
        let results = device.allocate(lowered.result_bytes(limits), "results")?;
        let total = lowered.weights.bytes();
        let mut done = 0;
        let mut buffers = Vec::with_capacity(lowered.weights.buffers.len());
        for (source, bytes) in &lowered.weights.buffers {
            let mut buffer = device.allocate(*bytes, "weights")?;
            weights::fill(source, &graph, bound, &mut |offset, bytes| {
                Ok(device.write(&mut buffer, offset, bytes)?)
            })?;
            buffers.push(buffer);
            done += bytes;
            if progress(done, total).is_break() {
                return Err(BackendError::Cancelled);
            }
        }
        let states = States::new(&graph, limits);
        Ok(Self {
            graph,
            limits: limits.clone(),
            queue,
            lowered,
            pipelines,
            arena,
            tables,
            results,
            weights: buffers,
            states,
            hazards: Hazards::default(),
            words: Vec::new(),
            args: Vec::new(),
            bytes: Vec::new(),
        })
    }

    /// What happened on the device so far.
    pub fn counters(&self) -> Counters {
        self.queue.counters()
    }

    /// Whether all pages and slots that a batch names are there.
    fn check_blocks(&self, batch: &Batch) -> Result<(), BackendError> {
        let windows = self.graph.windows().count();
        let missing = |what: &str, id: u32, held: usize| {
            Err(BackendError::Batch(format!("{what} {id} of {held}")))
        };
        for run in &batch.runs {
            for group in 0..windows {
                let held = self.states.held(group);
                let outside = |&&page: &&u32| page != NO_PAGE && page as usize >= held;
                if let Some(&page) = batch.table(run, group).iter().find(outside) {
                    return missing("page", page, held);
                }
            }
            if self.graph.is_recurrent() {
                let held = self.states.held(windows);
                let saved = batch.saves(run).iter().map(|save| save.slot);
                let read = Some(run.slot).filter(|&slot| slot != NO_SLOT);
                if let Some(slot) = saved.chain(read).find(|&slot| slot as usize >= held) {
                    return missing("slot", slot, held);
                }
            }
        }
        Ok(())
    }
}

/// A buffer by its name.
fn bind<'a, D: Device>(
    range: &Range,
    [arena, tables, results]: [&'a D::Buffer; 3],
    weights: &'a [D::Buffer],
    states: &'a States<D>,
) -> Result<Bound<'a, D::Buffer>, BackendError> {
    let buffer = match range.buffer {
        BufferId::Arena => arena,
        BufferId::Tables | BufferId::Draws => tables,
        BufferId::Results => results,
        BufferId::Weight(i) => &weights[i],
        BufferId::State(i) => {
            let missing = || BackendError::Batch(format!("state {i} has no pages or slots"));
            states.buffer(i).ok_or_else(missing)?
        }
    };
    let bytes = match range.buffer {
        BufferId::State(i) => states.buffer_bytes(i) - range.offset,
        _ => range.bytes,
    };
    Ok(Bound { buffer, offset: range.offset, bytes })
}

impl<D: Device> Executable for Model<D> {
    fn grow(&mut self, group: usize, blocks: usize) -> Result<(), BackendError> {
        self.states.grow(self.queue.device(), group, blocks)
    }

    fn block_bytes(&self, group: usize) -> usize {
        self.states.bytes_of(group)
    }

    fn copy(&mut self, group: usize, from: u32, to: u32) -> Result<(), BackendError> {
        self.states.copy(self.queue.device(), group, from, to)
    }

    fn export(&self, group: usize, block: u32, out: &mut Vec<u8>) -> Result<(), BackendError> {
        self.states.export(self.queue.peek(), group, block, out)
    }

    fn import(&mut self, group: usize, block: u32, bytes: &[u8]) -> Result<(), BackendError> {
        self.states.import(self.queue.device(), group, block, bytes)
    }

    fn step(&mut self, batch: &Batch, sampled: &mut Vec<Sampled>) -> Result<(), BackendError> {
        batch.check(&self.graph, &self.limits)?;
        self.check_blocks(batch)?;
        let last = batch.runs.iter().map(|run| run.position + run.len).max();
        let shape = Shape {
            tokens: batch.tokens.len() as u32,
            outputs: batch.outputs.len() as u32,
            draws: batch.outputs.iter().filter(|output| output.sampling.is_some()).count() as u32,
            runs: batch.runs.len() as u32,
            longest: batch.runs.iter().map(|run| run.len).max().unwrap_or(0),
            context: last.unwrap_or(0),
        };
        let words = self.lowered.tables.fill(batch, &mut self.words);
        self.bytes.clear();
        self.bytes.extend(self.words[..words].iter().flat_map(|word| word.to_le_bytes()));
        let mut recording = self.queue.record()?;
        recording.upload(&mut self.tables, 0, &self.bytes)?;
        let fixed = [&self.arena, &self.tables, &self.results];
        self.hazards.clear();
        for stage in self.lowered.stream.stages.iter().filter(|stage| stage.runs(&shape)) {
            let grid = (stage.geometry)(&shape, &mut self.args);
            if grid.contains(&0) {
                continue;
            }
            if self.hazards.add(&stage.bindings) {
                recording.barrier()?;
            }
            let bound: Vec<_> = stage
                .bindings
                .iter()
                .map(|(range, _)| bind::<D>(range, fixed, &self.weights, &self.states))
                .collect::<Result<_, _>>()?;
            recording.dispatch(&self.pipelines[stage.kernel], &bound, &self.args, grid)?;
        }
        recording.commit()?.wait(&mut self.bytes)?;
        sampled.clear();
        sampled.resize(batch.outputs.len(), Sampled::default());
        Ok(())
    }

    fn read_logits(&self, output: usize, logits: &mut [f32]) {
        let offset = self.lowered.logits.offset + output * logits.len() * 4;
        let mut bytes = vec![0; logits.len() * 4];
        // a device that no longer answers gives logits that nobody takes for any
        let read = self.queue.peek().read(&self.arena, offset, &mut bytes);
        for (logit, bytes) in logits.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *logit = if read.is_ok() { f32::from_le_bytes(*bytes) } else { f32::NAN };
        }
    }

    fn memory(&self) -> MemoryReport {
        MemoryReport {
            weights: self.lowered.weights.bytes(),
            arena: self.lowered.step_bytes(&self.limits),
            state: self.states.bytes(),
        }
    }
}
