//! Matrix tiles.

use std::collections::HashMap;

use crate::{
    Program,
    ir::{Block, Const, Elem, Kind, Stmt, TileReg, TileRole},
    print::expression,
};

use super::Body;

impl Body<'_> {
    /// An operation on tiles.
    pub(super) fn tile(&mut self, stmt: &Stmt) {
        let pointer = |body: &Self, memory, index| body.address(memory, index).text;
        let line = match &stmt.kind {
            Kind::TileFill { tile, value } => {
                let elem = self.sums.get(tile).copied().unwrap_or(Elem::F16);
                let name = self.declare(stmt, *tile, "sum", elem, false);
                let value = expression::constant(self.dialect, Const::F32(*value));
                format!("tile_fill({name}, {});", value.text)
            }
            Kind::TileLoad { tile, memory, index, stride, transposed } => {
                let info = self.program.tiles[tile.0 as usize];
                let base = match info.role {
                    TileRole::Left => "left",
                    TileRole::Right => "right",
                    TileRole::Sum => "sum",
                };
                let name = self.declare(stmt, *tile, base, info.elem, *transposed);
                let function = if *transposed { "tile_load_transposed" } else { "tile_load" };
                let from = pointer(self, *memory, *index);
                format!("{function}({name}, {from}, {stride}u);")
            }
            Kind::TileMultiply { sum, left, right } => {
                let [sum, left, right] = [sum, left, right].map(|tile| &self.tiles[tile]);
                format!("tile_multiply({sum}, {left}, {right});")
            }
            Kind::TileStore { tile, memory, index, stride } => {
                let to = pointer(self, *memory, *index);
                format!("tile_store({}, {to}, {stride}u);", self.tiles[tile])
            }
            _ => return,
        };
        self.begin(stmt, line);
    }

    /// Name of a tile, which is declared where it is first made.
    fn declare(
        &mut self,
        stmt: &Stmt,
        tile: TileReg,
        base: &str,
        elem: Elem,
        transposed: bool,
    ) -> String {
        if let Some(name) = self.tiles.get(&tile) {
            return name.clone();
        }
        let role = self.program.tiles[tile.0 as usize].role;
        let name = self.names.unique(base);
        self.begin(stmt, format!("{} {name};", self.dialect.tile(role, elem, transposed)));
        self.tiles.insert(tile, name.clone());
        name
    }
}

/// Of what elements each sum is: a device may keep them differently.
pub(super) fn sums(program: &Program) -> HashMap<TileReg, Elem> {
    fn block(program: &Program, of: &Block, sums: &mut HashMap<TileReg, Elem>) {
        for stmt in of {
            if let Kind::TileMultiply { sum, left, .. } = &stmt.kind {
                sums.insert(*sum, program.tiles[left.0 as usize].elem);
            }
            stmt.kind.blocks().for_each(|of| block(program, of, sums));
        }
    }
    let mut sums = HashMap::new();
    block(program, &program.body, &mut sums);
    sums
}
