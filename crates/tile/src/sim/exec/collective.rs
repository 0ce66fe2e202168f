//! What threads do together: barriers, and operations of a simdgroup.

use super::{Mask, Run, SIMD};
use crate::{
    ir::{Binary, Collective, LANES, Reg, Scope, Type},
    record::At,
    sim::{
        Fault, What,
        lanes::{self, Operand},
    },
};

impl Run<'_> {
    pub(super) fn barrier(&mut self, at: At, scope: Scope, mask: &Mask) -> Result<(), Fault> {
        match scope {
            Scope::Simdgroup => {
                return self.simdgroups(at, mask, |run, simd| {
                    run.turns[simd] += 1;
                    Ok(())
                });
            }
            Scope::Shared | Scope::All => {
                if !mask.is_full() {
                    return Err(self.fault(at, 0, What::Missing));
                }
                self.counts.barriers += 1;
                self.intervals[0] += 1;
                if scope == Scope::All {
                    self.intervals[1] += 1;
                }
            }
        }
        Ok(())
    }

    /// Calls `each` for every simdgroup that is here, which must be whole.
    pub(super) fn simdgroups(
        &mut self,
        at: At,
        mask: &Mask,
        mut each: impl FnMut(&mut Self, usize) -> Result<(), (usize, What)>,
    ) -> Result<(), Fault> {
        for simd in 0..self.width / SIMD {
            let lanes = &mask.on[simd * SIMD..][..SIMD];
            if !lanes.contains(&true) {
                continue;
            }
            if let Some(missing) = lanes.iter().position(|on| !on) {
                return Err(self.fault(at, simd * SIMD + missing, What::Missing));
            }
            each(self, simd).map_err(|(thread, what)| self.fault(at, thread, what))?;
        }
        Ok(())
    }

    pub(super) fn collective(
        &mut self,
        at: At,
        op: Collective,
        to: Reg,
        value: Reg,
        lane: Option<Reg>,
        mask: &Mask,
    ) -> Result<(), Fault> {
        self.counts.operations += mask.active as u64;
        let ty = self.kernel.program.ty(value);
        let mut results = vec![0; self.width];
        self.simdgroups(at, mask, |run, simd| {
            let first = simd * SIMD;
            let values: [u32; SIMD] = std::array::from_fn(|i| run.operand(value).at(first + i));
            let asked: [u32; SIMD] =
                std::array::from_fn(|i| lane.map_or(0, |lane| run.operand(lane).at(first + i)));
            if let Some(i) = asked.iter().position(|&lane| lane >= LANES) {
                return Err((first + i, What::Lane(asked[i])));
            }
            results[first..][..SIMD].copy_from_slice(&together(op, ty, &values, &asked));
            Ok(())
        })?;
        self.make(to, |_, out| match out.len() {
            1 => out[0] = results[mask.threads().next().unwrap_or(0)],
            _ => mask.threads().for_each(|thread| out[thread] = results[thread]),
        });
        Ok(())
    }
}

/// An operation of a whole simdgroup.
fn together(op: Collective, ty: Type, values: &[u32; SIMD], asked: &[u32; SIMD]) -> [u32; SIMD] {
    let two = |op: Binary, a: u32, b: u32| {
        let mut out = [0];
        lanes::binary(op, ty, &mut out, Operand::Scalar(a), Operand::Scalar(b));
        out[0]
    };
    let tree = |op: Binary| {
        let mut x = *values;
        for distance in [16, 8, 4, 2, 1] {
            for i in 0..distance {
                x[i] = two(op, x[i], x[i + distance]);
            }
        }
        [x[0]; SIMD]
    };
    match op {
        Collective::Sum => tree(Binary::Add),
        Collective::Max => tree(Binary::Max),
        Collective::Min => tree(Binary::Min),
        Collective::Shuffle => asked.map(|lane| values[lane as usize]),
        Collective::ShuffleXor(mask) => std::array::from_fn(|i| values[i ^ mask as usize]),
        Collective::PrefixSum => {
            let mut x = *values;
            for distance in [1, 2, 4, 8, 16] {
                let before = x;
                for i in distance..SIMD {
                    x[i] = two(Binary::Add, before[i], before[i - distance]);
                }
            }
            std::array::from_fn(|i| if i == 0 { 0 } else { x[i - 1] })
        }
        Collective::Ballot => {
            let bits = values.iter().enumerate().map(|(i, &x)| u32::from(x != 0) << i);
            [bits.sum(); SIMD]
        }
    }
}
