//! Registers, and expressions of them.

use super::{Mask, Run};
use crate::{
    ir::{Binary, Builtin, Const, Expr, LANES, Reg},
    record::At,
    sim::{
        Fault, What,
        columns::Slot,
        lanes::{self, Operand},
    },
};

impl Run<'_> {
    pub(super) fn operand(&self, reg: Reg) -> Operand<'_> {
        match self.kernel.slots[reg.index()] {
            Slot::Scalar(i) => Operand::Scalar(self.scalars[i]),
            Slot::Column(i) => Operand::Column(&self.columns[i]),
        }
    }

    /// Computes a register, all lanes of it.
    pub(super) fn make(&mut self, to: Reg, compute: impl FnOnce(&Self, &mut [u32])) {
        match self.kernel.slots[to.index()] {
            Slot::Scalar(i) => {
                let mut out = [self.scalars[i]];
                compute(self, &mut out);
                self.scalars[i] = out[0];
            }
            Slot::Column(i) => {
                let mut out = std::mem::take(&mut self.columns[i]);
                compute(self, &mut out);
                self.columns[i] = out;
            }
        }
    }

    /// Sets a variable, for the threads that are here.
    pub(super) fn assign(&mut self, to: Reg, from: Reg, mask: &Mask) {
        self.counts.operations += mask.active as u64;
        self.make(to, |run, out| match run.operand(from) {
            Operand::Scalar(x) if out.len() == 1 || mask.is_full() => out.fill(x),
            Operand::Column(from) if mask.is_full() => out.copy_from_slice(from),
            from => mask.threads().for_each(|thread| out[thread] = from.at(thread)),
        });
    }

    /// Whether an expression has a result for all threads that are here.
    pub(super) fn invalid(&self, at: At, expr: &Expr, mask: &Mask) -> Result<(), Fault> {
        let Expr::Binary(op, _, b) = expr else { return Ok(()) };
        if !matches!(op, Binary::Div | Binary::Rem | Binary::Shl | Binary::Shr) {
            return Ok(());
        }
        let ty = self.kernel.program.ty(*b);
        let found = match self.operand(*b) {
            Operand::Scalar(b) => lanes::invalid(*op, ty, b).map(|what| (0, what)),
            Operand::Column(column) => mask
                .threads()
                .find_map(|thread| Some((thread, lanes::invalid(*op, ty, column[thread])?))),
        };
        found.map_or(Ok(()), |(thread, what)| Err(self.fault(at, thread, What::Arithmetic(what))))
    }

    pub(super) fn expr(&self, expr: &Expr, out: &mut [u32]) {
        let program = &self.kernel.program;
        match *expr {
            Expr::Const(constant) => out.fill(match constant {
                Const::Bool(x) => u32::from(x),
                Const::I32(x) => x as u32,
                Const::U32(x) => x,
                Const::F32(x) => x.to_bits(),
            }),
            Expr::Arg(i) => out.fill(self.args[i as usize]),
            Expr::Builtin(which) => {
                for (thread, out) in (0..).zip(out) {
                    *out = match which {
                        Builtin::Group(axis) => self.group[usize::from(axis)],
                        Builtin::Thread => thread,
                        Builtin::Lane => thread % LANES,
                        Builtin::Simdgroup => thread / LANES,
                    };
                }
            }
            Expr::Read(a) => lanes::map1(out, self.operand(a), |a| a),
            Expr::Unary(op, a) => lanes::unary(op, program.ty(a), out, self.operand(a)),
            Expr::Binary(op, a, b) => {
                lanes::binary(op, program.ty(a), out, self.operand(a), self.operand(b));
            }
            Expr::Fma(a, b, c) => {
                // the product is exact in f64, so this differs from one rounding once in some 2^29 times
                let float = |x: u32| f64::from(f32::from_bits(x));
                let fma = |a, b, c| ((float(a) * float(b) + float(c)) as f32).to_bits();
                lanes::map3(out, self.operand(a), self.operand(b), self.operand(c), fma);
            }
            Expr::Select(c, a, b) => {
                let select = |c, a, b| if c != 0 { a } else { b };
                lanes::map3(out, self.operand(c), self.operand(a), self.operand(b), select);
            }
            Expr::Convert(ty, a) => lanes::convert(program.ty(a), ty, out, self.operand(a)),
            Expr::Bits(_, a) => lanes::map1(out, self.operand(a), |a| a),
        }
    }
}
