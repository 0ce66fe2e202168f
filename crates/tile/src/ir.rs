//! The typed program that recording a kernel gives.
//!
//! Values are registers of one scalar type. An immutable register is written once, by the statement that makes it;
//! a variable is written by [`Kind::Assign`] too. Control flow is structured, and vectors exist only as loads and
//! stores of several neighbours, so that what a lane does is plain scalar code everywhere.

use std::{fmt, panic::Location};

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
    /// Index in [`Program::regs`].
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
    /// Index in [`Program::buffers`].
    Buffer(u32),
    /// Index in [`Program::shared`].
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

/// A constant.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs)]
pub enum Const {
    Bool(bool),
    I32(i32),
    U32(u32),
    F32(f32),
}

impl Const {
    /// Its type.
    pub fn ty(self) -> Type {
        match self {
            Self::Bool(_) => Type::Bool,
            Self::I32(_) => Type::I32,
            Self::U32(_) => Type::U32,
            Self::F32(_) => Type::F32,
        }
    }
}

/// What the device tells a thread about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Builtin {
    /// The threadgroup's place in the grid: 0, 1 or 2 for x, y or z.
    Group(u8),
    /// The thread's place in its threadgroup.
    Thread,
    /// The thread's place in its simdgroup.
    Lane,
    /// The simdgroup's place in its threadgroup.
    Simdgroup,
}

/// Operations on one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Unary {
    Neg,
    /// Logical of a bool, bitwise of an integer.
    Not,
    Abs,
    Exp,
    Exp2,
    Log,
    Sqrt,
    /// `1 / sqrt(x)`.
    Rsqrt,
    Sin,
    Cos,
    Tanh,
    Floor,
    /// To the nearest whole number, ties to even.
    Round,
    /// Number of bits that are set.
    Popcount,
    /// Zeros above the highest bit that is set; 32 for 0.
    LeadingZeros,
    /// The half-precision number whose bits are the lower 16.
    HalfBits,
}

/// Operations on two values of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Binary {
    Add,
    Sub,
    Mul,
    /// Of integers: towards zero. Division by zero, and of `i32::MIN` by -1, is an error in the simulator.
    Div,
    /// Of integers only, with the sign of the first; where [`Binary::Div`] is an error, so is this.
    Rem,
    And,
    Or,
    Xor,
    /// By less than 32, or it is an error in the simulator.
    Shl,
    /// Arithmetic for signed values, by less than 32.
    Shr,
    /// Of floats: if one is not a number, the other.
    Min,
    Max,
    Lt,
    Le,
    Eq,
    Ne,
}

impl Binary {
    /// Whether the result is a bool whatever the operands are.
    pub fn compares(self) -> bool {
        matches!(self, Self::Lt | Self::Le | Self::Eq | Self::Ne)
    }
}

/// Something without effect, made of registers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Expr {
    /// A constant.
    Const(Const),
    /// A field of the argument struct.
    Arg(u32),
    /// What the device tells a thread.
    Builtin(Builtin),
    /// What a variable holds now.
    Read(Reg),
    /// An operation on one value.
    Unary(Unary, Reg),
    /// An operation on two values.
    Binary(Binary, Reg, Reg),
    /// `a * b + c` with one rounding.
    Fma(Reg, Reg, Reg),
    /// `if c { a } else { b }`; both are there already.
    Select(Reg, Reg, Reg),
    /// To another type, as `as` does: floats saturate, bools are 0 or 1.
    Convert(Type, Reg),
    /// The same 32 bits as another type.
    Bits(Type, Reg),
}

impl Expr {
    /// The registers it is made of.
    pub fn operands(&self) -> [Option<Reg>; 3] {
        match *self {
            Self::Const(_) | Self::Arg(_) | Self::Builtin(_) => [None; 3],
            Self::Read(a) | Self::Unary(_, a) | Self::Convert(_, a) | Self::Bits(_, a) => {
                [Some(a), None, None]
            }
            Self::Binary(_, a, b) => [Some(a), Some(b), None],
            Self::Fma(a, b, c) | Self::Select(a, b, c) => [Some(a), Some(b), Some(c)],
        }
    }
}

