//! What a kernel is to its callers: a specialisation with its argument struct, its geometry and its preconditions.

use crate::{BuildError, Name, Program, ir::Field};

/// A specialisation of a kernel: a value whose fields are constants of the recorded program.
///
/// Its author writes this; [`Record`] comes from the `#[kernel]` attribute on the function, and the printed function is called
/// what [`Name`] makes of all the constants: `matvec_q4_f16b_g64_r4`.
pub trait Spec: Name + 'static {
    /// Scalars that come with each launch.
    type Args: Arguments;

    /// Threads of a threadgroup, a multiple of 32 up to 1024.
    fn threads(&self) -> u32;

    /// Threadgroups along x, y and z.
    fn grid(&self, args: &Self::Args) -> [u32; 3];

    /// Whether the kernel can do what is asked of it; if not, why. Checked on the host before a launch.
    fn check(&self, args: &Self::Args) -> Result<(), String>;
}

/// A specialisation that can be recorded.
pub trait Record: Spec {
    /// The program, checked.
    fn record(&self) -> Result<Program, BuildError>;
}

/// A struct of scalars, each of four bytes; `#[derive(Args)]` implements it.
pub trait Arguments: Copy + Send + Sync + 'static {
    /// The same struct of a kernel's values.
    type Vals;

    /// Names and types, in order.
    fn fields() -> Vec<Field>;

    /// The bits of each field, in order.
    fn words(&self) -> Vec<u32>;

    #[doc(hidden)]
    fn declare() -> Self::Vals;
}

/// A kernel function's parameter of an argument struct.
pub struct Args<T: Arguments>(T::Vals);

impl<T: Arguments> std::ops::Deref for Args<T> {
    type Target = T::Vals;

    fn deref(&self) -> &T::Vals {
        &self.0
    }
}

/// What a kernel function takes.
pub trait Parameter {
    /// What the specialisation tells of it, `#[of(...)]`.
    type Of;

    /// Declares it in the program that is being recorded.
    fn declare(name: &'static str, of: Self::Of) -> Self;
}

impl<T: Arguments> Parameter for Args<T> {
    type Of = ();

    fn declare(_: &'static str, (): ()) -> Self {
        Self(T::declare())
    }
}

/// A scalar as bits of an argument struct.
pub trait ArgumentField {
    /// Its bits.
    fn word(self) -> u32;
}

impl ArgumentField for u32 {
    fn word(self) -> u32 {
        self
    }
}

impl ArgumentField for i32 {
    fn word(self) -> u32 {
        self as u32
    }
}

impl ArgumentField for f32 {
    fn word(self) -> u32 {
        self.to_bits()
    }
}
