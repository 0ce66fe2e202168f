//! Steps of decoding are the same launches again and again, so that a device may replay them as one graph.

mod common;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    ptr,
    sync::{Arc, Mutex},
};

use common::{Case, Golden, LIMITS, cases};
use tessera_gpu::{
    Gpu, Tuning,
    device::{Bound, Device, DeviceError},
    sim::Sim,
};
use tessera_graph::{Backend, Batch, Sampling, Save, testing::Storage};
use tessera_tile::{
    Program,
    ir::Elem,
    sim::{Checks, Kernel, Memory},
};

/// What a step did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Seen {
    launches: usize,
    /// Of kernels, buffers, arguments and grids.
    hash: u64,
    /// Uploads that came after a launch.
    late: usize,
}

/// A simulated device that notes what its steps launch.
struct Watched {
    sim: Sim,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A list of commands, and what is in it.
struct Noted<C> {
    commands: C,
    seen: Seen,
}

impl Device for Watched {
    type Buffer = Memory;
    type Pipeline = Kernel;
    type Commands = Noted<<Sim as Device>::Commands>;
    type Pending = <Sim as Device>::Pending;

    fn name(&self) -> &'static str {
        self.sim.name()
    }

    fn allocate(&mut self, bytes: usize, what: &'static str) -> Result<Memory, DeviceError> {
        self.sim.allocate(bytes, what)
    }

    fn write(&mut self, to: &mut Memory, offset: usize, bytes: &[u8]) -> Result<(), DeviceError> {
        self.sim.write(to, offset, bytes)
    }

    fn read(&self, from: &Memory, offset: usize, bytes: &mut [u8]) -> Result<(), DeviceError> {
        self.sim.read(from, offset, bytes)
    }

    fn copy(
        &mut self,
        from: (&Memory, usize),
        to: (&mut Memory, usize),
        bytes: usize,
    ) -> Result<(), DeviceError> {
        self.sim.copy(from, to, bytes)
    }

    fn build(&mut self, programs: &[Program]) -> Result<Vec<Kernel>, DeviceError> {
        self.sim.build(programs)
    }

    fn compiled(&self) -> u64 {
        self.sim.compiled()
    }

    fn begin(&mut self) -> Result<Self::Commands, DeviceError> {
        Ok(Noted { commands: self.sim.begin()?, seen: Seen::default() })
    }

    fn upload(
        &mut self,
        noted: &mut Self::Commands,
        to: &mut Memory,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), DeviceError> {
        noted.seen.late += usize::from(noted.seen.launches > 0);
        self.sim.upload(&mut noted.commands, to, offset, bytes)
    }

    fn dispatch(
        &mut self,
        noted: &mut Self::Commands,
        kernel: &Kernel,
        buffers: &[Bound<'_, Memory>],
        args: &[u32],
        grid: [u32; 3],
    ) -> Result<(), DeviceError> {
        let mut hasher = DefaultHasher::new();
        (noted.seen.hash, &kernel.program().name, args, grid).hash(&mut hasher);
        for bound in buffers {
            (ptr::from_ref(bound.buffer).addr(), bound.offset).hash(&mut hasher);
        }
        noted.seen.hash = hasher.finish();
        noted.seen.launches += 1;
        self.sim.dispatch(&mut noted.commands, kernel, buffers, args, grid)
    }

    fn barrier(&mut self, noted: &mut Self::Commands) -> Result<(), DeviceError> {
        self.sim.barrier(&mut noted.commands)
    }

    fn download(
        &mut self,
        noted: &mut Self::Commands,
        from: Bound<'_, Memory>,
    ) -> Result<(), DeviceError> {
        self.sim.download(&mut noted.commands, from)
    }

    fn commit(&mut self, noted: Self::Commands) -> Result<Self::Pending, DeviceError> {
        self.seen.lock().expect("one thread").push(noted.seen);
        self.sim.commit(noted.commands)
    }

    fn wait(
        &mut self,
        pending: Self::Pending,
        downloaded: &mut Vec<u8>,
    ) -> Result<(), DeviceError> {
        self.sim.wait(pending, downloaded)
    }
}

/// The steps of a prompt and of `count` tokens after it.
fn steps(case: &Case, count: usize) -> Vec<Seen> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let open = || Ok(Watched { sim: Sim::new(Checks::Access), seen: seen.clone() });
    let backend = Gpu::new("watched", Tuning::new(Elem::F32), open);
    let model = case.open(None).unwrap();
    let unwatched = &mut tessera_graph::unwatched;
    let mut exe = backend.compile(&model.graph, model.weights, &LIMITS, unwatched).unwrap();
    let storage = Storage::of(&model.graph);
    storage.grow(exe.as_mut(), 4, 2);
    let (mut batch, mut sampled) = (Batch::default(), Vec::new());
    let prompt = &Golden::of(&case.name).tokens[0];
    let (mut tokens, mut position) = (prompt[..prompt.len().min(8)].to_vec(), 0);
    for step in 0..=count {
        batch.clear();
        // states are saved to the two slots in turn
        let slot = |step: usize| (step % 2) as u32;
        let from = if step == 0 { tessera_graph::NO_SLOT } else { slot(step - 1) };
        let saves = [Save { after: tokens.len() as u32, slot: slot(step) }];
        storage.push(&mut batch, &tokens, position, (from, &saves), |page| page as u32);
        position += tokens.len();
        let last = batch.outputs.split_off(batch.outputs.len() - 1).remove(0);
        batch.outputs.clear();
        batch.outputs.push(last);
        batch.outputs[0].sampling = Some(Arc::new(Sampling::default()));
        exe.step(&batch, &mut sampled).unwrap();
        tokens = vec![sampled[0].token];
    }
    let seen = seen.lock().expect("one thread");
    seen.clone()
}

#[test]
fn decoding_repeats_its_launches() {
    let mut failed = Vec::new();
    for name in cases() {
        let folder = common::fixtures().join(&name);
        if !folder.join("config.json").exists() {
            continue;
        }
        let seen = steps(&Case::new(&name), 3);
        let decoding = &seen[1..];
        assert_eq!(decoding.len(), 3, "{name}: each step is one list of commands");
        assert!(decoding[0].launches > 3, "{name}: {:?}", decoding[0]);
        if decoding.iter().any(|step| step.late > 0 || *step != decoding[0]) {
            failed.push(format!("{name}: {decoding:?}"));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
