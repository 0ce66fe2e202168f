//! A Metal that is none: an Objective-C runtime, the part of Foundation and the part of Metal that `tessera-gpu` uses, in
//! Rust, so that its device code runs unchanged where there is no Mac.
//!
//! Messages of objc2 go through `objc_msg_lookup`, which [`runtime`] answers. Kernels run in tile's simulator: a library's
//! text must be what tile prints for programs that the [`World`] was told, or it does not compile. So nothing is learnt here
//! of Apple's compiler or of speed, but all of whether the device code keeps to Metal's rules:
//!
//! - limits: threads of a threadgroup, threadgroup memory, places for buffers, alignment and ends of what is bound;
//! - order: dispatches between two barriers run in an order drawn at random; a command buffer runs when it is awaited, and
//!   what it may write holds [`POISON`] until then; what the host changes in between is noted;
//! - states: a second commit, encoding after the end, an encoder left open;
//! - memory: messages to released objects, releases too many, objects outside of every autorelease pool, leaks; memory that was
//!   lent is given back once, after its last use;
//! - indirect commands: what they may be made of, that they are ordered by their own barriers alone, that they keep nothing
//!   alive, and that what they touch is in a committed residency set of the queue's or was declared.
//!
//! What breaks a rule does nothing and is noted as a *violation*; [`World::violations`] lists them.

mod block;
mod commands;
mod compiler;
mod encoder;
mod event;
mod execute;
mod foundation;
mod gpu;
mod indirect;
mod object;
mod residency;
pub mod runtime;
pub mod spy;
mod world;

use tessera_gpu::{MetalOptions, device, replay};

/// The device code under test, the very file.
#[path = "../../gpu/src/metal/mod.rs"]
pub mod metal;

pub use compiler::METALLIB;
pub use execute::POISON;
pub use world::{Settings, World};
