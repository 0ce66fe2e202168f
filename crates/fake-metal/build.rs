//! objc2 and dispatch2 ask the linker for libraries whose functions are in this crate: empty ones satisfy them.

use std::{env, fs, path::Path};

fn main() {
    // of the device code
    println!("cargo::rustc-check-cfg=cfg(embedded_kernels)");
    let folder = env::var_os("OUT_DIR").expect("cargo sets it");
    let folder = Path::new(&folder);
    for library in ["libobjc.a", "libdispatch.a"] {
        fs::write(folder.join(library), "!<arch>\n").expect("cargo's folder can be written to");
    }
    println!("cargo::rustc-link-search=native={}", folder.display());
    println!("cargo::rerun-if-changed=build.rs");
}
