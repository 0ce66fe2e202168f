//! Matrix tiles are of element types that devices multiply, and take their places in a multiplication.

use std::collections::HashMap;

use crate::{
    BuildError, Program,
    ir::{Block, Elem, Kind, Line, Memory, Stmt, TileInfo, TileReg, TileRole},
};

/// Checks a program.
pub fn check(program: &Program) -> Result<(), BuildError> {
    let mut tiles = Tiles { program, sums: HashMap::new() };
    tiles.block(&program.body)
}

struct Tiles<'a> {
    program: &'a Program,
    /// Of what elements each sum is: a device may keep it differently.
    sums: HashMap<TileReg, Elem>,
}

impl Tiles<'_> {
    fn block(&mut self, block: &Block) -> Result<(), BuildError> {
        for stmt in block {
            self.stmt(stmt)?;
            stmt.kind.blocks().try_for_each(|block| self.block(block))?;
        }
        Ok(())
    }

    fn stmt(&mut self, stmt: &Stmt) -> Result<(), BuildError> {
        let info = |tile: &TileReg| -> TileInfo { self.program.tiles[tile.0 as usize] };
        let role = |tile: &TileReg, role: TileRole| info(tile).role == role;
        let refuse = |what: &str| {
            let what = format!("{}: {what}", Line(stmt.at));
            Err(BuildError::Malformed { kernel: self.program.name.clone(), what })
        };
        if let Kind::TileLoad { memory, .. } | Kind::TileStore { memory, .. } = &stmt.kind
            && !matches!(memory, Memory::Shared(_))
        {
            return refuse("a tile lies in shared memory");
        }
        match &stmt.kind {
            Kind::TileFill { tile, .. } if !role(tile, TileRole::Sum) => {
                refuse("only a sum is filled with a value")
            }
            Kind::TileLoad { tile, memory, transposed, .. } => match self.program.elem(*memory) {
                elem if role(tile, TileRole::Sum) && (elem != Elem::F32 || *transposed) => {
                    refuse("a sum is read back from elements of F32, as it was stored")
                }
                Elem::F16 | Elem::F32 => Ok(()),
                elem => {
                    let (kernel, line) = (self.program.name.clone(), Line(stmt.at).to_string());
                    Err(BuildError::Tile { kernel, line, elem })
                }
            },
            Kind::TileMultiply { sum, left, right } => {
                let places = role(sum, TileRole::Sum)
                    && role(left, TileRole::Left)
                    && role(right, TileRole::Right);
                if !places {
                    return refuse("a multiplication is `sum.multiply_add(left, right)`");
                }
                let elem = info(left).elem;
                if info(right).elem != elem || self.sums.get(sum).is_some_and(|sum| *sum != elem) {
                    return refuse("the tiles of a sum are all of one element type");
                }
                self.sums.insert(*sum, elem);
                Ok(())
            }
            Kind::TileStore { tile, memory, .. } => {
                if !role(tile, TileRole::Sum) || self.program.elem(*memory) != Elem::F32 {
                    return refuse("a sum is stored, to elements of F32");
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
