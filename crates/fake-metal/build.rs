//! objc2 asks the linker for `libobjc`, whose functions are in this crate: an empty one satisfies it.

use std::{env, fs, path::Path};

fn main() {
    let folder = env::var_os("OUT_DIR").expect("cargo sets it");
    let library = Path::new(&folder).join("libobjc.a");
    fs::write(&library, "!<arch>\n").expect("cargo's folder can be written to");
    println!("cargo:rustc-link-search=native={}", Path::new(&folder).display());
    println!("cargo:rerun-if-changed=build.rs");
}
