//! tessera's GPU kernels, written in [tile](tessera_tile). One file each: its argument struct, its contract, its body.

pub mod append;
pub mod attend;
pub mod attend_join;
pub mod attend_tile;
pub mod cache;
pub mod chunks;
pub mod codes;
pub mod conv;
pub mod delta;
pub mod embed;
pub mod experts;
pub mod manifest;
pub mod matmul;
pub mod matvec;
pub mod pack;
pub mod pointwise;
mod recurrence;
pub mod rms_norm;
pub mod rope;
pub mod route;
pub mod sample;
pub mod scan;
pub mod select;
pub mod sight;
pub mod stage;
pub mod tables;
pub mod unit;
