//! What a simulated launch stops at.

/// A mistake of a kernel, found while it ran.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("kernel {kernel}, {line}, threadgroup {group:?}, thread {thread}: {what}")]
pub struct Fault {
    /// The kernel.
    pub kernel: String,
    /// File and line of the statement.
    pub line: String,
    /// The threadgroup, x, y, z.
    pub group: [u32; 3],
    /// The thread in it; its simdgroup is `thread / 32`, its lane `thread % 32`.
    pub thread: u32,
    /// What is wrong.
    pub what: What,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum What {
    /// An access beyond the end.
    #[error("{memory}[{index}], {count} at once, of {len} elements")]
    Bounds {
        /// Which memory.
        memory: &'static str,
        /// First element.
        index: u32,
        /// Elements at once.
        count: usize,
        /// Elements there are.
        len: usize,
    },
    /// A vector that does not begin at a multiple of its size.
    #[error("{memory}[{index}], {count} at once: not a multiple of {count}")]
    Alignment {
        /// Which memory.
        memory: &'static str,
        /// First element.
        index: u32,
        /// Elements at once.
        count: usize,
    },
    /// A read of what nobody wrote.
    #[error("{memory}[{index}] is read and was never written")]
    Undefined {
        /// Which memory.
        memory: &'static str,
        /// Which element.
        index: u32,
    },
    /// Two threads at one element, unordered, one of them writing.
    #[error("{memory}[{index}]: a race with thread {other} of threadgroup {group}")]
    Race {
        /// Which memory.
        memory: &'static str,
        /// Which element.
        index: u32,
        /// The other thread.
        other: u32,
        /// Its threadgroup, numbered along x, y, z.
        group: u32,
    },
    /// An access to what is being copied, or a write to what it is copied from.
    #[error("{memory}[{index}] is touched while a copy that thread {by} staged is on its way")]
    Flight {
        /// Which memory.
        memory: &'static str,
        /// Which element.
        index: u32,
        /// Who began the copy.
        by: u32,
    },
    /// Copies that nobody waited for.
    #[error("{count} copies are on their way when the kernel ends")]
    Left {
        /// How many, of all threads.
        count: usize,
    },
    /// Division by zero, or a shift by 32 or more.
    #[error("{0}")]
    Arithmetic(&'static str),
    /// A lane that should take part is elsewhere.
    #[error("lanes of the simdgroup are missing")]
    Missing,
    /// A lane number of 32 or more.
    #[error("lane {0} is asked")]
    Lane(u32),
    /// A loop that does not advance.
    #[error("a loop's step is 0")]
    Step,
    /// Not all of a launch's parts are there.
    #[error("launched with {0}")]
    Launch(String),
}
