//! What has an effect, in order.

use std::{fmt, panic::Location};

use super::{Expr, Memory, Reg, TileReg};

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
        /// [`TileRole::Sum`](super::TileRole::Sum).
        sum: TileReg,
        /// [`TileRole::Left`](super::TileRole::Left).
        left: TileReg,
        /// [`TileRole::Right`](super::TileRole::Right).
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