/// Operations of the lanes of a simdgroup together. All its lanes take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Collective {
    /// Sum over the lanes, by halving distances: for `d` in 16, 8, 4, 2, 1 each lane adds what lane `l ^ d` has. So all
    /// lanes get the same bits.
    Sum,
    /// Largest. Of floats that are all numbers; which zero is larger is open.
    Max,
    /// Smallest, likewise.
    Min,
    /// The value of the lane that another register names, below 32.
    Shuffle,
    /// The value of the lane whose number differs in the bits of a constant.
    ShuffleXor(u32),
    /// The sum over the lanes before this one, by doubling distances: for `d` in 1, 2, 4, 8, 16 each lane from `d` on
    /// adds what lane `l - d` has; then each lane takes what the one before it has, and lane 0 takes 0.
    PrefixSum,
    /// The bits of a mask, of which lanes hold true.
    Ballot,
}

/// Atomic operations on memory, of u32, relaxed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum AtomicOp {
    Add,
    Max,
    Min,
    Or,
}

/// Which accesses a barrier orders, among the threads of a threadgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Those to shared memory.
    Shared,
    /// Those to shared memory and to buffers.
    All,
    /// Those to shared memory, among the lanes of a simdgroup only.
    Simdgroup,
}

/// A statement and where in the kernel it was written.
#[derive(Debug, Clone)]
pub struct Stmt {
    /// File, line and column.
    pub at: &'static Location<'static>,
    /// What it does.
    pub kind: Kind,
}

/// Statements in order.
pub type Block = Vec<Stmt>;

/// What a statement does.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Makes a register.
    Let(Reg, Expr),
    /// Sets a variable.
    Assign(Reg, Reg),
    /// Reads 1, 2, 4 or 8 neighbouring elements, the first at a multiple of their number.
    Load {
        /// Where to.
        to: Vec<Reg>,
        /// Where from.
        memory: Memory,
        /// First element, u32.
        index: Reg,
    },
    /// Writes 1, 2, 4 or 8 neighbouring elements, the first at a multiple of their number.
    Store {
        /// What.
        from: Vec<Reg>,
        /// Where to.
        memory: Memory,
        /// First element, u32.
        index: Reg,
    },
    /// Begins to copy neighbouring elements of a buffer that is read, 4, 8 or 16 bytes, to shared memory of the same
    /// elements; both first elements are multiples of their number. The copy is done when [`Kind::Wait`] says so for the
    /// thread that began it, as a write of that thread; whoever touches its place before makes a mistake.
    Stage {
        /// Where to, shared.
        to: Memory,
        /// First element there, u32.
        at: Reg,
        /// Where from, a buffer.
        from: Memory,
        /// First element there, u32.
        index: Reg,
        /// Elements.
        count: u32,
        /// Where it is false zeros are put, and nothing is read.
        inside: Option<Reg>,
    },
    /// Makes a group of what the thread has staged since its last group, perhaps nothing.
    Commit,
    /// Waits until no more than so many of the thread's groups, the latest, are on their way.
    Wait(u32),
    /// Changes an element at once, whoever else does.
    Atomic {
        /// How.
        op: AtomicOp,
        /// What was there before.
        old: Reg,
        /// Of u32.
        memory: Memory,
        /// Which element, u32.
        index: Reg,
        /// Operand.
        value: Reg,
    },
    /// Runs one of two blocks.
    If {
        /// Bool.
        condition: Reg,
        /// If it is true.
        then: Block,
        /// If not.
        otherwise: Block,
    },
    /// Runs a block for `from`, `from + step` and so on below `to`, all u32. The counter must not wrap: a step from
    /// below `to` beyond the largest u32 is an error in the simulator.
    For {
        /// The counter, immutable within the block.
        counter: Reg,
        /// First.
        from: Reg,
        /// End, exclusive.
        to: Reg,
        /// At least 1.
        step: Reg,
        /// The block.
        body: Block,
    },
    /// Waits for the threads of the threadgroup (or simdgroup), and orders their accesses.
    Barrier(Scope),
    /// An operation of a simdgroup.
    Collective {
        /// Which.
        op: Collective,
        /// Its result.
        to: Reg,
        /// Each lane's part.
        value: Reg,
        /// The lane asked, of [`Collective::Shuffle`].
        lane: Option<Reg>,
    },
    /// Sets all elements of a sum.
    TileFill {
        /// Which.
        tile: TileReg,
        /// To what.
        value: f32,
    },
    /// Reads a tile of F16 or F32 out of shared memory: element `(r, c)` from `index + r * stride + c`, or with
    /// `transposed` from `index + c * stride + r`. The index is a multiple of 16 (CUDA loads tiles from multiples of 32
    /// bytes), the stride of 8. A sum is read from F32, not transposed, in place of what it held.
    TileLoad {
        /// Where to.
        tile: TileReg,
        /// Where from, shared.
        memory: Memory,
        /// First element.
        index: Reg,
        /// Elements from row to row.
        stride: u32,
        /// Rows and columns exchanged.
        transposed: bool,
    },
    /// `sum = left * right + sum`. Both are of one element type, the same for all of a sum. The order of additions is the
    /// device's own, and CUDA rounds elements of F32 to 11 significant bits (tf32), which BF16 has less of.
    TileMultiply {
        /// [`TileRole::Sum`].
        sum: TileReg,
        /// [`TileRole::Left`].
        left: TileReg,
        /// [`TileRole::Right`].
        right: TileReg,
    },
    /// Writes a sum to shared memory, of F32. The index is a multiple of 16, the stride of 8.
    TileStore {
        /// What.
        tile: TileReg,
        /// Where to, shared.
        memory: Memory,
        /// First element.
        index: Reg,
        /// Elements from row to row.
        stride: u32,
    },
}

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

