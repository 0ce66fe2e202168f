//! Loads, stores and atomic operations, and what is checked of them.

use super::{Mask, Run, SIMD};
use crate::{
    ir::{AtomicOp, Elem, Memory, Reg},
    record::At,
    sim::{
        Fault, What,
        lanes::Operand,
        memory::{narrow, widen},
        shadow::{Stamp, Touch},
    },
};

/// Where an access goes.
pub(super) struct Place {
    pub memory: Memory,
    pub name: &'static str,
    pub elem: Elem,
    pub len: usize,
    pub count: usize,
}

impl Run<'_> {
    pub(super) fn place(&self, memory: Memory, count: usize) -> Place {
        let program = &self.kernel.program;
        let elem = program.elem(memory);
        let len = match memory {
            Memory::Buffer(b) => self.buffers[b as usize].bytes / elem.bytes(),
            Memory::Shared(s) => program.shared[s as usize].len as usize,
        };
        Place { memory, name: program.memory_name(memory), elem, len, count }
    }

    /// Where a thread's access begins, checked.
    #[inline]
    pub(super) fn first(
        &self,
        at: At,
        place: &Place,
        thread: usize,
        index: u32,
    ) -> Result<usize, Fault> {
        let &Place { name: memory, len, count, .. } = place;
        let first = index as usize;
        if first + count > len {
            let what = What::Bounds { memory, index, count, len };
            return Err(self.fault(at, thread, what));
        }
        if !first.is_multiple_of(count) {
            return Err(self.fault(at, thread, What::Alignment { memory, index, count }));
        }
        Ok(first)
    }

    /// An element's stored bits.
    #[inline]
    pub(super) fn raw(&self, place: &Place, index: usize) -> u32 {
        match place.memory {
            Memory::Buffer(b) => {
                let binding = &self.buffers[b as usize];
                let bytes = place.elem.bytes();
                binding.memory.get(binding.offset + index * bytes, bytes)
            }
            Memory::Shared(s) => self.shared[s as usize][index],
        }
    }

    #[inline]
    pub(super) fn set_raw(&mut self, place: &Place, index: usize, raw: u32) {
        match place.memory {
            Memory::Buffer(b) => {
                let binding = &self.buffers[b as usize];
                let bytes = place.elem.bytes();
                binding.memory.put(binding.offset + index * bytes, bytes, raw);
            }
            Memory::Shared(s) => self.shared[s as usize][index] = raw,
        }
    }

    /// Notes an access, if such things are checked.
    pub(super) fn touch(
        &mut self,
        at: At,
        place: &Place,
        thread: usize,
        index: usize,
        touch: Touch,
    ) -> Result<(), Fault> {
        let turn = self.turns[thread / SIMD];
        let [shared, all] = self.intervals;
        let stamp =
            |interval, turn| Stamp { group: self.number, thread: thread as u32, interval, turn };
        let (in_shared, in_all) = (stamp(shared, turn), stamp(all, 0));
        let Some(shadow) = &mut self.shadow else { return Ok(()) };
        let memory = place.name;
        let undefined = What::Undefined { memory, index: index as u32 };
        let done = match place.memory {
            Memory::Shared(s) => {
                let key = (s as usize, index);
                if matches!(touch, Touch::Read | Touch::Atomic) && !shadow.is_defined(key.0, index)
                {
                    Err(undefined)
                } else {
                    shadow.shared(memory, key, touch, in_shared)
                }
            }
            Memory::Buffer(b) => {
                let binding = &self.buffers[b as usize];
                let bytes = place.elem.bytes();
                let byte = binding.offset + index * bytes;
                let key = (std::ptr::from_ref(binding.memory).addr(), byte);
                if touch != Touch::Write && !binding.memory.is_defined(byte, bytes) {
                    Err(undefined)
                } else {
                    if matches!(touch, Touch::Write | Touch::Atomic) {
                        binding.memory.define(byte, bytes);
                    }
                    shadow.buffer(memory, key, index as u32, touch, in_all)
                }
            }
        };
        done.map_err(|what| self.fault(at, thread, what))
    }

    fn touch_all(
        &mut self,
        at: At,
        place: &Place,
        index: Reg,
        touch: Touch,
        mask: &Mask,
    ) -> Result<(), Fault> {
        if self.shadow.is_none() {
            // bytes that the host may look at are defined all the same
            return Ok(());
        }
        for thread in mask.threads() {
            let first = self.first(at, place, thread, self.operand(index).at(thread))?;
            for i in first..first + place.count {
                self.touch(at, place, thread, i, touch)?;
            }
        }
        Ok(())
    }

    pub(super) fn load(
        &mut self,
        at: At,
        to: &[Reg],
        memory: Memory,
        index: Reg,
        mask: &Mask,
    ) -> Result<(), Fault> {
        let place = self.place(memory, to.len());
        self.touch_all(at, &place, index, Touch::Read, mask)?;
        let elements = (mask.active * to.len()) as u64;
        match memory {
            Memory::Buffer(_) => self.counts.loaded += elements * place.elem.bytes() as u64,
            Memory::Shared(_) => self.counts.shared += elements,
        }
        if let Operand::Scalar(i) = self.operand(index) {
            let thread = mask.threads().next().unwrap_or(0);
            let first = self.first(at, &place, thread, i)?;
            for (j, &to) in to.iter().enumerate() {
                let bits = widen(place.elem, self.raw(&place, first + j));
                self.make(to, |_, out| match out.len() {
                    1 => out[0] = bits,
                    _ => mask.threads().for_each(|thread| out[thread] = bits),
                });
            }
            return Ok(());
        }
        // the first register's pass checks, so the others need not
        for (j, &to) in to.iter().enumerate() {
            let mut done = Ok(());
            self.make(to, |run, out| done = run.gather(at, &place, j, index, mask, out));
            done?;
        }
        Ok(())
    }

    fn gather(
        &self,
        at: At,
        place: &Place,
        j: usize,
        index: Reg,
        mask: &Mask,
        out: &mut [u32],
    ) -> Result<(), Fault> {
        let Operand::Column(index) = self.operand(index) else { return Ok(()) };
        for (thread, (out, on)) in out.iter_mut().zip(&mask.on).enumerate() {
            if *on {
                let first = self.first(at, place, thread, index[thread])?;
                *out = widen(place.elem, self.raw(place, first + j));
            }
        }
        Ok(())
    }

    pub(super) fn store(
        &mut self,
        at: At,
        from: &[Reg],
        memory: Memory,
        index: Reg,
        mask: &Mask,
    ) -> Result<(), Fault> {
        let place = self.place(memory, from.len());
        self.touch_all(at, &place, index, Touch::Write, mask)?;
        let elements = (mask.active * from.len()) as u64;
        match memory {
            Memory::Buffer(_) => self.counts.stored += elements * place.elem.bytes() as u64,
            Memory::Shared(_) => self.counts.shared += elements,
        }
        for thread in mask.threads() {
            let first = self.first(at, &place, thread, self.operand(index).at(thread))?;
            for (j, &from) in from.iter().enumerate() {
                let raw = narrow(place.elem, self.operand(from).at(thread));
                self.set_raw(&place, first + j, raw);
            }
            if let (Memory::Buffer(b), None) = (memory, &self.shadow) {
                let binding = &self.buffers[b as usize];
                let bytes = place.elem.bytes();
                binding.memory.define(binding.offset + first * bytes, from.len() * bytes);
            }
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn atomic(
        &mut self,
        at: At,
        op: AtomicOp,
        old: Reg,
        memory: Memory,
        index: Reg,
        value: Reg,
        mask: &Mask,
    ) -> Result<(), Fault> {
        let place = self.place(memory, 1);
        self.touch_all(at, &place, index, Touch::Atomic, mask)?;
        self.counts.operations += mask.active as u64;
        let change = |x: u32, y: u32| match op {
            AtomicOp::Add => x.wrapping_add(y),
            AtomicOp::Max => x.max(y),
            AtomicOp::Min => x.min(y),
            AtomicOp::Or => x | y,
        };
        let mut before = vec![0; self.width];
        for thread in mask.threads() {
            let first = self.first(at, &place, thread, self.operand(index).at(thread))?;
            let y = self.operand(value).at(thread);
            before[thread] = match memory {
                Memory::Buffer(b) => {
                    let binding = &self.buffers[b as usize];
                    binding.memory.update(binding.offset + first * 4, |x| change(x, y))
                }
                Memory::Shared(s) => {
                    let word = &mut self.shared[s as usize][first];
                    std::mem::replace(word, change(*word, y))
                }
            };
        }
        self.make(old, |_, out| mask.threads().for_each(|thread| out[thread] = before[thread]));
        Ok(())
    }
}
