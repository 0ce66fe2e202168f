//! Runs the printed Metal and CUDA text of kernels on the CPU. For tests only: it needs clang.
//!
//! A printed text is C++, so a C++ compiler tells whether it is well typed, and with a library of ours in place of the
//! device's it runs anywhere. Metal text is compiled as C++ for OpenCL, where the address spaces of pointers are
//! types as they are in Metal; CUDA text as plain C++20. Each GPU thread is a fiber, and the threads of a threadgroup
//! take turns: barriers and operations of a simdgroup are where they meet. So the text itself is proved, on a machine
//! with no GPU, and whatever the simulator of `tessera-tile` makes of the same program is a second opinion.
//!
//! | found by | what |
//! |---|---|
//! | [`lint`] | pointers without address space, `double`, recursion, attributes that disagree with the program |
//! | the compiler | types and address spaces, names, calls |
//! | the runtime | accesses outside of buffers and shared arrays, barriers that not all threads reach, lanes that meet in different operations, endless loops |
//! | [`Sanitizer::Address`] | the same of matrix tiles, with the line; misaligned vectors, shifts too wide |
//! | [`Sanitizer::Thread`] | two threads of a threadgroup at one place with no barrier between |
//!
//! A shift by 32 or more goes unseen in Metal text, as it is defined in OpenCL; CUDA text of the same program shows it.
//! Numbers are the CPU's: functions such as `exp` are more exact here than on a device, and denormals are not flushed.
//!
//! It runs on Linux: on x86-64 with a context switch of its own, elsewhere with `ucontext`, which is tried on x86-64 only.
//!
//! [`mutate`] makes mistakes in programs, to see that tests find them.

mod compile;
mod error;
mod launcher;
mod library;
pub mod lint;
mod load;
pub mod mutate;
mod process;
mod sources;
mod symbols;
mod tokens;

pub use error::{Error, Finding};
pub use library::{Language, Library, Order, Sanitizer};
