//! Shared events, which command buffers signal at their end.

use std::{sync::Mutex, thread, time::Duration};

use crate::{
    commands,
    object::{Body, Object, Ref},
    runtime::{Method, method},
    world::lock,
};

/// An event.
#[derive(Default)]
pub struct Event {
    value: u64,
    /// Committed command buffers that will signal it, and with what.
    coming: Vec<(u64, Ref)>,
}

/// Notes that a committed command buffer will signal an event.
pub(crate) fn expect(event: &Object, value: u64, commands: Ref) {
    if let Body::Event(event) = &*event.body() {
        lock(event).coming.push((value, commands));
    }
}

/// A command buffer's end.
pub(crate) fn signal(event: &Object, value: u64) {
    if let Body::Event(it) = &*event.body() {
        let mut it = lock(it);
        if value <= it.value {
            event.world().violation("an event goes back");
        }
        it.value = value;
    }
}

pub(crate) fn of_object(body: &Body, name: &str) -> Option<Method> {
    match (body, name) {
        (Body::Device, "newSharedEvent") => method!(|this| -> *const Object {
            Ref::new(this.world(), Body::Event(Mutex::default())).into_raw()
        }),
        (Body::Event(_), "waitUntilSignaledValue:timeoutMS:") => {
            method!(|this, value: u64, milliseconds: u64| -> bool {
                let body = this.body();
                let Body::Event(event) = &*body else { return false };
                if this.world().settings.hangs {
                    thread::sleep(Duration::from_millis(milliseconds.min(5)));
                    return false;
                }
                let coming: Vec<_> = {
                    let coming = &mut lock(event).coming;
                    coming.extract_if(.., |(due, _)| *due <= value).collect()
                };
                coming.iter().for_each(|(_, commands)| commands::finish(commands));
                lock(event).value >= value
            })
        }
        _ => None,
    }
}
