//! Blocks: functions with what they have captured, by the blocks' ABI.

use std::{
    alloc::{Layout, alloc, dealloc},
    ffi::c_void,
    ptr,
    sync::atomic::{AtomicI32, Ordering::SeqCst},
};

use crate::object::Class;

/// What every block begins with.
#[repr(C)]
struct Head {
    isa: *const Class,
    flags: AtomicI32,
    reserved: i32,
    invoke: *const c_void,
    descriptor: *const Descriptor,
}

#[repr(C)]
struct Descriptor {
    reserved: usize,
    size: usize,
    /// There if the flags say so.
    copy: extern "C-unwind" fn(*mut c_void, *const c_void),
    dispose: extern "C-unwind" fn(*mut c_void),
}

/// On the heap, with a count of references in the lowest bits, by twos.
const NEEDS_FREE: i32 = 1 << 24;
const HAS_COPY_DISPOSE: i32 = 1 << 25;
const IS_GLOBAL: i32 = 1 << 28;
const COUNT: i32 = 0xffff;

#[unsafe(no_mangle)]
static _NSConcreteStackBlock: Class = Class::named("(blocks)");
#[unsafe(no_mangle)]
static _NSConcreteGlobalBlock: Class = Class::named("(blocks)");

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 16).expect("a block is small")
}

#[unsafe(no_mangle)]
extern "C-unwind" fn _Block_copy(block: *const c_void) -> *mut c_void {
    // SAFETY: the caller gives a block
    let head = unsafe { &*block.cast::<Head>() };
    let flags = head.flags.load(SeqCst);
    if flags & NEEDS_FREE != 0 {
        head.flags.fetch_add(2, SeqCst);
        return block.cast_mut();
    }
    if flags & IS_GLOBAL != 0 {
        return block.cast_mut();
    }
    // SAFETY: a block has a descriptor, which tells its size
    unsafe {
        let descriptor = &*head.descriptor;
        let new = alloc(layout(descriptor.size));
        ptr::copy_nonoverlapping(block.cast::<u8>(), new, descriptor.size);
        let own = &*new.cast::<Head>();
        own.flags.store(flags & !COUNT | NEEDS_FREE | 2, SeqCst);
        if flags & HAS_COPY_DISPOSE != 0 {
            (descriptor.copy)(new.cast(), block);
        }
        new.cast()
    }
}

#[unsafe(no_mangle)]
extern "C-unwind" fn _Block_release(block: *const c_void) {
    // SAFETY: the caller gives a block that it holds
    let head = unsafe { &*block.cast::<Head>() };
    let flags = head.flags.load(SeqCst);
    if flags & NEEDS_FREE == 0 {
        return;
    }
    if head.flags.fetch_sub(2, SeqCst) & COUNT == 2 {
        // SAFETY: it was the last reference to what `_Block_copy` made
        unsafe {
            let descriptor = &*head.descriptor;
            if flags & HAS_COPY_DISPOSE != 0 {
                (descriptor.dispose)(block.cast_mut());
            }
            dealloc(block.cast_mut().cast(), layout(descriptor.size));
        }
    }
}

/// A block that takes memory back.
pub struct Release(*mut c_void);

// SAFETY: its maker promises that it may be called anywhere
unsafe impl Send for Release {}
// SAFETY: as above
unsafe impl Sync for Release {}

impl Release {
    /// Keeps a block, if there is one.
    pub fn of(block: *const c_void) -> Option<Self> {
        (!block.is_null()).then(|| Self(_Block_copy(block)))
    }

    /// Calls it, once.
    pub fn call(self, first: *mut u8, bytes: usize) {
        // SAFETY: a block of a buffer's deallocator has this type
        unsafe {
            let head = &*self.0.cast::<Head>();
            let invoke: extern "C-unwind" fn(*const c_void, *mut u8, usize) =
                std::mem::transmute(head.invoke);
            invoke(self.0, first, bytes);
        }
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        _Block_release(self.0);
    }
}
