//! The typed program that recording a kernel gives.
//!
//! Values are registers of one scalar type. An immutable register is written once, by the statement that makes it;
//! a variable is written by [`Kind::Assign`] too. Control flow is structured, and vectors exist only as loads and
//! stores of several neighbours, so that what a lane does is plain scalar code everywhere.

mod expr;
mod stmt;
mod types;

pub use expr::*;
pub use stmt::*;
pub use types::*;

/// A recorded kernel.
#[derive(Debug, Clone)]
pub struct Program {
    /// Name of its function, unique among specialisations: `matvec_b4_g64_r4`.
    pub name: String,
    /// Threads of a threadgroup, a multiple of [`LANES`].
    pub threads: u32,
    /// Parameters in device memory, in the order they are bound.
    pub buffers: Vec<Buffer>,
    /// Fields of the argument struct, each four bytes, bound after the buffers.
    pub fields: Vec<Field>,
    /// Arrays of a threadgroup.
    pub shared: Vec<Shared>,
    /// All registers.
    pub regs: Vec<RegInfo>,
    /// All tiles.
    pub tiles: Vec<TileInfo>,
    /// What every thread does.
    pub body: Block,
}

impl Program {
    /// Bytes of shared memory, each array at a multiple of 16.
    pub fn shared_bytes(&self) -> usize {
        self.shared.iter().map(|s| (s.len as usize * s.elem.bytes()).next_multiple_of(16)).sum()
    }

    /// Type of elements of a memory.
    pub fn elem(&self, memory: Memory) -> Elem {
        match memory {
            Memory::Buffer(b) => self.buffers[b as usize].elem,
            Memory::Shared(s) => self.shared[s as usize].elem,
        }
    }

    /// Name of a memory.
    pub fn memory_name(&self, memory: Memory) -> &'static str {
        match memory {
            Memory::Buffer(b) => self.buffers[b as usize].name,
            Memory::Shared(s) => self.shared[s as usize].name,
        }
    }

    /// Type of a register.
    pub fn ty(&self, reg: Reg) -> Type {
        self.regs[reg.index()].ty
    }
}
