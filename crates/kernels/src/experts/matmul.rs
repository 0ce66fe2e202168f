//! Products of many pairs by their experts' matrices.
//!
//! Version 1: lanes multiplied, for up to eight pairs of an expert at once.
//! Version 2: by matrix tiles, as [`matmul`].

use tessera_tile::prelude::*;

use crate::{
    check::{self, ensure},
    codes::Planes,
    end::End,
    matmul::{self, Matmul, MatmulArgs, Results, Source, Vectors},
    tune::{Tunable, variants},
};

/// `y[pair] = x[pair / shared] W^T + bias` with the matrix of the pair's expert, and what [`End`] makes of it.
///
/// `W` is `[experts * rows, cols]`, expert after expert, so is `bias`; `x` is `[pairs / shared, cols]`, `y` `[pairs, rows]`, or
/// rows / 2 of a gated unit. `order` and `tiles` are those of an [`ExpertSort`](super::sort::ExpertSort) whose tiles have at
/// most as many pairs as a block has vectors. [`MatmulArgs::vectors`] is the number of tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct ExpertMatmul {
    /// A tile's product.
    pub product: Matmul,
    /// Neighbouring pairs that have the same vector: the routes of a row, or 1.
    pub shared: u32,
}

impl Spec for ExpertMatmul {
    type Args = MatmulArgs;

    fn threads(&self) -> u32 {
        self.product.threads()
    }

    fn grid(&self, a: &MatmulArgs) -> [u32; 3] {
        let [_, rows, _] = self.product.grid(a);
        [a.vectors, rows, 1]
    }

    fn check(&self, a: &MatmulArgs) -> Result<(), String> {
        let whole = matches!(self.product.end, End::Parts(1) | End::Unit(_)) && self.shared > 0;
        ensure!(whole, "{:?} of experts, {} pairs a vector", self.product.end, self.shared);
        self.product.geometry()?;
        check::product(&[a.rows, a.vectors], a.cols, self.product.ragged)?;
        self.product.end.check(a.rows, 0, 0)
    }
}

impl Tunable for ExpertMatmul {
    /// Vectors stay: tiles are made for them.
    fn candidates(&self) -> Vec<Self> {
        let own = *self;
        let products = own.product.candidates().into_iter();
        let alike = products.filter(|product| product.vectors == own.product.vectors);
        variants(own, alike.map(|product| Self { product, ..own }))
    }

    fn same_bits(&self) -> bool {
        true
    }
}

#[kernel]
fn expert_matmul(
    k: &ExpertMatmul,
    x: In<F32>,
    order: In<U32>,
    tiles: In<U32>,
    #[of(k.product.matrix)] w: Planes,
    #[when(k.product.bias)] bias: Option<In<F32>>,
    y: Out<F32>,
    a: Args<MatmulArgs>,
) {
    let [expert, first, count, _] = tiles.load(group(0) * 4);
    if count > 0 {
        let product = &k.product;
        let vectors = Vectors::Listed { list: order, first, count, shared: k.shared };
        let (base, first) = (expert * a.rows, group(1) * product.rows);
        let parts = vec![(y, a.rows / product.end.halves())];
        let source = Source { k: product, x, w: &w, vectors: &vectors, base, first, a: &a };
        matmul::multiply(&source, &Results { parts, bias, residual: None });
    }
}
