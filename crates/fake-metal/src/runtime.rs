//! The Objective-C runtime: what objc2 links to.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    ffi::{CStr, CString, c_char, c_void},
    ptr,
    sync::Mutex,
};

use crate::{
    commands, compiler, encoder, event, foundation, gpu, indirect,
    object::{ANY, Body, Class, META, Object, Ref},
    residency,
    world::{World, lock},
};

/// A selector: its name, always the same pointer.
pub type Selector = *const c_char;

/// A method's function, of whatever type its selector says.
pub type Method = *const c_void;

/// A method: a function of the receiver, an unused selector and the arguments.
macro_rules! method {
    (|$this:ident $(, $argument:ident: $type:ty)*| $(-> $result:ty)? $body:block) => {{
        extern "C-unwind" fn function(
            this: &'static $crate::object::Object,
            _: $crate::runtime::Selector,
            $($argument: $type),*
        ) $(-> $result)? {
            let $this = this;
            $body
        }
        Some(function as *const () as $crate::runtime::Method)
    }};
}
pub(crate) use method;

/// Gives an object to the innermost pool, which is how most methods return one.
pub(crate) fn autoreleased(object: Ref) -> *const Object {
    POOLS.with_borrow_mut(|pools| match pools.last_mut() {
        Some(pool) => {
            pool.push(object);
            ptr::from_ref::<Object>(&pool[pool.len() - 1])
        }
        None => {
            object.world().violation("an object outside of every autorelease pool");
            object.into_raw()
        }
    })
}

thread_local! {
    static POOLS: RefCell<Vec<Vec<Ref>>> = const { RefCell::new(Vec::new()) };
}

static SELECTORS: Mutex<BTreeSet<CString>> = Mutex::new(BTreeSet::new());

#[unsafe(no_mangle)]
extern "C-unwind" fn sel_registerName(name: *const c_char) -> Selector {
    // SAFETY: the caller gives a C string
    let name = unsafe { CStr::from_ptr(name) };
    let mut selectors = lock(&SELECTORS);
    if let Some(known) = selectors.get(name) {
        return known.as_ptr();
    }
    let name = name.to_owned();
    // the text of a string stays where it is when the string moves
    let selector = name.as_ptr();
    selectors.insert(name);
    selector
}

#[unsafe(no_mangle)]
extern "C-unwind" fn objc_msg_lookup(receiver: &'static Object, selector: Selector) -> Method {
    // SAFETY: selectors are C strings that are kept for ever
    let name = unsafe { CStr::from_ptr(selector) }.to_str().unwrap_or_default();
    if receiver.is_class() {
        // SAFETY: what says that it is a class is one
        let class = unsafe { &*ptr::from_ref(receiver).cast::<Class>() };
        let method = foundation::of_class(class.name, name);
        let method = method
            .or_else(|| compiler::of_class(class.name, name))
            .or_else(|| residency::of_class(class.name, name))
            .or_else(|| indirect::of_class(class.name, name));
        return method.unwrap_or_else(|| {
            World::current().violation(format!("+[{} {name}] is not there", class.name));
            nothing()
        });
    }
    let body = receiver.body();
    if let Body::Dead = *body {
        receiver.world().violation(format!("{name} is sent to a released object"));
        return nothing();
    }
    if receiver.world().settings.deaf == Some(name) && !matches!(*body, Body::Commands(_)) {
        return nothing();
    }
    let found = foundation::of_object(&body, name)
        .or_else(|| compiler::of_object(&body, name))
        .or_else(|| gpu::of_object(&body, name))
        .or_else(|| residency::of_object(&body, name))
        .or_else(|| event::of_object(&body, name))
        .or_else(|| indirect::of_object(&body, name))
        .or_else(|| encoder::of_object(&body, name))
        .or_else(|| commands::of_object(&body, name));
    found.unwrap_or_else(|| {
        receiver.world().violation(format!("{name} is not there"));
        nothing()
    })
}

/// A method that gives nil, zero or false.
fn nothing() -> Method {
    extern "C-unwind" fn nothing() -> usize {
        0
    }
    nothing as *const () as Method
}

#[unsafe(no_mangle)]
extern "C-unwind" fn objc_retain(object: Option<&'static Object>) -> *const Object {
    match object {
        Some(object) => {
            object.retain();
            object
        }
        None => ptr::null(),
    }
}

#[unsafe(no_mangle)]
extern "C-unwind" fn objc_release(object: Option<&'static Object>) {
    if let Some(object) = object {
        object.release();
    }
}

#[unsafe(no_mangle)]
extern "C-unwind" fn objc_retainAutoreleasedReturnValue(
    object: Option<&'static Object>,
) -> *const Object {
    objc_retain(object)
}

#[unsafe(no_mangle)]
extern "C-unwind" fn objc_autoreleasePoolPush() -> usize {
    POOLS.with_borrow_mut(|pools| {
        pools.push(Vec::new());
        pools.len()
    })
}

#[unsafe(no_mangle)]
extern "C-unwind" fn objc_autoreleasePoolPop(pool: usize) {
    // what is released here may use pools itself
    let gone = POOLS.with_borrow_mut(|pools| pools.split_off(pool - 1));
    drop(gone);
}

#[unsafe(no_mangle)]
extern "C-unwind" fn object_getClass(object: &'static Object) -> *const Class {
    if object.is_class() { &raw const META } else { &raw const ANY }
}

// What follows is only for objc2's own messages.

#[unsafe(no_mangle)]
extern "C-unwind" fn sel_getName(selector: Selector) -> *const c_char {
    selector
}

#[unsafe(no_mangle)]
extern "C-unwind" fn class_getName(class: *const Class) -> *const c_char {
    if ptr::eq(class, &raw const ANY) { c"an object".as_ptr() } else { c"a class".as_ptr() }
}

#[unsafe(no_mangle)]
extern "C-unwind" fn class_isMetaClass(class: *const Class) -> bool {
    ptr::eq(class, &raw const META)
}

#[unsafe(no_mangle)]
extern "C-unwind" fn sel_isEqual(a: Selector, b: Selector) -> bool {
    ptr::eq(a, b)
}

#[unsafe(no_mangle)]
extern "C-unwind" fn objc_getClass(_name: *const c_char) -> *const Class {
    // all that are there are linked
    ptr::null()
}
