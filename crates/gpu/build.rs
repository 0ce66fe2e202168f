//! Kernels that `cargo xtask metallib` compiled for Macs are embedded, if they are there.

use std::path::Path;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(embedded_kernels)");
    println!("cargo::rerun-if-changed=embedded");
    let made = ["embedded/kernels.metal", "embedded/kernels.metallib"];
    if made.iter().all(|file| Path::new(file).is_file()) {
        println!("cargo::rustc-cfg=embedded_kernels");
    }
}
