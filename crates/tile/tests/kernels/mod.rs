//! Small kernels that between them use all of the language.

#![allow(dead_code)]

use tessera_tile::{Program, prelude::*};

mod arithmetic;
mod flow;
mod lanes;
mod matrices;
mod memory;
mod staged;

pub use arithmetic::*;
pub use flow::*;
pub use lanes::*;
pub use matrices::*;
pub use memory::*;
pub use staged::*;

/// A specialisation without preconditions.
macro_rules! spec {
    ($name:ident, $args:ty, $threads:expr) => {
        impl Spec for $name {
            type Args = $args;
            fn threads(&self) -> u32 {
                $threads
            }
            fn grid(&self, _: &$args) -> [u32; 3] {
                [1, 1, 1]
            }
            fn check(&self, _: &$args) -> Result<(), String> {
                Ok(())
            }
        }
    };
}
pub(crate) use spec;

/// No arguments.
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct None_ {}

/// A length.
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct Len {
    pub len: u32,
}

/// All of them.
pub fn all() -> Vec<Program> {
    let elems =
        [Elem::F32, Elem::F16, Elem::BF16, Elem::U32, Elem::I32, Elem::U16, Elem::U8, Elem::I8];
    let mut programs = vec![
        Scaled.record(),
        RmsNorm { elem: Elem::BF16 }.record(),
        Matvec { rows: 2 }.record(),
        Whole.record(),
        Floats.record(),
        Literals.record(),
        Branches.record(),
        Order.record(),
        Words.record(),
        Histogram.record(),
        Lanes.record(),
        Barriers.record(),
        Matmul { elem: Elem::F16, transposed: false }.record(),
        Matmul { elem: Elem::F32, transposed: true }.record(),
        Ring { depth: 2 }.record(),
        Ring { depth: 3 }.record(),
        Staged.record(),
        Optional { bias: true }.record(),
        Optional { bias: false }.record(),
    ];
    programs.extend(elems.map(|elem| match elem.value() {
        tessera_tile::ir::Type::F32 => FloatWidths { elem }.record(),
        tessera_tile::ir::Type::U32 => WordWidths { elem }.record(),
        _ if elem == Elem::I8 => ByteWidths.record(),
        _ => IntWidths.record(),
    }));
    programs.into_iter().map(|program| program.unwrap()).collect()
}
