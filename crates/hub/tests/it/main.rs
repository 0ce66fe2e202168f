//! Tests of the whole crate against a Hub and a pip that live on this machine only.

mod fake_hub;
mod faults;
mod happy;
mod names;
mod packages;
mod processes;
mod store;
mod support;
