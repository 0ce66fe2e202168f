//! Buffers of indirect commands: made once, run again and again. They keep nothing alive and make nothing resident.

use std::{
    collections::BTreeMap,
    ptr,
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
};

use tessera_tile::{ir::Access, sim::Kernel};

use crate::{
    encoder::{self, PLACES, Place, Size},
    execute::{Indirectly, Step},
    foundation::as_static,
    object::{Body, Object, Ref},
    runtime::{Method, autoreleased, method},
    world::{World, lock},
};

/// Of what kind commands are.
pub struct Layout {
    types: usize,
    inherits: bool,
    inherits_pipeline: bool,
    places: usize,
}

impl Default for Layout {
    fn default() -> Self {
        Self { types: 0, inherits: true, inherits_pipeline: true, places: 0 }
    }
}

/// `MTLIndirectCommandTypeConcurrentDispatch`
const CONCURRENT_DISPATCH: usize = 1 << 5;

/// Commands that every GPU executes at once.
const MOST: usize = 1 << 14;

#[derive(Default)]
struct Slot {
    kernel: Option<Arc<Kernel>>,
    /// Not retained.
    places: BTreeMap<usize, (&'static Object, usize)>,
    barrier: bool,
    /// Threadgroups, threads of each, and what the device trait says of the buffers' bytes.
    dispatch: Option<(Size, Size, Option<Vec<usize>>)>,
}

/// Commands.
pub struct Commands {
    slots: Vec<Slot>,
    places: usize,
}

/// One of them.
pub struct Command {
    commands: Ref,
    i: usize,
}

/// `NSRange`
#[repr(C)]
pub struct Range {
    location: usize,
    length: usize,
}

/// What commands do; `declared` are the buffers that may be used, and whether they may be written.
pub(crate) fn steps(
    world: &World,
    commands: &Object,
    range: Range,
    declared: &BTreeMap<usize, bool>,
) -> Vec<Step> {
    let body = commands.body();
    let Body::Indirect(it) = &*body else {
        world.violation("indirect commands are expected");
        return Vec::new();
    };
    let it = lock(it);
    let Some(slots) = it.slots.get(range.location..range.location + range.length) else {
        world.violation(format!("commands up to {} of {}", range.length, it.slots.len()));
        return Vec::new();
    };
    let own = Arc::new(Ref::to(as_static(commands)));
    let mut steps = Vec::new();
    for slot in slots {
        if slot.barrier {
            steps.push(Step::Barrier);
        }
        match slot.launch(world, &own, declared) {
            Ok(launch) => steps.push(launch),
            Err(what) => world.violation(what),
        }
    }
    steps
}

impl Slot {
    fn launch(
        &self,
        world: &World,
        commands: &Arc<Ref>,
        declared: &BTreeMap<usize, bool>,
    ) -> Result<Step, String> {
        let kernel = self.kernel.clone().ok_or("an indirect command without a pipeline")?;
        let (grid, group, bounds) =
            self.dispatch.as_ref().ok_or("an indirect command without a dispatch")?;
        let mut places = vec![None; PLACES];
        for (&i, &(buffer, offset)) in &self.places {
            if let Body::Dead = *buffer.body() {
                return Err("an indirect command's buffer is released".into());
            }
            places[i] = Some(Place::Buffer(Arc::new(Ref::to(buffer)), offset));
        }
        let program = kernel.program();
        let mut absent = Vec::new();
        for (i, place) in places.iter().enumerate() {
            let Some(Place::Buffer(buffer, _)) = place else { continue };
            let known = program.buffers.get(i);
            let writes = known.is_some_and(|buffer| buffer.access != Access::Read);
            let may = declared.get(&ptr::from_ref::<Object>(buffer).addr());
            if may.is_none_or(|&write| writes && !write) {
                let name = known.map_or("its arguments", |buffer| buffer.name);
                absent.push((Arc::clone(buffer), format!("{}: {name}", program.name)));
            }
        }
        let mut launch = encoder::launch(world, kernel, &places, grid, group, bounds.clone())?;
        launch.indirect = Some(Indirectly { commands: Arc::clone(commands), absent });
        Ok(Step::Launch(launch))
    }
}

/// Changes a command.
fn change(this: &Object, what: impl FnOnce(&mut Slot, usize)) {
    let body = this.body();
    let Body::IndirectCommand(Command { commands, i }) = &*body else { return };
    if this.world().running.load(Relaxed) != 0 {
        this.world().violation("an indirect command is changed while the GPU works");
    }
    if let Body::Indirect(commands) = &*commands.body() {
        let mut commands = lock(commands);
        let places = commands.places;
        if let Some(slot) = commands.slots.get_mut(*i) {
            what(slot, places);
        }
    }
}

pub(crate) fn of_class(class: &str, name: &str) -> Option<Method> {
    match (class, name) {
        ("MTLIndirectCommandBufferDescriptor", "new") => method!(|_class| -> *const Object {
            Ref::new(&World::current(), Body::IndirectDescriptor(Mutex::default())).into_raw()
        }),
        _ => None,
    }
}

/// Runs on the settings of a descriptor.
macro_rules! set {
    (|$it:ident, $value:ident: $type:ty| $body:expr) => {
        method!(|this, $value: $type| {
            if let Body::IndirectDescriptor(settings) = &*this.body() {
                let mut $it = lock(settings);
                $body;
            }
        })
    };
}

pub(crate) fn of_object(body: &Body, name: &str) -> Option<Method> {
    match body {
        Body::IndirectDescriptor(_) => of_descriptor(name),
        Body::IndirectCommand(_) => of_command(name),
        Body::Device
            if name == "newIndirectCommandBufferWithDescriptor:maxCommandCount:options:" =>
        {
            method!(|this,
                     layout: &'static Object,
                     count: usize,
                     _options: usize|
             -> *const Object {
                let (world, body) = (this.world(), layout.body());
                let Body::IndirectDescriptor(layout) = &*body else { return ptr::null() };
                let layout = lock(layout);
                let whole = layout.types == CONCURRENT_DISPATCH
                    && !layout.inherits
                    && !layout.inherits_pipeline
                    && layout.places <= PLACES;
                if !whole || count == 0 || count > MOST {
                    world.violation(format!("{count} indirect commands that cannot be"));
                    return ptr::null();
                }
                let slots = (0..count).map(|_| Slot::default()).collect();
                let commands = Commands { slots, places: layout.places };
                Ref::new(world, Body::Indirect(Mutex::new(commands))).into_raw()
            })
        }
        Body::Indirect(_) if name == "indirectComputeCommandAtIndex:" => {
            method!(|this, i: usize| -> *const Object {
                let there = matches!(&*this.body(), Body::Indirect(it) if i < lock(it).slots.len());
                if !there {
                    this.world().violation(format!("indirect command {i}"));
                    return ptr::null();
                }
                let command = Command { commands: Ref::to(this), i };
                autoreleased(Ref::new(this.world(), Body::IndirectCommand(command)))
            })
        }
        _ => None,
    }
}

fn of_descriptor(name: &str) -> Option<Method> {
    match name {
        "setCommandTypes:" => set!(|it, types: usize| it.types = types),
        "setInheritBuffers:" => set!(|it, inherits: bool| it.inherits = inherits),
        "setInheritPipelineState:" => set!(|it, inherits: bool| it.inherits_pipeline = inherits),
        "setMaxKernelBufferBindCount:" => set!(|it, places: usize| it.places = places),
        _ => None,
    }
}

fn of_command(name: &str) -> Option<Method> {
    match name {
        "setComputePipelineState:" => method!(|this, pipeline: &'static Object| {
            change(this, |slot, _| match &*pipeline.body() {
                Body::Pipeline(kernel, true) => slot.kernel = Some(Arc::clone(kernel)),
                _ => this.world().violation("a pipeline that is none for indirect commands"),
            });
        }),
        "setKernelBuffer:offset:atIndex:" => {
            method!(|this, buffer: &'static Object, offset: usize, i: usize| {
                change(this, |slot, places| {
                    let len = match &*buffer.body() {
                        Body::Memory(memory) => memory.len(),
                        _ => 0,
                    };
                    if i >= places || offset >= len || !offset.is_multiple_of(16) {
                        let what = format!("place {i} of {places}: {offset} of {len} bytes");
                        return this.world().violation(what);
                    }
                    slot.places.insert(i, (buffer, offset));
                });
            })
        }
        "setBarrier" => method!(|this| {
            change(this, |slot, _| slot.barrier = true);
        }),
        "concurrentDispatchThreadgroups:threadsPerThreadgroup:" => {
            method!(|this, grid: Size, group: Size| {
                let bounds = this.world().take_bounds();
                change(this, |slot, _| slot.dispatch = Some((grid, group, bounds)));
            })
        }
        _ => None,
    }
}
