//! Residency sets: what they hold counts once it is committed, for the queues that know them.

use std::{
    collections::BTreeMap,
    ptr,
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
};

use crate::{
    foundation::as_static,
    object::{Body, Object, Ref},
    runtime::{Method, method},
    world::{World, lock},
};

/// A set.
#[derive(Default)]
pub struct Set {
    /// As it was changed.
    next: BTreeMap<usize, Arc<Ref>>,
    /// As it counts.
    committed: BTreeMap<usize, Arc<Ref>>,
}

fn key(object: &Object) -> usize {
    ptr::from_ref(object).addr()
}

/// Whether a queue's command buffers find an object resident.
pub fn holds(queue: &Object, object: &Object) -> bool {
    let body = queue.body();
    let Body::Queue(sets) = &*body else { return false };
    lock(sets).iter().any(|set| match &*set.body() {
        Body::Set(set) => lock(set).committed.contains_key(&key(object)),
        _ => false,
    })
}

pub(crate) fn of_class(class: &str, name: &str) -> Option<Method> {
    match (class, name) {
        ("MTLResidencySetDescriptor", "new") => method!(|_class| -> *const Object {
            Ref::new(&World::current(), Body::SetDescriptor).into_raw()
        }),
        _ => None,
    }
}

pub(crate) fn of_object(body: &Body, name: &str) -> Option<Method> {
    match (body, name) {
        (Body::Device, "newResidencySetWithDescriptor:error:") => {
            method!(|this, _descriptor: &'static Object, _error: usize| -> *const Object {
                if this.world().settings.macos < 15 {
                    this.world().violation("a residency set before macOS 15");
                }
                Ref::new(this.world(), Body::Set(Mutex::default())).into_raw()
            })
        }
        (Body::Queue(_), "addResidencySet:") => method!(|this, set: &'static Object| {
            if let Body::Queue(sets) = &*this.body() {
                lock(sets).push(Ref::to(set));
            }
        }),
        (Body::Set(_), "addAllocation:") => method!(|this, allocation: &'static Object| {
            if let (Body::Set(set), Body::Memory(_)) = (&*this.body(), &*allocation.body()) {
                let allocation = Arc::new(Ref::to(as_static(allocation)));
                lock(set).next.insert(key(&allocation), allocation);
            }
        }),
        (Body::Set(_), "removeAllocation:") => method!(|this, allocation: &'static Object| {
            if let Body::Set(set) = &*this.body() {
                let gone = lock(set).next.remove(&key(allocation));
                if gone.is_none() && this.world().settings.deaf.is_none() {
                    this.world().violation("an allocation leaves a residency set it is not in");
                }
            }
        }),
        (Body::Set(_), "commit") => method!(|this| {
            if let Body::Set(set) = &*this.body() {
                if this.world().running.load(Relaxed) != 0 {
                    this.world().violation("a residency set is changed while the GPU works");
                }
                let mut set = lock(set);
                let gone = std::mem::take(&mut set.committed);
                set.committed = set.next.clone();
                drop(set);
                // what goes here may give memory back
                drop(gone);
            }
        }),
        (Body::Set(_), "requestResidency") => method!(|_this| {}),
        _ => None,
    }
}
