//! Names that both languages take, and numbers that all devices have.

use std::collections::HashSet;

use crate::{BuildError, Program, ir::LANES};

/// Buffers of a kernel at most: Metal has 31 places, one of which is the argument struct's.
pub const MAX_BUFFERS: usize = 30;

/// Bytes of a kernel's name at most: any compiler takes it, and any file system with more behind it.
pub const MAX_NAME: usize = 128;

/// Bytes of shared memory at most, on every device.
pub const MAX_SHARED: usize = 32 << 10;

/// Threads of a threadgroup at most, on every device.
pub const MAX_THREADS: u32 = 1024;

/// Checks a program.
pub fn check(program: &Program) -> Result<(), BuildError> {
    let kernel = || program.name.clone();
    let malformed = |what: String| BuildError::Malformed { kernel: kernel(), what };
    let identifier = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if !identifier(&program.name) {
        return Err(malformed(format!("its name {:?} is not an identifier", program.name)));
    }
    if crate::print::reserved(&program.name) {
        return Err(malformed(format!("its name {:?} is a word of Metal or CUDA", program.name)));
    }
    let names = program.buffers.iter().map(|b| b.name).chain(program.shared.iter().map(|s| s.name));
    let mut seen = HashSet::new();
    for name in names {
        if !identifier(name) || !seen.insert(name) {
            return Err(malformed(format!(
                "the memory {name:?} is named twice, or not an identifier"
            )));
        }
    }
    if program.threads == 0 || !program.threads.is_multiple_of(LANES) {
        return Err(malformed(format!("{} threads are not whole simdgroups", program.threads)));
    }
    let bounds = [
        ("bytes of a name", program.name.len(), MAX_NAME),
        ("threads", program.threads as usize, MAX_THREADS as usize),
        ("buffers", program.buffers.len(), MAX_BUFFERS),
        ("bytes of shared memory", program.shared_bytes(), MAX_SHARED),
    ];
    for (what, value, limit) in bounds {
        if value > limit {
            return Err(BuildError::Limit { kernel: kernel(), what, value, limit });
        }
    }
    Ok(())
}
