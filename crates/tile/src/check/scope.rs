//! Values and tiles are used within the block that makes them, or one inside it, after they are made.
//!
//! Rust's own scopes see to that, unless a kernel carries a value out of its block in a cell.

use crate::{
    BuildError, Program,
    ir::{Block, Kind, Line, Reg, Stmt, TileReg, TileRole},
};

/// Checks a program.
pub fn check(program: &Program) -> Result<(), BuildError> {
    let regs = vec![false; program.regs.len()];
    Scope { program, regs, tiles: vec![false; program.tiles.len()] }.block(&program.body)
}

struct Scope<'a> {
    program: &'a Program,
    /// Whether each register is there.
    regs: Vec<bool>,
    /// Whether each tile is there.
    tiles: Vec<bool>,
}

impl Scope<'_> {
    fn block(&mut self, block: &Block) -> Result<(), BuildError> {
        let (mut regs, mut tiles) = (Vec::new(), Vec::new());
        for stmt in block {
            self.used(stmt)?;
            let inner = match &stmt.kind {
                Kind::For { counter, .. } => Some(*counter),
                _ => None,
            };
            if let Some(counter) = inner {
                self.regs[counter.index()] = true;
            }
            stmt.kind.blocks().try_for_each(|block| self.block(block))?;
            match inner {
                Some(counter) => self.regs[counter.index()] = false,
                None => stmt.kind.writes(|reg| {
                    if !std::mem::replace(&mut self.regs[reg.index()], true) {
                        regs.push(reg);
                    }
                }),
            }
            if let Kind::TileFill { tile, .. } | Kind::TileLoad { tile, .. } = &stmt.kind
                && !std::mem::replace(&mut self.tiles[tile.0 as usize], true)
            {
                tiles.push(*tile);
            }
        }
        regs.iter().for_each(|reg| self.regs[reg.index()] = false);
        tiles.iter().for_each(|tile| self.tiles[tile.0 as usize] = false);
        Ok(())
    }

    /// Whether what a statement uses is there.
    fn used(&self, stmt: &Stmt) -> Result<(), BuildError> {
        let mut missing: Option<Reg> = None;
        stmt.kind.reads(|reg| {
            if !self.regs[reg.index()] {
                missing = missing.or(Some(reg));
            }
        });
        if let Some(reg) = missing {
            let name = self.program.regs[reg.index()].name.unwrap_or("a value");
            return Err(
                self.refuse(stmt, &format!("{name} is used outside of the block that makes it"))
            );
        }
        let tiles: &[TileReg] = match &stmt.kind {
            Kind::TileMultiply { sum, left, right } => &[*sum, *left, *right],
            Kind::TileStore { tile, .. } => &[*tile],
            // a sum is read back into one that is there
            Kind::TileLoad { tile, .. }
                if self.program.tiles[tile.0 as usize].role == TileRole::Sum =>
            {
                &[*tile]
            }
            _ => &[],
        };
        if tiles.iter().any(|tile| !self.tiles[tile.0 as usize]) {
            return Err(self.refuse(stmt, "a tile is used outside of the block that makes it"));
        }
        Ok(())
    }

    fn refuse(&self, stmt: &Stmt, what: &str) -> BuildError {
        let what = format!("{}: {what}", Line(stmt.at));
        BuildError::Malformed { kernel: self.program.name.clone(), what }
    }
}
