//! A compiled model on a device.

use tessera_graph::{
    BackendError, Batch, Executable, Graph, Limits, MemoryReport, NO_PAGE, NO_SLOT, Progress,
    Sampled, Weights,
};

use tessera_kernels::tables::FAILED;

use crate::{
    Tuning,
    device::{Device, DeviceError},
    draws::{self, Mode},
    held::Held,
    lower::{self, Lowered},
    memory::{Buffers, Growing},
    queue::{Counters, Queue},
    room,
    state::States,
    stream::{Hazards, Shape},
    tune::probe::Probe,
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
    buffers: Buffers<D>,
    hazards: Hazards,
    /// Reused from step to step.
    words: Vec<u32>,
    draws: draws::Words,
    args: Vec<u32>,
    bytes: Vec<u8>,
}

impl<D: Device> Model<D> {
    /// Lowers, builds kernels, and lays weights out.
    pub fn new(
        graph: Graph,
        bound: &Weights,
        limits: &Limits,
        tuning: &Tuning,
        device: D,
        progress: &mut Progress<'_>,
    ) -> Result<Self, BackendError> {
        let lowered = lower::lower(&graph, bound, limits, tuning)?;
        room::admit(&graph, bound, &lowered, limits, &device)?;
        let mut queue = Queue::new(device);
        let pipelines = queue.build(&lowered.stream.programs)?;
        let device = queue.device();
        let arena = Growing::new(device, lowered.arena, "intermediates")?;
        let tables = Growing::new(device, lowered.tables.words * 4, "tables of a step")?;
        let draws = Growing::new(device, draws::bytes(limits.outputs), "how outputs are drawn")?;
        let results = Growing::new(device, lowered.results.bytes, "results")?;
        let side = [
            Growing::new(device, 0, "biases")?,
            Growing::new(device, 0, "tokens that have occurred")?,
            Growing::new(device, 0, "masks of tokens")?,
        ];
        let weights = Held::new(&lowered.weights, &graph, bound, device, progress)?;
        let states = States::new(&graph, limits);
        Ok(Self {
            graph,
            limits: limits.clone(),
            queue,
            lowered,
            pipelines,
            buffers: Buffers { arena, tables, draws, side, results, weights, states },
            hazards: Hazards::default(),
            words: Vec::new(),
            draws: draws::Words::default(),
            args: Vec::new(),
            bytes: Vec::new(),
        })
    }

    /// What happened on the device so far.
    pub fn counters(&self) -> Counters {
        self.queue.counters()
    }

    /// Names of its kernels, which tell their geometries.
    pub fn kernels(&self) -> impl Iterator<Item = &str> {
        self.lowered.stream.programs.iter().map(|program| program.name.as_str())
    }

