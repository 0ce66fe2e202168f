//! tessera's GPU kernels, written in [tile](tessera_tile). One file each: its argument struct, its contract, its body.

pub mod chunks;
pub mod codes;
pub mod conv;
pub mod delta;
pub mod experts;
pub mod matvec;
pub mod pack;
mod recurrence;
pub mod rms_norm;
pub mod route;
pub mod scan;
pub mod tables;
pub mod unit;
