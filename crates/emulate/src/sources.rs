//! The runtime's own sources, which travel in this crate.

use std::{fs, path::Path};

use crate::error::{Error, io};

macro_rules! sources {
    ($($path:literal),* $(,)?) => { &[$(($path, include_str!(concat!("../cxx/", $path)))),*] };
}

const SOURCES: &[(&str, &str)] = sources![
    "runtime.h",
    "kernel.h",
    "fiber.h",
    "fiber.cpp",
    "lanes.h",
    "runtime.cpp",
    "driver.cpp",
    "metal/metal_stdlib",
    "metal/metal_simdgroup_matrix",
    "cuda/emu_cuda.h",
    "cuda/instructions.h",
];

/// Writes them into a folder.
pub(crate) fn write(folder: &Path) -> Result<(), Error> {
    for (name, text) in SOURCES {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(io(parent))?;
        }
        fs::write(&path, text).map_err(io(&path))?;
    }
    Ok(())
}
