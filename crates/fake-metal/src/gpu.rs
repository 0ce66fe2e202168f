//! The GPU itself and its memory.

use std::{
    alloc::{Layout, alloc_zeroed, dealloc},
    ffi::c_void,
    ptr, slice,
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
};

use crate::{
    block::Release,
    commands::CommandBuffer,
    foundation::text,
    object::{Body, Object, Ref},
    runtime::{Method, Selector, autoreleased, method},
    world::{World, lock},
};

/// Shared memory of a buffer, which both sides reach by pointers.
pub struct Memory {
    first: *mut u8,
    layout: Layout,
    world: Arc<World>,
    /// Of memory that is someone else's: what tells that it is no longer used.
    lent: Option<Mutex<Option<Release>>>,
}

// SAFETY: whoever uses the pointer sees to the order, as with a real buffer
unsafe impl Send for Memory {}
// SAFETY: as above
unsafe impl Sync for Memory {}

/// What memory begins at multiples of.
const PAGE: usize = 16 << 10;

impl Memory {
    fn new(world: &Arc<World>, bytes: usize) -> Option<Self> {
        let layout = Layout::from_size_align(bytes, PAGE).ok()?;
        let held = world.allocated.load(Relaxed) as usize;
        if bytes == 0 || bytes > world.settings.memory.saturating_sub(held) {
            return None;
        }
        // SAFETY: the size is not 0
        let first = unsafe { alloc_zeroed(layout) };
        world.allocated.fetch_add(bytes as isize, Relaxed);
        (!first.is_null()).then(|| Self { first, layout, world: Arc::clone(world), lent: None })
    }

    /// Memory of whole pages that is someone else's.
    fn lent(
        world: &Arc<World>,
        first: *mut u8,
        bytes: usize,
        block: *const c_void,
    ) -> Option<Self> {
        let page = NSPageSize();
        if bytes == 0 || !first.addr().is_multiple_of(page) || !bytes.is_multiple_of(page) {
            world.violation(format!("{bytes} bytes at {first:?}, which are not whole pages"));
            return None;
        }
        if bytes > world.settings.longest {
            world.violation("a buffer that is too long");
            return None;
        }
        let layout = Layout::from_size_align(bytes, page).ok()?;
        let lent = Some(Mutex::new(Release::of(block)));
        Some(Self { first, layout, world: Arc::clone(world), lent })
    }

    /// Whether it is someone else's, and may only be read.
    pub(crate) fn is_lent(&self) -> bool {
        self.lent.is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.layout.size()
    }

    /// What is there now.
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        // SAFETY: all of it was cleared when it was made; the host does not write at this moment, for it is in a message
        unsafe { slice::from_raw_parts(self.first, self.len()) }.to_vec()
    }

    /// Replaces all.
    pub(crate) fn set(&self, bytes: &[u8]) {
        assert_eq!(bytes.len(), self.len());
        // SAFETY: as above
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.first, bytes.len()) };
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Some(lent) = &self.lent {
            if let Some(release) = lock(lent).take() {
                self.world.unmapped.fetch_add(1, Relaxed);
                release.call(self.first, self.len());
            }
            return;
        }
        self.world.allocated.fetch_sub(self.len() as isize, Relaxed);
        // SAFETY: allocated so in `new`
        unsafe { dealloc(self.first, self.layout) };
    }
}

/// What the system's mappings are made of.
#[unsafe(no_mangle)]
extern "C-unwind" fn NSPageSize() -> usize {
    unsafe extern "C" {
        safe fn getpagesize() -> i32;
    }
    getpagesize() as usize
}

/// The only GPU there is.
#[unsafe(no_mangle)]
extern "C-unwind" fn MTLCreateSystemDefaultDevice() -> *const Object {
    let world = World::current();
    match world.settings.present {
        true => Ref::new(&world, Body::Device).into_raw(),
        false => ptr::null(),
    }
}

pub(crate) fn of_object(body: &Body, name: &str) -> Option<Method> {
    match (body, name) {
        (Body::Device, "name") => method!(|this| -> *const Object {
            autoreleased(text(this.world(), &format!("Fake {}", this.world().settings.family)))
        }),
        // families of Apple's are numbered from 1001
        (Body::Device, "supportsFamily:") => method!(|this, family: isize| -> bool {
            (1001..=1000 + this.world().settings.family).contains(&family)
        }),
        (Body::Device, "newCommandQueue") => {
            method!(|this| -> *const Object {
                Ref::new(this.world(), Body::Queue(Mutex::default())).into_raw()
            })
        }
        (Body::Device, "respondsToSelector:") => {
            method!(|this, selector: Selector| -> bool {
                // SAFETY: selectors are C strings that are kept for ever
                let name = unsafe { std::ffi::CStr::from_ptr(selector) };
                let sets = name == c"newResidencySetWithDescriptor:error:";
                !sets || this.world().settings.macos >= 15
            })
        }
        (Body::Device, "maxThreadgroupMemoryLength") => {
            method!(|this| -> usize { this.world().settings.shared })
        }
        (Body::Device, "maxBufferLength") => {
            method!(|this| -> usize {
                this.world().settings.longest.min(this.world().settings.memory)
            })
        }
        (Body::Device, "recommendedMaxWorkingSetSize") => {
            method!(|this| -> u64 { this.world().settings.memory as u64 })
        }
        (Body::Device, "currentAllocatedSize") => {
            method!(|this| -> usize { this.world().allocated.load(Relaxed).unsigned_abs() })
        }
        (Body::Device, "newBufferWithLength:options:") => {
            method!(|this, bytes: usize, options: usize| -> *const Object {
                // `MTLResourceHazardTrackingModeUntracked` alone is as good as nothing here, where nothing is tracked
                if options & !(1 << 8) != 0 {
                    this.world().violation("memory that is not shared");
                }
                Memory::new(this.world(), bytes).map_or(ptr::null(), |memory| {
                    Ref::new(this.world(), Body::Memory(memory)).into_raw()
                })
            })
        }
        (Body::Device, "newBufferWithBytesNoCopy:length:options:deallocator:") => {
            method!(|this,
                     first: *mut u8,
                     bytes: usize,
                     options: usize,
                     block: *const c_void|
             -> *const Object {
                if options & !(1 << 8) != 0 {
                    this.world().violation("memory that is not shared");
                }
                Memory::lent(this.world(), first, bytes, block).map_or(ptr::null(), |memory| {
                    Ref::new(this.world(), Body::Memory(memory)).into_raw()
                })
            })
        }
        (Body::Memory(_), "length") => method!(|this| -> usize {
            match &*this.body() {
                Body::Memory(memory) => memory.len(),
                _ => 0,
            }
        }),
        (Body::Memory(_), "contents") => method!(|this| -> *mut u8 {
            match &*this.body() {
                Body::Memory(memory) => memory.first,
                _ => ptr::null_mut(),
            }
        }),
        (Body::Queue(_), "commandBuffer") => method!(|this| -> *const Object {
            let commands = CommandBuffer::of(Ref::to(this));
            autoreleased(Ref::new(this.world(), Body::Commands(Mutex::new(commands))))
        }),
        _ => None,
    }
}
