//! Objects, their references, and the classes that make some of them.

use std::{
    ops::Deref,
    path::PathBuf,
    ptr,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicIsize, Ordering::SeqCst},
    },
};

use tessera_tile::sim::Kernel;

use crate::{
    commands::CommandBuffer,
    compiler::{Archive, Descriptor, Library, Options},
    encoder::Encoder,
    event::Event,
    gpu::Memory,
    indirect::{Command, Commands, Layout},
    residency::Set,
    world::World,
};

/// What an object is.
pub enum Body {
    /// Released.
    Dead,
    Allocated,
    Text(std::ffi::CString),
    Array(Vec<Ref>),
    Url(PathBuf),
    Data(Vec<u8>),
    Files,
    Process,
    Error {
        code: isize,
        text: String,
    },
    Device,
    /// With the residency sets that its command buffers rely on.
    Queue(Mutex<Vec<Ref>>),
    SetDescriptor,
    Set(Mutex<Set>),
    Event(Mutex<Event>),
    IndirectDescriptor(Mutex<Layout>),
    Indirect(Mutex<Commands>),
    IndirectCommand(Command),
    Options(Mutex<Options>),
    Library(Library),
    Function(Arc<Kernel>),
    Descriptor(Mutex<Descriptor>),
    /// And whether it may be used in indirect commands.
    Pipeline(Arc<Kernel>, bool),
    ArchiveDescriptor(Mutex<Option<PathBuf>>),
    Archive(Mutex<Archive>),
    Memory(Memory),
    Commands(Mutex<CommandBuffer>),
    Encoder(Mutex<Encoder>),
}

/// A class, or the class of classes.
#[repr(C)]
pub struct Class {
    isa: *const Class,
    /// Its name in messages to it.
    pub name: &'static str,
}

impl Class {
    /// A class that nobody sends messages to.
    pub const fn named(name: &'static str) -> Self {
        Self { isa: &raw const META, name }
    }
}

// SAFETY: classes are constants
unsafe impl Sync for Class {}

/// The class of classes.
pub static META: Class = Class { isa: ptr::null(), name: "(classes)" };

/// The class of all that is not asked for its own.
pub static ANY: Class = Class { isa: &raw const META, name: "(objects)" };

macro_rules! classes {
    ($($constant:ident $name:literal $symbol:literal),* $(,)?) => {
        $(
            #[doc(hidden)]
            // SAFETY: the name is GNUstep's for the class, which no other library here defines
            #[unsafe(export_name = $symbol)]
            pub static $constant: Class = Class { isa: &raw const META, name: $name };
        )*
    };
}

classes! {
    STRING "NSString" "._OBJC_CLASS_NSString",
    ARRAY "NSArray" "._OBJC_CLASS_NSArray",
    URL "NSURL" "._OBJC_CLASS_NSURL",
    FILES "NSFileManager" "._OBJC_CLASS_NSFileManager",
    PROCESS "NSProcessInfo" "._OBJC_CLASS_NSProcessInfo",
    OPTIONS "MTLCompileOptions" "._OBJC_CLASS_MTLCompileOptions",
    DESCRIPTOR "MTLComputePipelineDescriptor" "._OBJC_CLASS_MTLComputePipelineDescriptor",
    SET "MTLResidencySetDescriptor" "._OBJC_CLASS_MTLResidencySetDescriptor",
    INDIRECT "MTLIndirectCommandBufferDescriptor" "._OBJC_CLASS_MTLIndirectCommandBufferDescriptor",
    ARCHIVE "MTLBinaryArchiveDescriptor" "._OBJC_CLASS_MTLBinaryArchiveDescriptor",
}

/// An object. Its memory is never given back, so that messages to released ones are noticed.
#[repr(C)]
pub struct Object {
    isa: *const Class,
    count: AtomicIsize,
    world: Arc<World>,
    body: RwLock<Arc<Body>>,
}

// SAFETY: all but `isa`, which is a constant, is made to be shared
unsafe impl Sync for Object {}
// SAFETY: as above
unsafe impl Send for Object {}

impl Object {
    /// What it is now.
    pub fn body(&self) -> Arc<Body> {
        Arc::clone(&self.body.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes it something else, as `init` does.
    pub fn become_(&self, body: Body) {
        let mut own = self.body.write().unwrap_or_else(PoisonError::into_inner);
        let gone = std::mem::replace(&mut *own, Arc::new(body));
        drop(own);
        // what it was may reach for other objects as it goes
        drop(gone);
    }

    pub fn world(&self) -> &Arc<World> {
        &self.world
    }

    pub fn is_class(&self) -> bool {
        ptr::eq(self.isa, &META)
    }

    /// References there are.
    pub fn count(&self) -> isize {
        self.count.load(SeqCst)
    }

    pub fn retain(&self) {
        if self.count.fetch_add(1, SeqCst) < 1 {
            self.world.violation("a released object is retained");
        }
    }

    pub fn release(&self) {
        match self.count.fetch_sub(1, SeqCst) {
            1 => {
                self.world.live.fetch_sub(1, SeqCst);
                self.become_(Body::Dead);
            }
            n if n < 1 => self.world.violation("an object is released once too often"),
            _ => {}
        }
    }
}

/// An owned reference.
pub struct Ref(&'static Object);

impl Ref {
    /// A new object.
    pub fn new(world: &Arc<World>, body: Body) -> Self {
        world.live.fetch_add(1, SeqCst);
        Self(Box::leak(Box::new(Object {
            isa: &raw const ANY,
            count: AtomicIsize::new(1),
            world: Arc::clone(world),
            body: RwLock::new(Arc::new(body)),
        })))
    }

    /// One more reference.
    pub fn to(object: &'static Object) -> Self {
        object.retain();
        Self(object)
    }

    /// The object, its reference now someone else's.
    pub fn into_raw(self) -> *const Object {
        let object = self.0;
        std::mem::forget(self);
        object
    }
}

impl Deref for Ref {
    type Target = Object;

    fn deref(&self) -> &Object {
        self.0
    }
}

impl Drop for Ref {
    fn drop(&mut self) {
        self.0.release();
    }
}
