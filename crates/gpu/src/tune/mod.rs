//! Which geometry of a kernel a device is fastest with: found by measuring, remembered, asked for by the lowering.
//!
//! A [`Table`] of choices belongs to one device and is kept in a file of a [`Folder`]. A choice is of a [`Key`]: the kernel as
//! it would be without the table, the sizes it is launched with, and about how many rows the step has. Numbers of rows are
//! cut into sections, up to each of [`ROWS`]; a kernel may have another geometry in each. [`search`] makes the choices.

pub mod cost;
pub(crate) mod probe;
pub mod search;
mod steps;
mod table;

use std::fmt::{self, Write};

use tessera_kernels::tune::Tunable;
use tessera_tile::{Arguments, ir::Type};

use crate::{draws::Mode, stream::Shape, tables::BLOCK};

pub use search::{Ended, Outcome, Reached, Report, Search};
pub use table::{Choice, Folder, Table};

/// Numbers of rows for which choices are made: up to each, from the one before on; the last is for all that are larger, too.
pub const ROWS: [u32; 7] = [1, 2, 4, 8, 16, 64, 512];

/// Steps of up to so many rows are of runs of one row each, as in decoding; larger ones are of one run.
pub const DECODE: u32 = 16;

/// Positions that the rows of a measured step see.
pub const CONTEXT: u32 = 2048;

/// The sections of [`ROWS`] that have rows in common with `within` (more than the first, up to the second number) up to
/// `most`, cut to `within`; each with its number of rows.
pub(crate) fn sections(within: (u32, u32), most: u32) -> Vec<((u32, u32), u32)> {
    let first = [0].into_iter().chain(ROWS);
    let all = first.zip(ROWS).map(|(first, end)| {
        let last = end == ROWS[ROWS.len() - 1];
        ((first.max(within.0), if last { u32::MAX } else { end }.min(within.1)), end)
    });
    let mut all: Vec<_> = all.filter(|((first, end), _)| first < end && *first < most).collect();
    match all.last_mut() {
        // what is larger than any step may go anywhere
        Some(last) => last.0.1 = within.1,
        None => all.push((within, ROWS.into_iter().find(|&n| n > within.0).unwrap_or(most))),
    }
    all
}

/// The sizes of the step that stands for its section.
pub(crate) fn nominal(rows: u32) -> Shape {
    let decode = rows <= DECODE;
    Shape {
        tokens: rows,
        outputs: rows,
        mode: Mode::default(),
        runs: if decode { rows } else { 1 },
        singles: rows,
        blocks: if decode { 0 } else { rows.div_ceil(BLOCK) },
        longest: if decode { 1 } else { rows },
        context: CONTEXT,
    }
}

/// What a choice is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// Of a kernel as it would be without choices, what it is launched with at a section's step, and the section's rows.
    pub(crate) fn new<S: Tunable>(kernel: &S, args: &S::Args, rows: u32) -> Self {
        let mut key = kernel.name();
        for (field, word) in S::Args::fields().iter().zip(args.words()) {
            if field.ty == Type::U32 {
                let _ = write!(key, " {}={}", field.name, bucket(word));
            }
        }
        let _ = write!(key, " @{rows}");
        Self(key)
    }

    /// The kernel's name.
    pub fn kernel(&self) -> &str {
        self.0.split(' ').next().unwrap_or_default()
    }

    /// The sizes it is launched with.
    pub fn sizes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.split(' ').filter_map(|part| part.split_once('='))
    }

    /// Rows of the step.
    pub fn rows(&self) -> &str {
        self.0.rsplit('@').next().unwrap_or_default()
    }

    /// As it is written in tables.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A size, rounded up to three binary digits, so that what is nearly as large shares a choice.
fn bucket(size: u32) -> u32 {
    let digits = u32::BITS - size.leading_zeros();
    let unit = 1u32 << digits.saturating_sub(3);
    size.checked_next_multiple_of(unit).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_share_buckets_with_their_neighbours() {
        for size in [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 4096, 14_336, 1536] {
            assert_eq!(bucket(size), size);
        }
        assert_eq!([9, 11, 15, 4095, 576, 49_152].map(bucket), [10, 12, 16, 4096, 640, 49_152]);
        assert_eq!(bucket(u32::MAX), u32::MAX);
    }

    #[test]
    fn sections_cover_each_number_of_rows_once() {
        for within in [(0, u32::MAX), (0, 1), (1, 2), (2, 8), (8, u32::MAX), (4, u32::MAX), (0, 63)]
        {
            for most in [1, 3, 8, 9, 16, 100, 4096] {
                let all = sections(within, most);
                assert_eq!((all[0].0.0, all[all.len() - 1].0.1), within, "{within:?}, {most}");
                assert!(all.windows(2).all(|pair| pair[0].0.1 == pair[1].0.0), "{all:?}");
            }
        }
        assert_eq!(sections((2, 8), 512), [((2, 4), 4), ((4, 8), 8)]);
        assert_eq!(sections((8, u32::MAX), 20), [((8, 16), 16), ((16, u32::MAX), 64)]);
    }
}
