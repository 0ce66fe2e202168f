//! Who goes where: branches and loops.

use super::{Mask, Run};
use crate::{
    ir::{Block, Reg},
    record::At,
    sim::{
        Fault, What,
        columns::Slot,
        lanes::{self, Operand},
    },
};

impl<'a> Run<'a> {
    /// The threads of `mask` for which `condition` is `wanted`.
    pub(super) fn mask(&mut self, mask: &Mask, condition: Reg, wanted: bool) -> Mask {
        let mut on = self.spare.pop().unwrap_or_default();
        on.clear();
        match self.operand(condition) {
            Operand::Scalar(x) if (x != 0) == wanted => on.extend_from_slice(&mask.on),
            Operand::Scalar(_) => on.resize(self.width, false),
            Operand::Column(column) => {
                on.extend(mask.on.iter().zip(column).map(|(on, x)| *on & ((*x != 0) == wanted)));
            }
        }
        let active = on.iter().map(|on| usize::from(*on)).sum();
        Mask { on, active }
    }

    pub(super) fn each(
        &mut self,
        at: At,
        counter: Reg,
        bounds: [Reg; 3],
        body: &'a Block,
        mask: &Mask,
    ) -> Result<(), Fault> {
        let [from, to, step] = bounds;
        let zero = mask.threads().find(|&thread| self.operand(step).at(thread) == 0);
        if let Some(thread) = zero {
            return Err(self.fault(at, thread, What::Step));
        }
        self.make(counter, |run, out| lanes::map1(out, run.operand(from), |x| x));
        let mut inner = Mask { on: self.spare.pop().unwrap_or_default(), active: 0 };
        loop {
            inner.on.clear();
            let (now, end) = (self.operand(counter), self.operand(to));
            match (now, end) {
                (Operand::Scalar(now), Operand::Scalar(end)) => {
                    if now < end {
                        inner.on.extend_from_slice(&mask.on);
                    }
                }
                _ => {
                    let here =
                        |(thread, on): (usize, &bool)| *on & (now.at(thread) < end.at(thread));
                    inner.on.extend(mask.on.iter().enumerate().map(here));
                }
            }
            inner.active = inner.on.iter().map(|on| usize::from(*on)).sum();
            if inner.active == 0 {
                break;
            }
            self.block(body, &inner)?;
            self.counts.operations += inner.active as u64;
            // a counter that would wrap has reached its end
            match (self.kernel.slots[counter.index()], self.operand(step), self.operand(to)) {
                (Slot::Scalar(i), Operand::Scalar(step), Operand::Scalar(end)) => {
                    let now = self.scalars[i];
                    self.scalars[i] = now.checked_add(step).unwrap_or(end);
                }
                _ => self.make(counter, |run, out| {
                    let (step, end) = (run.operand(step), run.operand(to));
                    for (thread, now) in out.iter_mut().enumerate() {
                        *now = now.checked_add(step.at(thread)).unwrap_or(end.at(thread));
                    }
                }),
            }
        }
        self.spare.push(inner.on);
        Ok(())
    }
}
