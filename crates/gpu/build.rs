//! Kernels that `cargo xtask metallib` compiled for Macs, and `cargo xtask cubins` for NVIDIA's GPUs, are embedded, if they
//! are there.

use std::path::Path;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(embedded_kernels, embedded_cubins)");
    println!("cargo::rerun-if-changed=embedded");
    let there = |file: &str| Path::new("embedded").join(file).is_file();
    if there("kernels.metal") && there("kernels.metallib") {
        println!("cargo::rustc-cfg=embedded_kernels");
    }
    if there("kernels.cubins") {
        println!("cargo::rustc-cfg=embedded_cubins");
    }
}
