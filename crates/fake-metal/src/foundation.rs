//! The part of Foundation that is used: strings, arrays, errors, URLs, where the caches are.

use std::{
    ffi::{CString, c_char},
    path::Path,
    ptr, slice,
    sync::Arc,
};

use crate::{
    object::{Body, Object, Ref},
    runtime::{Method, autoreleased, method},
    world::World,
};

/// A new string.
pub(crate) fn text(world: &Arc<World>, text: &str) -> Ref {
    let text = CString::new(text).unwrap_or_default();
    Ref::new(world, Body::Text(text))
}

/// What a string says.
pub(crate) fn read(object: &Object) -> String {
    match &*object.body() {
        Body::Text(text) => text.to_string_lossy().into_owned(),
        _ => {
            object.world().violation("a string is expected");
            String::new()
        }
    }
}

/// Where an URL points.
pub(crate) fn path(object: &Object) -> Option<std::path::PathBuf> {
    match &*object.body() {
        Body::Url(path) => Some(path.clone()),
        _ => {
            object.world().violation("an URL is expected");
            None
        }
    }
}

/// Tells an error where the caller wants it.
pub(crate) fn fail(world: &Arc<World>, to: *mut *const Object, code: isize, text: &str) {
    if !to.is_null() {
        let error = Ref::new(world, Body::Error { code, text: text.into() });
        // SAFETY: the caller gives room for a pointer
        unsafe { *to = autoreleased(error) };
    }
}

/// Bytes as an object; the destructor is always the one that says they are copied.
#[unsafe(no_mangle)]
extern "C-unwind" fn dispatch_data_create(
    bytes: *const u8,
    len: usize,
    _queue: usize,
    destructor: usize,
) -> *const Object {
    let world = World::current();
    if destructor != 0 {
        world.violation("data that is not copied");
    }
    // SAFETY: the caller says that they are there
    let bytes = unsafe { slice::from_raw_parts(bytes, len) };
    Ref::new(&world, Body::Data(bytes.to_vec())).into_raw()
}

#[unsafe(no_mangle)]
extern "C-unwind" fn dispatch_release(object: &'static Object) {
    object.release();
}

pub(crate) fn of_class(class: &str, name: &str) -> Option<Method> {
    match (class, name) {
        ("NSString" | "NSArray", "alloc") => method!(|_class| -> *const Object {
            Ref::new(&World::current(), Body::Allocated).into_raw()
        }),
        ("NSURL", "fileURLWithPath:") => {
            method!(|_class, path: &'static Object| -> *const Object {
                let path = Path::new(&read(path)).to_path_buf();
                autoreleased(Ref::new(&World::current(), Body::Url(path)))
            })
        }
        ("NSFileManager", "defaultManager") => method!(|_class| -> *const Object {
            autoreleased(Ref::new(&World::current(), Body::Files))
        }),
        ("NSProcessInfo", "processInfo") => method!(|_class| -> *const Object {
            autoreleased(Ref::new(&World::current(), Body::Process))
        }),
        _ => None,
    }
}

pub(crate) fn of_object(body: &Body, name: &str) -> Option<Method> {
    match (body, name) {
        (Body::Allocated, "initWithBytes:length:encoding:") => {
            method!(|this, bytes: *const u8, len: usize, _encoding: i32| -> *const Object {
                // SAFETY: the caller says that they are there
                let bytes = unsafe { slice::from_raw_parts(bytes, len) };
                this.become_(Body::Text(CString::new(bytes).unwrap_or_default()));
                this
            })
        }
        (Body::Allocated, "initWithObjects:count:") => {
            method!(|this, objects: *const &'static Object, len: usize| -> *const Object {
                // SAFETY: the caller says that they are there
                let objects = unsafe { slice::from_raw_parts(objects, len) };
                this.become_(Body::Array(objects.iter().map(|object| Ref::to(object)).collect()));
                this
            })
        }
        (Body::Text(_), "UTF8String") => method!(|this| -> *const c_char {
            match &*this.body() {
                // the text stays where it is as long as the string lives
                Body::Text(text) => text.as_ptr(),
                _ => ptr::null(),
            }
        }),
        (Body::Text(_), "lengthOfBytesUsingEncoding:") => {
            method!(|this, _encoding: i32| -> usize {
                match &*this.body() {
                    Body::Text(text) => text.count_bytes(),
                    _ => 0,
                }
            })
        }
        (Body::Array(_), "firstObject") => method!(|this| -> *const Object {
            match &*this.body() {
                Body::Array(objects) => objects
                    .first()
                    .map_or(ptr::null(), |first| autoreleased(Ref::to(as_static(first)))),
                _ => ptr::null(),
            }
        }),
        (Body::Url(_), "path") => method!(|this| -> *const Object {
            let path = path(this).unwrap_or_default();
            autoreleased(text(this.world(), &path.to_string_lossy()))
        }),
        (Body::Files, "URLsForDirectory:inDomains:") => {
            method!(|this, directory: usize, domains: usize| -> *const Object {
                let world = this.world();
                // the user's caches, by the numbers of NSPathUtilities.h
                let urls = match (directory, domains) {
                    (13, 1) => vec![Ref::new(world, Body::Url(world.settings.caches.clone()))],
                    _ => Vec::new(),
                };
                autoreleased(Ref::new(world, Body::Array(urls)))
            })
        }
        (Body::Process, "operatingSystemVersionString") => method!(|this| -> *const Object {
            let version = format!("Version {}.1 (Build 0)", this.world().settings.macos);
            autoreleased(text(this.world(), &version))
        }),
        (Body::Error { .. }, "localizedDescription") => method!(|this| -> *const Object {
            let body = this.body();
            let Body::Error { text: said, .. } = &*body else { return ptr::null() };
            autoreleased(text(this.world(), said))
        }),
        (Body::Error { .. }, "domain") => {
            method!(|this| -> *const Object { autoreleased(text(this.world(), "FakeMetalDomain")) })
        }
        (Body::Error { .. }, "code") => method!(|this| -> isize {
            match *this.body() {
                Body::Error { code, .. } => code,
                _ => 0,
            }
        }),
        _ => None,
    }
}

/// An object for longer than its reference: nothing frees an object's memory.
pub(crate) fn as_static(object: &Object) -> &'static Object {
    // SAFETY: objects are leaked when they are made
    unsafe { &*ptr::from_ref(object) }
}
