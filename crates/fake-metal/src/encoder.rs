//! Compute encoders: what may be bound and dispatched.

use std::{
    collections::BTreeMap,
    ptr,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use tessera_tile::{ir::Access, sim::Kernel};

use crate::{
    commands,
    execute::{Launch, Step},
    foundation::as_static,
    indirect::{self, Range},
    object::{Body, Object, Ref},
    runtime::{Method, method},
    world::{World, lock},
};

/// `MTLDispatchTypeConcurrent`
const CONCURRENT: usize = 1;

/// Places for buffers.
pub const PLACES: usize = 31;

/// What a constant buffer's offset is a multiple of.
const CONSTANT: usize = 256;

/// What is bound to a place.
#[derive(Clone)]
pub enum Place {
    /// A buffer from an offset on.
    Buffer(Arc<Ref>, usize),
    /// Bytes of its own.
    Bytes(Arc<[u8]>),
}

/// A compute encoder.
pub struct Encoder {
    commands: Ref,
    concurrent: bool,
    steps: Vec<Step>,
    kernel: Option<Arc<Kernel>>,
    places: Vec<Option<Place>>,
    ended: bool,
    /// What was declared for indirect commands, and whether they may write to it.
    declared: BTreeMap<usize, bool>,
}

/// A size of three dimensions.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Size {
    width: usize,
    height: usize,
    depth: usize,
}

impl Encoder {
    /// One for a command buffer.
    pub fn new(commands: Ref, kind: usize) -> Self {
        Self {
            commands,
            concurrent: kind == CONCURRENT,
            steps: Vec::new(),
            kernel: None,
            places: vec![None; PLACES],
            ended: false,
            declared: BTreeMap::new(),
        }
    }

    fn place(&mut self, world: &World, i: usize, place: Place) {
        match self.places.get_mut(i) {
            Some(free) => *free = Some(place),
            None => world.violation(format!("place {i} of {PLACES} for buffers")),
        }
    }

    /// A dispatch with what is bound now, or what is wrong with it.
    fn launch(&self, world: &World, grid: &Size, group: &Size) -> Result<Launch, String> {
        let kernel = self.kernel.clone().ok_or("a dispatch without a pipeline")?;
        launch(world, kernel, &self.places, grid, group, world.take_bounds())
    }
}

/// A dispatch of a kernel with what is bound to places, of which it may touch `known` bytes, or what is wrong with it.
pub(crate) fn launch(
    world: &World,
    kernel: Arc<Kernel>,
    places: &[Option<Place>],
    grid: &Size,
    group: &Size,
    known: Option<Vec<usize>>,
) -> Result<Launch, String> {
    let program = kernel.program();
    let name = &program.name;
    let threads = group.width * group.height * group.depth;
    if threads != program.threads as usize || threads > world.settings.threads {
        return Err(format!("{name}: {threads} threads, it has {}", program.threads));
    }
    let grid = [grid.width, grid.height, grid.depth].map(|n| n as u32);
    if grid.contains(&0) {
        return Err(format!("{name}: a grid of {grid:?}"));
    }
    let mut buffers = Vec::new();
    for (i, buffer) in program.buffers.iter().enumerate() {
        let Some(Place::Buffer(memory, offset)) = &places[i] else {
            return Err(format!("{name}: no buffer is bound for {}", buffer.name));
        };
        let Body::Memory(of) = &*memory.body() else {
            return Err(format!("{name}: {} is released", buffer.name));
        };
        if of.is_lent() && buffer.access != Access::Read {
            return Err(format!("{name}: {} is written, and its memory is lent", buffer.name));
        }
        let rest = of.len() - offset;
        let bytes = known.as_ref().map_or(rest, |bytes| bytes[i].min(rest));
        buffers.push((Arc::clone(memory), *offset, bytes));
    }
    let mut args = Vec::new();
    if !program.fields.is_empty() {
        let bytes: Arc<[u8]> = match &places[program.buffers.len()] {
            Some(Place::Bytes(bytes)) => Arc::clone(bytes),
            Some(Place::Buffer(memory, offset)) => match &*memory.body() {
                Body::Memory(of) if offset.is_multiple_of(CONSTANT) => {
                    let end = of.len().min(offset + program.fields.len() * 4);
                    of.to_vec()[*offset..end].into()
                }
                _ => return Err(format!("{name}: an argument struct at {offset}")),
            },
            None => return Err(format!("{name}: no argument struct")),
        };
        if bytes.len() != program.fields.len() * 4 {
            return Err(format!("{name}: an argument struct of {} bytes", bytes.len()));
        }
        args.extend(bytes.as_chunks::<4>().0.iter().map(|&word| u32::from_le_bytes(word)));
    }
    Ok(Launch { kernel, buffers, args, grid, indirect: None })
}

