//! Which vectors a threadgroup multiplies, and where their results go.

use tessera_tile::prelude::*;

/// The vectors of a block.
pub(crate) enum Vectors {
    /// Neighbours, of `count` in all.
    Neighbours {
        /// The first.
        first: Val<u32>,
        /// All vectors.
        count: Val<u32>,
    },
    /// Those that a list names: see [`ExpertMatmul`](crate::experts::matmul::ExpertMatmul).
    Listed {
        /// The list.
        list: In<U32>,
        /// Where the block's part of it begins.
        first: Val<u32>,
        /// How many they are, at least one.
        count: Val<u32>,
        /// How many entries have the same vector.
        shared: u32,
    },
}

impl Vectors {
    /// Which vector the block's `v`th is; one that there is.
    pub fn input(&self, v: Val<u32>) -> Val<u32> {
        match *self {
            Self::Neighbours { first, count } => min(first + v, count - 1),
            Self::Listed { list, first, count, shared: 1 } => list.at(first + min(v, count - 1)),
            Self::Listed { list, first, count, shared } => {
                list.at(first + min(v, count - 1)) / shared
            }
        }
    }

    /// Where the block's `v`th has its result, and whether there is such a vector.
    pub fn output(&self, v: Val<u32>) -> (Val<u32>, Val<bool>) {
        use tessera_tile::flow::Compare;
        match *self {
            Self::Neighbours { first, count } => (first + v, (first + v).lt(count)),
            Self::Listed { list, first, count, .. } => {
                (list.at(first + min(v, count - 1)), v.lt(count))
            }
        }
    }
}