impl Kind {
    /// Calls `read` for each register that it reads itself, not in its blocks.
    pub fn reads(&self, mut read: impl FnMut(Reg)) {
        match self {
            Self::Let(_, expr) => expr.operands().into_iter().flatten().for_each(read),
            Self::Assign(_, from) => read(*from),
            Self::Load { index, .. } => read(*index),
            Self::Store { from, index, .. } => {
                from.iter().copied().for_each(&mut read);
                read(*index);
            }
            Self::Stage { at, index, inside, .. } => {
                [Some(*at), Some(*index), *inside].into_iter().flatten().for_each(read);
            }
            Self::Atomic { index, value, .. } => {
                read(*index);
                read(*value);
            }
            Self::If { condition, .. } => read(*condition),
            Self::For { from, to, step, .. } => [*from, *to, *step].into_iter().for_each(read),
            Self::Collective { value, lane, .. } => {
                read(*value);
                lane.iter().copied().for_each(read);
            }
            Self::TileLoad { index, .. } | Self::TileStore { index, .. } => read(*index),
            Self::Commit
            | Self::Wait(_)
            | Self::Barrier(_)
            | Self::TileFill { .. }
            | Self::TileMultiply { .. } => {}
        }
    }

    /// Calls `write` for each register that it makes or sets itself, not in its blocks.
    pub fn writes(&self, mut write: impl FnMut(Reg)) {
        match self {
            Self::Let(to, _) | Self::Assign(to, _) => write(*to),
            Self::Load { to, .. } => to.iter().copied().for_each(write),
            Self::Atomic { old: to, .. }
            | Self::For { counter: to, .. }
            | Self::Collective { to, .. } => write(*to),
            _ => {}
        }
    }

    /// The blocks within.
    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        let blocks: [Option<&Block>; 2] = match self {
            Self::If { then, otherwise, .. } => [Some(then), Some(otherwise)],
            Self::For { body, .. } => [Some(body), None],
            _ => [None, None],
        };
        blocks.into_iter().flatten()
    }
}

/// File and line of a statement, the file without its folders.
pub struct Line(pub &'static Location<'static>);

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.0.file();
        let file = file.rsplit(['/', '\\']).next().unwrap_or(file);
        write!(f, "{file}:{}", self.0.line())
    }
}
