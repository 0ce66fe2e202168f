//! What the GPU does with a command buffer.

use std::{
    collections::{BTreeMap, BTreeSet},
    ptr,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use tessera_tile::{
    ir::Access,
    sim::{self, Binding, Kernel},
};

use crate::{
    object::{Body, Object, Ref},
    residency,
    world::World,
};

/// What memory holds that a running command buffer may write: every float is not a number.
pub const POISON: u8 = 0xff;

/// A dispatch.
pub struct Launch {
    pub kernel: Arc<Kernel>,
    /// Memory, first byte and number of bytes.
    pub buffers: Vec<(Arc<Ref>, usize, usize)>,
    pub args: Vec<u32>,
    pub grid: [u32; 3],
    /// Of an indirect one, what it comes from.
    pub indirect: Option<Indirectly>,
}

/// Where an indirect dispatch comes from.
pub struct Indirectly {
    /// The commands, which nobody retains for it.
    pub commands: Arc<Ref>,
    /// Memory that its encoder did not declare, and the kernel and buffer that it is. Once committed, what is in no residency
    /// set either.
    pub absent: Vec<(Arc<Ref>, String)>,
}

/// A command.
pub enum Step {
    Launch(Launch),
    Barrier,
}

/// A buffer while the GPU has it.
struct Held {
    buffer: Arc<Ref>,
    /// The GPU's own view.
    memory: sim::Memory,
    /// What the host should find at the end if it left it alone.
    shown: Vec<u8>,
    written: bool,
}

/// All buffers of a command buffer.
pub struct Frozen(BTreeMap<usize, Held>);

fn key(buffer: &Ref) -> usize {
    ptr::from_ref::<Object>(buffer).addr()
}

impl Frozen {
    /// Takes what is bound, and what the queue's residency sets hold; what may be written shows [`POISON`] from now on.
    pub fn of(queue: &Object, passes: &mut [Vec<Step>]) -> Self {
        let mut held = BTreeMap::new();
        for step in passes.iter_mut().flatten() {
            let Step::Launch(launch) = step else { continue };
            if let Some(indirect) = &mut launch.indirect {
                indirect.absent.retain(|(memory, _)| !residency::holds(queue, memory));
            }
            for ((buffer, ..), declared) in
                launch.buffers.iter().zip(&launch.kernel.program().buffers)
            {
                let body = buffer.body();
                let Body::Memory(memory) = &*body else { continue };
                let entry = held.entry(key(buffer)).or_insert_with(|| {
                    let shown = memory.to_vec();
                    let memory = sim::Memory::of(&shown);
                    Held { buffer: Arc::clone(buffer), memory, shown, written: false }
                });
                if declared.access != Access::Read && !entry.written {
                    entry.written = true;
                    entry.shown.fill(POISON);
                    memory.set(&entry.shown);
                }
            }
        }
        Self(held)
    }
}

/// Runs the passes one after the other; an error is what a kernel did wrong.
pub fn run(world: &World, frozen: Frozen, passes: Vec<Vec<Step>>) -> Result<(), String> {
    let mut result = Ok(());
    for pass in &passes {
        for together in pass.split(|step| matches!(step, Step::Barrier)) {
            let mut order: Vec<&Launch> = together
                .iter()
                .filter_map(|step| match step {
                    Step::Launch(launch) => Some(launch),
                    Step::Barrier => None,
                })
                .collect();
            for i in (1..order.len()).rev() {
                order.swap(i, world.draw(i + 1));
            }
            for launch in order {
                result = result.and_then(|()| launch.run(world, &frozen));
            }
        }
    }
    released(world, &passes);
    for held in frozen.0.values() {
        let body = held.buffer.body();
        let Body::Memory(memory) = &*body else { continue };
        if memory.to_vec() != held.shown {
            world.violation("the host wrote to memory that the GPU was using");
        }
        if held.written {
            memory.set(&held.memory.to_vec());
        }
    }
    result
}

/// Notes what indirect commands use and nobody else holds any more: on a GPU it would have been gone.
fn released(world: &World, passes: &[Vec<Step>]) {
    let mut own: BTreeMap<usize, BTreeMap<usize, &Ref>> = BTreeMap::new();
    let mut unretained = BTreeSet::new();
    for step in passes.iter().flatten() {
        let Step::Launch(launch) = step else { continue };
        let memory = launch.buffers.iter().map(|(memory, ..)| memory);
        let indirect = launch.indirect.iter().flat_map(|from| {
            std::iter::once(&from.commands).chain(from.absent.iter().map(|(memory, _)| memory))
        });
        for object in memory.chain(indirect) {
            let references = own.entry(key(object)).or_default();
            references.insert(Arc::as_ptr(object).addr(), object);
            if launch.indirect.is_some() {
                unretained.insert(key(object));
            }
        }
    }
    for (object, references) in own {
        let count = references.values().next().map_or(0, |reference| reference.count());
        if unretained.contains(&object) && count <= references.len() as isize {
            world.violation("what indirect commands use is released while they run");
        }
    }
}

impl Launch {
    fn run(&self, world: &World, frozen: &Frozen) -> Result<(), String> {
        let bindings: Vec<_> = self
            .buffers
            .iter()
            .map(|(buffer, offset, bytes)| Binding {
                memory: &frozen.0[&key(buffer)].memory,
                offset: *offset,
                bytes: *bytes,
            })
            .collect();
        if let Some((_, name)) = self.indirect.iter().flat_map(|from| &from.absent).next() {
            return Err(format!("a page fault: {name} is not resident"));
        }
        world.dispatches.fetch_add(1, Relaxed);
        let checks = world.settings.checks;
        let done = self.kernel.launch(self.grid, &self.args, &bindings, checks);
        done.map(drop).map_err(|fault| fault.to_string())
    }
}