/// Does something with an encoder that is not ended.
fn encode(this: &Object, what: &str, work: impl FnOnce(&mut Encoder)) {
    if let Body::Encoder(encoder) = &*this.body() {
        let mut encoder = lock(encoder);
        match encoder.ended {
            true => this.world().violation(format!("{what} after endEncoding")),
            false => work(&mut encoder),
        }
    }
}

pub(crate) fn of_object(body: &Body, name: &str) -> Option<Method> {
    match body {
        Body::Encoder(_) => of_encoder(name),
        _ => None,
    }
}

fn of_encoder(name: &str) -> Option<Method> {
    match name {
        "setComputePipelineState:" => method!(|this, pipeline: &'static Object| {
            encode(this, "a pipeline", |encoder| match &*pipeline.body() {
                Body::Pipeline(kernel, _) => encoder.kernel = Some(Arc::clone(kernel)),
                _ => this.world().violation("a pipeline is expected"),
            });
        }),
        "setBuffer:offset:atIndex:" => {
            method!(|this, buffer: &'static Object, offset: usize, i: usize| {
                encode(this, "a buffer", |encoder| {
                    let body = buffer.body();
                    let Body::Memory(memory) = &*body else {
                        return this.world().violation("a buffer is expected");
                    };
                    if offset >= memory.len() || !offset.is_multiple_of(16) {
                        let what = format!("an offset of {offset} of {} bytes", memory.len());
                        return this.world().violation(what);
                    }
                    let buffer = Arc::new(Ref::to(as_static(buffer)));
                    encoder.place(this.world(), i, Place::Buffer(buffer, offset));
                });
            })
        }
        "setBytes:length:atIndex:" => {
            method!(|this, bytes: *const u8, len: usize, i: usize| {
                encode(this, "bytes", |encoder| {
                    if len == 0 || len > 4096 || !len.is_multiple_of(4) {
                        return this.world().violation(format!("setBytes of {len} bytes"));
                    }
                    // SAFETY: the caller says that they are there
                    let bytes = unsafe { std::slice::from_raw_parts(bytes, len) };
                    encoder.place(this.world(), i, Place::Bytes(bytes.into()));
                });
            })
        }
        "memoryBarrierWithScope:" => method!(|this, scope: usize| {
            encode(this, "a barrier", |encoder| match scope & 1 {
                // `MTLBarrierScopeBuffers`
                1 => encoder.steps.push(Step::Barrier),
                _ => this.world().violation("a barrier that is none for buffers"),
            });
        }),
        "dispatchThreadgroups:threadsPerThreadgroup:" => {
            method!(|this, grid: Size, group: Size| {
                encode(this, "a dispatch", |encoder| {
                    match encoder.launch(this.world(), &grid, &group) {
                        Ok(launch) => encoder.steps.push(Step::Launch(launch)),
                        Err(what) => return this.world().violation(what),
                    }
                    if !encoder.concurrent {
                        encoder.steps.push(Step::Barrier);
                    }
                });
            })
        }
        "useResource:usage:" => method!(|this, resource: &'static Object, usage: usize| {
            // `MTLResourceUsageWrite` is 2
            encode(this, "a declaration", |encoder| {
                *encoder.declared.entry(ptr::from_ref(resource).addr()).or_default() |=
                    usage & 2 != 0;
            });
        }),
        "executeCommandsInBuffer:withRange:" => {
            method!(|this, commands: &'static Object, range: Range| {
                encode(this, "an execution", |encoder| {
                    let steps = indirect::steps(this.world(), commands, range, &encoder.declared);
                    encoder.steps.extend(steps);
                    this.world().indirect.fetch_add(1, Relaxed);
                });
            })
        }
        "endEncoding" => method!(|this| {
            encode(this, "endEncoding", |encoder| {
                encoder.ended = true;
                let steps = std::mem::take(&mut encoder.steps);
                commands::take(&encoder.commands, steps);
            });
        }),
        _ => None,
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        if !self.ended {
            self.commands.world().violation("an encoder is released before endEncoding");
        }
    }
}
