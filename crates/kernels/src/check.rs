//! Conditions of launches.

use tessera_tile::check::{MAX_SHARED, MAX_THREADS};

use crate::codes::STEP;

/// Refuses a launch with a message, unless something holds.
macro_rules! ensure {
    ($holds:expr, $($why:tt)+) => {
        match $holds {
            true => {}
            false => return Err(format!($($why)+)),
        }
    };
}
pub(crate) use ensure;

/// Whether every device has threadgroups of so many threads, and bytes of shared memory.
pub(crate) fn fits(threads: u32, bytes: u32) -> Result<(), String> {
    ensure!(threads <= MAX_THREADS, "{threads} threads");
    ensure!(bytes as usize <= MAX_SHARED, "{bytes} bytes of shared memory: take less at once");
    Ok(())
}

/// Whether a product of a matrix with `cols` columns has something to do, `sizes` being what else it is made of, and
/// whether a kernel that is `ragged` or not can do it.
pub(crate) fn product(sizes: &[u32], cols: u32, ragged: bool) -> Result<(), String> {
    ensure!(cols > 0 && !sizes.contains(&0), "an empty product");
    columns(cols, ragged)
}

/// Whether a kernel that is `ragged` or not can read rows of `cols` columns.
pub(crate) fn columns(cols: u32, ragged: bool) -> Result<(), String> {
    ensure!(ragged || cols.is_multiple_of(STEP), "{cols} columns, not a multiple of {STEP}");
    Ok(())
}

/// Whether groups share heads evenly.
pub(crate) fn heads(heads: u32, groups: u32) -> Result<(), String> {
    let evenly = groups > 0 && heads > 0 && heads.is_multiple_of(groups);
    ensure!(evenly, "{heads} heads in {groups} groups");
    Ok(())
}

/// The same, and whether a head's state of `rows` rows and `columns` columns has elements.
pub(crate) fn states(of: u32, groups: u32, rows: u32, columns: u32) -> Result<(), String> {
    heads(of, groups)?;
    ensure!(rows > 0 && columns > 0, "an empty state");
    Ok(())
}
