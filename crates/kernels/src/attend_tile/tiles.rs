//! What simdgroups do with tiles: products with keys, products with values, and the result.

use tessera_tile::prelude::*;

use super::{AttendTile, COLUMNS, SCORES, load::Shelf};
use crate::{
    stage::{PART, Scratch},
    tables::PAGE,
};

/// Elements of heads that are staged at once.
#[derive(Clone, Copy)]
pub(super) struct Chunk {
    /// The first.
    pub first: u32,
    /// Their number, filled up to whole tiles.
    pub len: u32,
}

impl AttendTile {
    /// All of a head's.
    pub(super) fn chunks(&self) -> Vec<Chunk> {
        let chunk = |first| Chunk { first, len: self.dims.min(self.padded() - first) };
        (0..self.padded()).step_by(self.dims as usize).map(chunk).collect()
    }

    /// Tiles above each other of a simdgroup.
    fn tiles(&self) -> u32 {
        self.rows / TILE / self.bands
    }
}

/// The simdgroup's column.
fn column() -> Val<u32> {
    simdgroup() % COLUMNS
}

/// First row of the simdgroup's tile `t`.
fn tile_row(k: &AttendTile, t: u32) -> Val<u32> {
    (simdgroup() / COLUMNS * k.tiles() + t) * TILE
}

/// Products of the block's queries with a page's keys: `ready` tells the row where a chunk of them begins. All threads come
/// together after.
#[device]
pub(super) fn make_scores(k: &AttendTile, shelf: &Shelf, ready: impl Fn(u32) -> Val<u32>) {
    let sums: Vec<_> = (0..k.tiles()).map(|_| Tile::sum(0.0)).collect();
    for (i, chunk) in (0..).zip(k.chunks()) {
        let first = ready(i);
        for inner in (0..chunk.len).step_by(16) {
            let keys = shelf.staged.right_transposed(first + column() * TILE, inner);
            for (t, sum) in (0..).zip(&sums) {
                sum.multiply_add(shelf.query.left(tile_row(k, t), chunk.first + inner), keys);
            }
        }
    }
    for (t, sum) in (0..).zip(sums) {
        sum.store(shelf.scores, tile_row(k, t) * SCORES + column() * TILE, SCORES);
    }
    barrier();
}

/// Sums of weighted values: the simdgroup's tiles of the result.
pub(super) struct Sums {
    columns: Vec<Column>,
}

/// Tiles above each other.
struct Column {
    chunk: Chunk,
    /// The tile's place in the chunk, which the chunk may lack.
    place: Val<u32>,
    tiles: Vec<Tile>,
}

impl Sums {
    pub fn new(k: &AttendTile) -> Self {
        let mut columns = Vec::new();
        for chunk in k.chunks() {
            for first in (0..chunk.len / TILE).step_by(COLUMNS as usize) {
                let tiles = (0..k.tiles()).map(|_| Tile::sum(0.0)).collect();
                columns.push(Column { chunk, place: column() + first, tiles });
            }
        }
        Self { columns }
    }
}

/// Adds products of weights with a page's values: `ready` tells the row where a chunk of them begins.
#[device]
pub(super) fn add_values(
    k: &AttendTile,
    shelf: &Shelf,
    sums: &Sums,
    ready: impl Fn(u32) -> Val<u32>,
) {
    for (i, chunk) in (0..).zip(k.chunks()) {
        let first = ready(i);
        for column in sums.columns.iter().filter(|column| column.chunk.first == chunk.first) {
            if column.place < chunk.len / TILE {
                for inner in (0..PAGE).step_by(16) {
                    let values = shelf.staged.right(first + inner, column.place * TILE);
                    for (t, sum) in (0..).zip(&column.tiles) {
                        sum.multiply_add(shelf.weights.left(tile_row(k, t), inner), values);
                    }
                }
            }
        }
    }
}

/// Multiplies each row by its factor.
#[device]
pub(super) fn rescale(k: &AttendTile, shelf: &Shelf, sums: &Sums) {
    let scratch = Scratch::of(shelf.scores);
    let (row, _) = scratch.place();
    for column in &sums.columns {
        if column.place < column.chunk.len / TILE {
            for (t, &sum) in (0..).zip(&column.tiles) {
                scratch.scale(sum, shelf.factors.at(tile_row(k, t) + row));
            }
        }
    }
}

/// Writes each row, times its factor. `first` is where the block's first row begins in `y`, `stride` the distance of rows.
#[device]
pub(super) fn write(
    k: &AttendTile,
    shelf: &Shelf,
    sums: &Sums,
    y: Out<F32>,
    first: Val<u32>,
    stride: Val<u32>,
    count: Val<u32>,
) {
    let scratch = Scratch::of(shelf.scores);
    let (row, element) = scratch.place();
    for column in &sums.columns {
        if column.place < column.chunk.len / TILE {
            let element = column.place * TILE + element + column.chunk.first;
            for (t, &sum) in (0..).zip(&column.tiles) {
                let elements = scratch.elements(sum);
                let row = tile_row(k, t) + row;
                if (row < count) & (element < k.cache.head_dim) {
                    let factor = shelf.factors.at(row);
                    for i in (0..PART).step_by(4) {
                        let four = std::array::from_fn(|j| elements[i as usize + j] * factor);
                        y.store::<4>(first + row * stride + element + i, four);
                    }
                }
            }
        }
    }
}
