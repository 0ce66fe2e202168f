//! Registers, tiles and memories, and their types.

/// Type of a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    /// True or false.
    Bool,
    /// 32 bits, signed, wrapping.
    I32,
    /// 32 bits, unsigned, wrapping.
    U32,
    /// IEEE single precision; denormals may be flushed.
    F32,
}

/// Type of an element in memory. Arithmetic is on what it is widened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, tessera_tile::Name)]
#[allow(missing_docs)] // the names are the standard ones
pub enum Elem {
    F32,
    F16,
    BF16,
    U32,
    I32,
    U16,
    U8,
    I8,
}

impl Elem {
    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 | Self::U32 | Self::I32 => 4,
            Self::F16 | Self::BF16 | Self::U16 => 2,
            Self::U8 | Self::I8 => 1,
        }
    }

    /// What a load widens it to.
    pub fn value(self) -> Type {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => Type::F32,
            Self::U32 | Self::U16 | Self::U8 => Type::U32,
            Self::I32 | Self::I8 => Type::I32,
        }
    }
}

/// A register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reg(pub u32);

impl Reg {
    /// Index in [`Program::regs`](super::Program::regs).
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What is known of a register.
#[derive(Debug, Clone, PartialEq)]
pub struct RegInfo {
    /// Its type.
    pub ty: Type,
    /// What the kernel calls it.
    pub name: Option<&'static str>,
    /// Whether it is a variable.
    pub mutable: bool,
}

/// An opaque matrix of [`TILE`] x [`TILE`] elements, spread over a simdgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TileReg(pub u32);

/// Rows and columns of a matrix tile.
pub const TILE: u32 = 16;

/// Lanes of a simdgroup, on every device.
pub const LANES: u32 = 32;

/// What a tile is in a multiplication, which decides how a device keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TileRole {
    /// Left operand.
    Left,
    /// Right operand.
    Right,
    /// Sum, of f32.
    Sum,
}

/// What is known of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TileInfo {
    /// Its place in a multiplication.
    pub role: TileRole,
    /// Type of its elements.
    pub elem: Elem,
}

/// A memory that a statement addresses, by elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Memory {
    /// Index in [`Program::buffers`](super::Program::buffers).
    Buffer(u32),
    /// Index in [`Program::shared`](super::Program::shared).
    Shared(u32),
}

/// What a kernel does with a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Reads it; nobody writes it during the launch.
    Read,
    /// Writes it, and may read what the same threadgroup wrote.
    Write,
    /// Reads and writes it.
    ReadWrite,
}

/// A buffer of the device, a parameter of the kernel. Its first byte lies at a multiple of 16.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buffer {
    /// The parameter's name.
    pub name: &'static str,
    /// Type of its elements.
    pub elem: Elem,
    /// What the kernel does with it.
    pub access: Access,
}

/// An array that the threads of a threadgroup share; undefined at the beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// Its name in the printed text.
    pub name: &'static str,
    /// Type of its elements.
    pub elem: Elem,
    /// Number of elements.
    pub len: u32,
}

/// A scalar argument: a field of the argument struct.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub ty: Type,
}
