//! Command buffers: what may be said to them when.

use std::{
    ptr,
    sync::{Mutex, atomic::Ordering::Relaxed},
};

use crate::{
    encoder::Encoder,
    event,
    execute::{self, Frozen, Step},
    object::{Body, Object, Ref},
    runtime::{Method, autoreleased, method},
    world::lock,
};

/// How far a command buffer is.
#[derive(Default)]
pub enum State {
    #[default]
    Written,
    /// Committed: what it will use, as it was then.
    Runs(Frozen),
    Completed,
    Failed(String),
}

/// A command buffer.
pub struct CommandBuffer {
    queue: Ref,
    passes: Vec<Vec<Step>>,
    encoding: bool,
    state: State,
    /// What it signals at its end.
    signals: Vec<(Ref, u64)>,
}

impl CommandBuffer {
    /// An empty one.
    pub fn of(queue: Ref) -> Self {
        let (passes, signals, state) = Default::default();
        Self { queue, passes, encoding: false, state, signals }
    }
}

/// Runs a command buffer that was committed, if it did not run already.
pub(crate) fn finish(this: &Object) {
    let signals = with(this, |commands| {
        let passes = std::mem::take(&mut commands.passes);
        match std::mem::take(&mut commands.state) {
            State::Written => this.world().violation("a wait before the commit"),
            State::Runs(frozen) => {
                this.world().running.fetch_sub(1, Relaxed);
                match execute::run(this.world(), frozen, passes) {
                    Ok(()) => commands.state = State::Completed,
                    // an event that a failed command buffer was to signal stays as it is
                    Err(fault) => {
                        commands.state = State::Failed(fault);
                        commands.signals.clear();
                    }
                }
            }
            done => commands.state = done,
        }
        std::mem::take(&mut commands.signals)
    });
    signals.iter().for_each(|(event, value)| event::signal(event, *value));
}

/// Does something with a command buffer.
fn with<T: Default>(this: &Object, work: impl FnOnce(&mut CommandBuffer) -> T) -> T {
    match &*this.body() {
        Body::Commands(commands) => work(&mut lock(commands)),
        _ => T::default(),
    }
}

/// Takes what an encoder has written.
pub(crate) fn take(this: &Object, steps: Vec<Step>) {
    with(this, |commands| {
        commands.encoding = false;
        commands.passes.push(steps);
    });
}

pub(crate) fn of_object(body: &Body, name: &str) -> Option<Method> {
    match body {
        Body::Commands(_) => of_commands(name),
        _ => None,
    }
}

fn of_commands(name: &str) -> Option<Method> {
    match name {
        "computeCommandEncoderWithDispatchType:" => {
            method!(|this, kind: usize| -> *const Object {
                let refused = with(this, |commands| {
                    let committed = !matches!(commands.state, State::Written);
                    let refused = std::mem::replace(&mut commands.encoding, true) || committed;
                    if refused {
                        this.world().violation("an encoder of a command buffer that takes none");
                    }
                    refused
                });
                if refused {
                    return ptr::null();
                }
                let encoder = Encoder::new(Ref::to(this), kind);
                autoreleased(Ref::new(this.world(), Body::Encoder(Mutex::new(encoder))))
            })
        }
        "encodeSignalEvent:value:" => method!(|this, event: &'static Object, value: u64| {
            with(this, |commands| {
                if commands.encoding || !matches!(commands.state, State::Written) {
                    return this.world().violation("a signal beside an open encoder, or too late");
                }
                commands.signals.push((Ref::to(event), value));
            });
        }),
        "commit" => method!(|this| {
            with(this, |commands| {
                if commands.encoding {
                    return this.world().violation("a commit with an open encoder");
                }
                if !matches!(commands.state, State::Written) {
                    return this.world().violation("a second commit");
                }
                this.world().commits.fetch_add(1, Relaxed);
                this.world().running.fetch_add(1, Relaxed);
                commands.state = State::Runs(Frozen::of(&commands.queue, &mut commands.passes));
                for (event, value) in &commands.signals {
                    event::expect(event, *value, Ref::to(this));
                }
            });
        }),
        "waitUntilCompleted" => method!(|this| {
            match this.world().settings.hangs {
                true => this.world().violation("a wait without end"),
                false => finish(this),
            }
        }),
        // by the numbers of MTLCommandBufferStatus
        "status" => method!(|this| -> usize {
            with(this, |commands| match commands.state {
                State::Written => 0,
                State::Runs(_) => 2,
                State::Completed => 4,
                State::Failed(_) => 5,
            })
        }),
        "error" => method!(|this| -> *const Object {
            let text = with(this, |commands| match &commands.state {
                State::Failed(text) => Some(text.clone()),
                _ => None,
            });
            text.map_or(ptr::null(), |text| {
                autoreleased(Ref::new(this.world(), Body::Error { code: 3, text }))
            })
        }),
        _ => None,
    }
}
