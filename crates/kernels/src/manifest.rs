//! Each kernel as models of today ask for it, to be compiled and looked at where there is no GPU: 4-bit weights, heads of 64
//! and 128, and whatever makes a kernel of another size.
//!
//! What it takes of an NVIDIA multiprocessor is in `registers.txt`, which `cargo xtask registers` compares.

use tessera_graph::Activation;
use tessera_quant::{Float, Packing};
use tessera_tile::{BuildError, Program, Record, ir::Elem};

use crate::{
    append::Append,
    attend::{Attend, SPLIT},
    attend_join::AttendJoin,
    attend_tile::AttendTile,
    cache::Cache,
    chunks::{carry::ScanCarry, gram::Gram, read::ChunkRead},
    codes::Matrix,
    conv::Conv,
    embed::Embed,
    end::End,
    experts::{
        matmul::ExpertMatmul, mix::ExpertMix, product::ExpertProduct, sort::ExpertSort,
        sum::ExpertSum,
    },
    matmul::Matmul,
    matvec::Matvec,
    pointwise::{Op, Pointwise},
    rms_norm::RmsNorm,
    rope::{Rope, RopeTable},
    route::{Route, Scores},
    sample::{draw::Draw, report::Report, survey::Survey, weigh::Weigh},
    scan::Scan,
    select::SelectRows,
    sight::Sight,
    turn::Turn,
    unit::Unit,
};

/// The kernels, recorded.
pub fn programs() -> Result<Vec<Program>, BuildError> {
    let mut list = List::default();
    products(&mut list)?;
    attention(&mut list)?;
    experts(&mut list)?;
    recurrent(&mut list)?;
    sampling(&mut list)?;
    for per_head in [false, true] {
        list.add(RmsNorm { per_head, threads: 256 })?;
    }
    list.add(RopeTable)?;
    list.add(Rope)?;
    for norm in [false, true] {
        let cache = Cache { elem: Elem::F16, head_dim: 128 };
        list.add(Turn { cache, pairs: 64, norm, simdgroups: 4 })?;
    }
    list.add(SelectRows)?;
    for op in [Op::Unit(Unit::Gated(Activation::Silu)), Op::Add, Op::Softcap] {
        list.add(Pointwise { op })?;
    }
    Ok(list.0)
}

#[derive(Default)]
struct List(Vec<Program>);

impl List {
    /// Adds a kernel, once: two ways of asking may come to the same.
    fn add(&mut self, kernel: impl Record) -> Result<(), BuildError> {
        if self.0.iter().all(|program| program.name != kernel.name()) {
            self.0.push(kernel.record()?);
        }
        Ok(())
    }
}

fn of(packing: Packing) -> Matrix {
    Matrix { form: packing.form() }
}

const FOUR_BITS: Packing = Packing::Affine { bits: 4, group: 64, scale: Float::F16 };

fn products(list: &mut List) -> Result<(), BuildError> {
    let plain = Matvec {
        matrix: of(FOUR_BITS),
        rows: 2,
        simdgroups: 4,
        batch: 1,
        split: 1,
        blocks: 64,
        turns: 1,
        ragged: false,
        norm: false,
        bias: false,
        end: End::Parts(1),
    };
    for batch in [1, 2, 4] {
        list.add(Matvec { batch, ..plain }.over(4096))?;
    }
    let gated = End::Unit(Unit::Gated(Activation::Silu));
    for (norm, end) in [(false, End::Residual), (true, End::Parts(3)), (true, gated)] {
        list.add(Matvec { norm, end, ..plain })?;
    }
    let bits = |bits| Packing::Affine { bits, group: 64, scale: Float::BF16 };
    let others = [Packing::Dense(Float::BF16), bits(3), bits(8), Packing::Mxfp4, Packing::Nvfp4];
    for packing in others {
        list.add(Matvec { matrix: of(packing), ..plain })?;
    }
    for packing in [FOUR_BITS, Packing::Dense(Float::BF16)] {
        list.add(Embed { matrix: of(packing), ragged: false })?;
        list.add(Matmul::new(of(packing), Elem::F32, 64, false))?;
        for (vectors, long) in [(16, false), (64, false), (u32::MAX, false), (u32::MAX, true)] {
            list.add(Matmul::new(of(packing), Elem::F16, vectors, long).fitted())?;
        }
    }
    Ok(())
}

fn attention(list: &mut List) -> Result<(), BuildError> {
    for (elem, head_dim, group) in [(Elem::F16, 64, 3), (Elem::F16, 128, 4), (Elem::BF16, 256, 8)] {
        let cache = Cache { elem, head_dim };
        let sight = Sight::default();
        let (split, threads) = (SPLIT, 128);
        list.add(Append { cache, threads: 64 })?;
        let softcap = false;
        list.add(Attend { cache, group, share: group.min(4), split, threads, sight, softcap })?;
        list.add(AttendJoin { head_dim, split, threads: 64, sight, sinks: false })?;
        // what fits into shared memory
        let bands = if head_dim > 128 { 1 } else { 2 };
        let tile = AttendTile {
            cache,
            group,
            rows: bands * 16,
            bands,
            dims: 64,
            depth: 1,
            stage: Elem::F16,
            sight,
            softcap,
            sinks: false,
        };
        list.add(tile)?;
        if head_dim == 64 {
            list.add(AttendTile { dims: 32, depth: 2, ..tile })?;
        }
    }
    Ok(())
}

fn experts(list: &mut List) -> Result<(), BuildError> {
    let (matrix, k) = (of(Packing::Mxfp4), 4);
    for (experts, scores) in [(32, Scores::Softmax), (256, Scores::Sigmoid)] {
        let (bias, groups) = (false, None);
        list.add(Route { experts, k, scores, bias, groups, normalise: true, simdgroups: 1 })?;
    }
    let (rows, simdgroups, bias, ragged) = (2, 4, true, false);
    let unit = Unit::Gated(Activation::Silu);
    list.add(ExpertProduct { matrix, unit, k, bias, ragged, rows, simdgroups })?;
    list.add(ExpertSum { matrix, k, bias, ragged, rows, simdgroups })?;
    list.add(ExpertSort { experts: 32, k, tile: 32, threads: 128 })?;
    let plain = Matmul::of_experts(matrix, Elem::F16, 32);
    for (end, shared) in [(End::Unit(unit), k), (End::Parts(1), 1)] {
        let product = Matmul { ragged, bias, end, ..plain };
        list.add(ExpertMatmul { product, shared })?;
    }
    list.add(ExpertMix { k, threads: 128 })
}

fn recurrent(list: &mut List) -> Result<(), BuildError> {
    let activation = Some(Activation::Silu);
    list.add(Conv { kernel: 4, bias: true, activation, rows: 8, threads: 64 })?;
    for chunked in [false, true] {
        list.add(Scan { state: 128, log_decay: true, skip: true, chunked, simdgroups: 4 })?;
    }
    list.add(ScanCarry { log_decay: true })?;
    list.add(Gram)?;
    list.add(ChunkRead { interleaved: false, skip: true })
}

fn sampling(list: &mut List) -> Result<(), BuildError> {
    let threads = 256;
    list.add(Survey { adjust: true, greedy: false, threads })?;
    list.add(Weigh { adjusted: true, threads })?;
    list.add(Draw { greedy: false, threads })?;
    list.add(Draw { greedy: true, threads })?;
    list.add(Report { top: true, threads })
}