    /// What is computed.
    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }

    /// What could have another geometry, if it was lowered for a search.
    pub(crate) fn take_probes(&mut self) -> Vec<Probe> {
        std::mem::take(&mut self.lowered.probes)
    }

    /// The device, to launch what a step does not, and what it may bind.
    pub(crate) fn bench(&mut self) -> (&mut Queue<D>, &Buffers<D>) {
        (&mut self.queue, &self.buffers)
    }

    /// Runs a step up to a stage, not included, or all of it; what was made stays on the device until the next one.
    pub(crate) fn submit(
        &mut self,
        batch: &Batch,
        until: Option<usize>,
    ) -> Result<Shape, BackendError> {
        let (words, shape) = self.prepare(batch)?;
        self.run(words, &shape, until)?;
        Ok(shape)
    }

    /// The sizes of a step.
    pub(crate) fn shape(&mut self, batch: &Batch) -> Result<Shape, BackendError> {
        Ok(self.prepare(batch)?.1)
    }

    /// Fills the tables of a step: their words, and its sizes.
    fn prepare(&mut self, batch: &Batch) -> Result<(usize, Shape), BackendError> {
        batch.check(&self.graph, &self.limits)?;
        self.check_blocks(batch)?;
        let mode = self.draws.fill(batch)?;
        let last = batch.runs.iter().map(|run| run.position + run.len).max();
        let (words, singles, blocks) = self.lowered.tables.fill(batch, &mut self.words);
        let shape = Shape {
            tokens: batch.tokens.len() as u32,
            outputs: batch.outputs.len() as u32,
            mode,
            runs: batch.runs.len() as u32,
            singles,
            blocks,
            longest: batch.runs.iter().map(|run| run.len).max().unwrap_or(0),
            context: last.unwrap_or(0),
        };
        Ok((words, shape))
    }

    /// Sends what the step is told, launches everything, and waits.
    fn run(
        &mut self,
        words: usize,
        shape: &Shape,
        until: Option<usize>,
    ) -> Result<(), BackendError> {
        let Buffers { side, .. } = &mut self.buffers;
        let lists = [&self.draws.biases, &self.draws.history];
        for (buffer, list) in side.iter_mut().zip(lists) {
            buffer.reserve(self.queue.device(), list.len() * 4)?;
        }
        let mut recording = self.queue.record()?;
        let Buffers { tables, draws, side: [biases, history, _], .. } = &mut self.buffers;
        for (buffer, words) in [
            (tables, &self.words[..words]),
            (draws, &self.draws.draws),
            (biases, &self.draws.biases),
            (history, &self.draws.history),
        ] {
            if !words.is_empty() {
                self.bytes.clear();
                self.bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
                recording.upload(buffer.get_mut(), 0, &self.bytes)?;
            }
        }
        self.hazards.clear();
        let stages = &self.lowered.stream.stages;
        let stages = &stages[..until.unwrap_or(stages.len())];
        for stage in stages.iter().filter(|stage| stage.runs(shape)) {
            let grid = (stage.geometry)(shape, &mut self.args);
            if grid.contains(&0) {
                continue;
            }
            if self.hazards.add(&stage.bindings) {
                recording.barrier()?;
            }
            let bound: Vec<_> = stage
                .bindings
                .iter()
                .map(|(range, _)| self.buffers.bind(range))
                .collect::<Result<_, _>>()?;
            let pipeline = &self.pipelines[stage.kernel];
            recording
                .dispatch(pipeline, &bound, &self.args, grid)
                .map_err(|error| BackendError::Device(format!("{}: {error}", stage.label)))?;
        }
        for range in self.lowered.results.of(&shape.mode).filter(|_| until.is_none()) {
            recording.download(self.buffers.bind(&range)?)?;
        }
        Ok(recording.commit()?.wait(&mut self.bytes)?)
    }

    /// What was read back, by output.
    fn collect(&self, batch: &Batch, mode: &Mode, sampled: &mut Vec<Sampled>) {
        let count = mode.draws as usize;
        let words = |first: usize, len: usize| {
            let bytes = self.bytes.get(first * 4..(first + len) * 4).unwrap_or_default();
            bytes.as_chunks::<4>().0.iter().map(|&bytes| u32::from_le_bytes(bytes))
        };
        let mut drawn = 0;
        sampled.clear();
        for output in &batch.outputs {
            let mut result = Sampled::default();
            if let Some(sampling) = &output.sampling {
                let token = words(drawn, 1).next().unwrap_or(FAILED);
                result.failed = token == FAILED;
                if !result.failed {
                    result.token = token;
                    let logprob = words(count + drawn, 1).next().filter(|_| sampling.logprobs);
                    result.logprob = logprob.map_or(0.0, f32::from_bits);
                    let stride = 2 * mode.top as usize;
                    let top = words(2 * count + drawn * stride, stride).collect::<Vec<_>>();
                    let wanted = (sampling.top_logprobs as usize).min(self.graph.vocab());
                    let pairs = top.as_chunks::<2>().0.iter().take(wanted);
                    result.top = pairs.map(|&[id, bits]| (id, f32::from_bits(bits))).collect();
                }
                drawn += 1;
            }
            sampled.push(result);
        }
    }

    /// Whether all pages and slots that a batch names are there.
    fn check_blocks(&self, batch: &Batch) -> Result<(), BackendError> {
        let windows = self.graph.windows().count();
        let missing = |what: &str, id: u32, held: usize| {
            Err(BackendError::Batch(format!("{what} {id} of {held}")))
        };
        for run in &batch.runs {
            for group in 0..windows {
                let held = self.buffers.states.held(group);
                let outside = |&&page: &&u32| page != NO_PAGE && page as usize >= held;
                if let Some(&page) = batch.table(run, group).iter().find(outside) {
                    return missing("page", page, held);
                }
            }
            if self.graph.is_recurrent() {
                let held = self.buffers.states.held(windows);
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

impl<D: Device> Executable for Model<D> {
    fn grow(&mut self, group: usize, blocks: usize) -> Result<(), BackendError> {
        self.buffers.states.grow(self.queue.device(), group, blocks)
    }

    fn block_bytes(&self, group: usize) -> usize {
        self.buffers.states.bytes_of(group)
    }

    fn copy(&mut self, group: usize, from: u32, to: u32) -> Result<(), BackendError> {
        self.buffers.states.copy(self.queue.device(), group, from, to)
    }

    fn export(&self, group: usize, block: u32, out: &mut Vec<u8>) -> Result<(), BackendError> {
        self.buffers.states.export(self.queue.peek(), group, block, out)
    }

    fn import(&mut self, group: usize, block: u32, bytes: &[u8]) -> Result<(), BackendError> {
        self.buffers.states.import(self.queue.device(), group, block, bytes)
    }

    fn step(&mut self, batch: &Batch, sampled: &mut Vec<Sampled>) -> Result<(), BackendError> {
        let shape = self.submit(batch, None)?;
        self.collect(batch, &shape.mode, sampled);
        Ok(())
    }

    fn read_logits(&self, output: usize, logits: &mut [f32]) {
        let offset = self.lowered.logits.offset + output * logits.len() * 4;
        let mut bytes = vec![0; logits.len() * 4];
        // a device that no longer answers gives logits that nobody takes for any
        let read = self.queue.peek().read(self.buffers.arena.get(), offset, &mut bytes);
        for (logit, bytes) in logits.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *logit = if read.is_ok() { f32::from_le_bytes(*bytes) } else { f32::NAN };
        }
    }

    fn memory(&self) -> MemoryReport {
        MemoryReport {
            weights: self.buffers.weights.copied(),
            mapped: self.buffers.weights.mapped(),
            arena: self.lowered.step_bytes(&self.limits),
            state: self.buffers.states.bytes(),
        }
    }
}
