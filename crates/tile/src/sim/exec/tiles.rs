//! Matrix tiles.

use super::{Run, SIMD, TILE_LEN};
use crate::{
    ir::{Memory, Reg, TILE, TileReg},
    sim::{What, memory::widen, shadow::Touch},
};

impl Run<'_> {
    pub(super) fn tile(&mut self, tile: TileReg, simd: usize) -> &mut [f32] {
        let simdgroups = self.width / SIMD;
        &mut self.tiles[(tile.0 as usize * simdgroups + simd) * TILE_LEN..][..TILE_LEN]
    }

    pub(super) fn tile_load(
        &mut self,
        tile: TileReg,
        simd: usize,
        memory: Memory,
        index: Reg,
        strides: (u32, u32),
    ) -> Result<(), (usize, What)> {
        self.counts.shared += TILE_LEN as u64;
        let first = self.tile_elements(memory, index, simd, strides, Touch::Read)?;
        let place = self.place(memory, 1);
        let mut elements = [0.0; TILE_LEN];
        for (i, element) in elements.iter_mut().enumerate() {
            let raw = self.raw(&place, first + offset(i, strides));
            *element = f32::from_bits(widen(place.elem, raw));
        }
        self.tile(tile, simd).copy_from_slice(&elements);
        Ok(())
    }

    pub(super) fn tile_store(
        &mut self,
        tile: TileReg,
        simd: usize,
        memory: Memory,
        index: Reg,
        stride: u32,
    ) -> Result<(), (usize, What)> {
        self.counts.shared += TILE_LEN as u64;
        let first = self.tile_elements(memory, index, simd, (stride, 1), Touch::Write)?;
        let place = self.place(memory, 1);
        let mut elements = [0.0; TILE_LEN];
        elements.copy_from_slice(self.tile(tile, simd));
        for (i, element) in elements.into_iter().enumerate() {
            self.set_raw(&place, first + offset(i, (stride, 1)), element.to_bits());
        }
        Ok(())
    }

    /// Checks and notes the access of a tile; gives its first element. The simdgroup's first lane stands for all.
    fn tile_elements(
        &mut self,
        memory: Memory,
        index: Reg,
        simd: usize,
        strides: (u32, u32),
        touch: Touch,
    ) -> Result<usize, (usize, What)> {
        let thread = simd * SIMD;
        let place = self.place(memory, 1);
        let index = self.operand(index).at(thread);
        let (first, len) = (index as usize, place.len);
        let last = first + offset(TILE_LEN - 1, strides);
        if last >= len {
            let what = What::Bounds { memory: place.name, index, count: last - first + 1, len };
            return Err((thread, what));
        }
        if !index.is_multiple_of(8) {
            let what = What::Alignment { memory: place.name, index, count: 8 };
            return Err((thread, what));
        }
        if self.shadow.is_some() {
            let at = std::panic::Location::caller();
            for i in 0..TILE_LEN {
                self.touch(at, &place, thread, first + offset(i, strides), touch)
                    .map_err(|fault| (thread, fault.what))?;
            }
        }
        Ok(first)
    }

    pub(super) fn tile_multiply(
        &mut self,
        sum: TileReg,
        left: TileReg,
        right: TileReg,
        simd: usize,
    ) {
        self.counts.tiles += 1;
        let n = TILE as usize;
        let (mut a, mut b, mut c) = ([0.0; TILE_LEN], [0.0; TILE_LEN], [0.0; TILE_LEN]);
        a.copy_from_slice(self.tile(left, simd));
        b.copy_from_slice(self.tile(right, simd));
        c.copy_from_slice(self.tile(sum, simd));
        for (row, out) in a.chunks_exact(n).zip(c.chunks_exact_mut(n)) {
            for (x, column) in row.iter().zip(b.chunks_exact(n)) {
                out.iter_mut().zip(column).for_each(|(out, y)| *out += x * y);
            }
        }
        self.tile(sum, simd).copy_from_slice(&c);
    }
}

/// Where element `i` of a tile lies from its first.
fn offset(i: usize, (row, column): (u32, u32)) -> usize {
    i / TILE as usize * row as usize + i % TILE as usize * column as usize
}
