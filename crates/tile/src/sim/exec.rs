//! One threadgroup: its registers, its shared memory, and its way through the program.

use std::sync::Mutex;

use super::{
    Binding, Counts, Fault, Kernel, What,
    columns::Slot,
    lanes::{self, Operand},
    memory::{narrow, widen},
    shadow::{Shadow, Stamp, Touch},
};
use crate::{
    ir::{
        AtomicOp, Binary, Block, Builtin, Collective, Const, Expr, Kind, LANES, Line, Memory, Reg,
        Scope, Stmt, TILE, TileReg, Type,
    },
    record::At,
};

/// Elements of a tile.
const TILE_LEN: usize = (TILE * TILE) as usize;
const SIMD: usize = LANES as usize;

/// Which threads are here.
struct Mask {
    on: Vec<bool>,
    active: usize,
}

impl Mask {
    fn is_full(&self) -> bool {
        self.active == self.on.len()
    }

    fn threads(&self) -> impl Iterator<Item = usize> {
        self.on.iter().enumerate().filter(|(_, on)| **on).map(|(thread, _)| thread)
    }
}

/// A worker that runs threadgroups of a launch.
pub(super) struct Run<'a> {
    kernel: &'a Kernel,
    args: &'a [u32],
    buffers: &'a [Binding<'a>],
    width: usize,
    columns: Vec<Vec<u32>>,
    scalars: Vec<u32>,
    /// Bits of elements as they are stored, one a word.
    shared: Vec<Vec<u32>>,
    /// `[tile, simdgroup, TILE_LEN]`.
    tiles: Vec<f32>,
    shadow: Option<Shadow>,
    group: [u32; 3],
    number: u32,
    /// Barriers so far: of shared memory, of all memory, of each simdgroup.
    intervals: [u32; 2],
    turns: Vec<u32>,
    spare: Vec<Vec<bool>>,
    pub counts: Counts,
    total: Option<&'a Mutex<Counts>>,
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        if let Some(total) = self.total
            && let Ok(mut total) = total.lock()
        {
            *total += self.counts;
        }
    }
}

/// Where an access goes.
struct Place {
    memory: Memory,
    name: &'static str,
    elem: crate::ir::Elem,
    len: usize,
    count: usize,
}

impl<'a> Run<'a> {
    pub fn new(
        kernel: &'a Kernel,
        args: &'a [u32],
        buffers: &'a [Binding<'a>],
        shadow: Option<Shadow>,
    ) -> Self {
        let program = &kernel.program;
        let width = program.threads as usize;
        let simdgroups = width / SIMD;
        Self {
            kernel,
            args,
            buffers,
            width,
            columns: vec![vec![0; width]; kernel.columns],
            scalars: vec![0; program.regs.len()],
            shared: program.shared.iter().map(|s| vec![0; s.len as usize]).collect(),
            tiles: vec![0.0; program.tiles.len() * simdgroups * TILE_LEN],
            shadow,
            group: [0; 3],
            number: 0,
            intervals: [0; 2],
            turns: vec![0; simdgroups],
            spare: Vec::new(),
            counts: Counts::default(),
            total: None,
        }
    }

    /// Adds what it counts to `total` in the end.
    pub fn counted(self, total: &'a Mutex<Counts>) -> Self {
        let mut run = self;
        run.total = Some(total);
        run
    }

    /// Runs one threadgroup.
    pub fn group(&mut self, group: [u32; 3]) -> Result<(), Fault> {
        self.group = group;
        self.number = self.number.wrapping_add(1);
        self.counts.groups += 1;
        if let Some(shadow) = &mut self.shadow {
            shadow.next_group();
        }
        let kernel = self.kernel;
        let mask = Mask { on: vec![true; self.width], active: self.width };
        self.block(&kernel.program.body, &mask)
    }

    fn block(&mut self, block: &'a Block, mask: &Mask) -> Result<(), Fault> {
        block.iter().try_for_each(|stmt| self.stmt(stmt, mask))
    }

    fn fault(&self, at: At, thread: usize, what: What) -> Fault {
        Fault {
            kernel: self.kernel.program.name.clone(),
            line: Line(at).to_string(),
            group: self.group,
            thread: thread as u32,
            what,
        }
    }

    fn operand(&self, reg: Reg) -> Operand<'_> {
        match self.kernel.slots[reg.index()] {
            Slot::Scalar(i) => Operand::Scalar(self.scalars[i]),
            Slot::Column(i) => Operand::Column(&self.columns[i]),
        }
    }

    /// Computes a register, all lanes of it.
    fn make(&mut self, to: Reg, compute: impl FnOnce(&Self, &mut [u32])) {
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

    fn stmt(&mut self, stmt: &'a Stmt, mask: &Mask) -> Result<(), Fault> {
        let at = stmt.at;
        match &stmt.kind {
            Kind::Let(to, expr) => {
                self.counts.operations += mask.active as u64;
                self.invalid(at, expr, mask)?;
                self.make(*to, |run, out| run.expr(expr, out));
            }
            Kind::Assign(to, from) => {
                self.counts.operations += mask.active as u64;
                self.make(*to, |run, out| match run.operand(*from) {
                    Operand::Scalar(x) if out.len() == 1 || mask.is_full() => out.fill(x),
                    Operand::Column(from) if mask.is_full() => out.copy_from_slice(from),
                    from => mask.threads().for_each(|thread| out[thread] = from.at(thread)),
                });
            }
            Kind::Load { to, memory, index } => self.load(at, to, *memory, *index, mask)?,
            Kind::Store { from, memory, index } => self.store(at, from, *memory, *index, mask)?,
            Kind::Atomic { op, old, memory, index, value } => {
                self.atomic(at, *op, *old, *memory, *index, *value, mask)?;
            }
            Kind::If { condition, then, otherwise } => {
                // both before either block, which may use the condition's column again
                let masks = [self.mask(mask, *condition, true), self.mask(mask, *condition, false)];
                for (block, inner) in [then, otherwise].into_iter().zip(masks) {
                    if inner.active > 0 && !block.is_empty() {
                        self.block(block, &inner)?;
                    }
                    self.spare.push(inner.on);
                }
            }
            Kind::For { counter, from, to, step, body } => {
                self.each(at, *counter, [*from, *to, *step], body, mask)?;
            }
            Kind::Barrier(scope) => self.barrier(at, *scope, mask)?,
            Kind::Collective { op, to, value, lane } => {
                self.collective(at, *op, *to, *value, *lane, mask)?;
            }
            Kind::TileFill { tile, value } => {
                self.simdgroups(at, mask, |run, simd| {
                    run.tile(*tile, simd).fill(*value);
                    Ok(())
                })?;
            }
            Kind::TileLoad { tile, memory, index, stride, transposed } => {
                let turn = if *transposed { (1, *stride) } else { (*stride, 1) };
                self.simdgroups(at, mask, |run, simd| {
                    run.tile_load(*tile, simd, *memory, *index, turn)
                })?;
            }
            Kind::TileMultiply { sum, left, right } => {
                self.simdgroups(at, mask, |run, simd| {
                    run.tile_multiply(*sum, *left, *right, simd);
                    Ok(())
                })?;
            }
            Kind::TileStore { tile, memory, index, stride } => {
                self.simdgroups(at, mask, |run, simd| {
                    run.tile_store(*tile, simd, *memory, *index, *stride)
                })?;
            }
        }
        Ok(())
    }

    /// The threads of `mask` for which `condition` is `wanted`.
    fn mask(&mut self, mask: &Mask, condition: Reg, wanted: bool) -> Mask {
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

    fn each(
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

    /// Whether an expression has a result for all threads that are here.
    fn invalid(&self, at: At, expr: &Expr, mask: &Mask) -> Result<(), Fault> {
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

    fn expr(&self, expr: &Expr, out: &mut [u32]) {
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

    fn place(&self, memory: Memory, count: usize) -> Place {
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
    fn first(&self, at: At, place: &Place, thread: usize, index: u32) -> Result<usize, Fault> {
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
    fn raw(&self, place: &Place, index: usize) -> u32 {
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
    fn set_raw(&mut self, place: &Place, index: usize, raw: u32) {
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
    fn touch(
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
                if touch != Touch::Write && !shadow.is_defined(key.0, index) {
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
                    if touch != Touch::Read {
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

    fn load(
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

    fn store(
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
    fn atomic(
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

    fn barrier(&mut self, at: At, scope: Scope, mask: &Mask) -> Result<(), Fault> {
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
    fn simdgroups(
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

    fn collective(
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

    fn tile(&mut self, tile: TileReg, simd: usize) -> &mut [f32] {
        let simdgroups = self.width / SIMD;
        &mut self.tiles[(tile.0 as usize * simdgroups + simd) * TILE_LEN..][..TILE_LEN]
    }

    fn tile_load(
        &mut self,
        tile: TileReg,
        simd: usize,
        memory: Memory,
        index: Reg,
        strides: (u32, u32),
    ) -> Result<(), (usize, What)> {
        self.counts.shared += TILE_LEN as u64;
        let first = self.tile_elements(memory, index, simd, strides, Touch::Read)?;
        let place = self.place(memory, 1);
        let mut elements = [0.0; TILE_LEN];
        for (i, element) in elements.iter_mut().enumerate() {
            let raw = self.raw(&place, first + offset(i, strides));
            *element = f32::from_bits(widen(place.elem, raw));
        }
        self.tile(tile, simd).copy_from_slice(&elements);
        Ok(())
    }

    fn tile_store(
        &mut self,
        tile: TileReg,
        simd: usize,
        memory: Memory,
        index: Reg,
        stride: u32,
    ) -> Result<(), (usize, What)> {
        self.counts.shared += TILE_LEN as u64;
        let first = self.tile_elements(memory, index, simd, (stride, 1), Touch::Write)?;
        let place = self.place(memory, 1);
        let mut elements = [0.0; TILE_LEN];
        elements.copy_from_slice(self.tile(tile, simd));
        for (i, element) in elements.into_iter().enumerate() {
            self.set_raw(&place, first + offset(i, (stride, 1)), element.to_bits());
        }
        Ok(())
    }

    /// Checks and notes the access of a tile; gives its first element. The simdgroup's first lane stands for all.
    fn tile_elements(
        &mut self,
        memory: Memory,
        index: Reg,
        simd: usize,
        strides: (u32, u32),
        touch: Touch,
    ) -> Result<usize, (usize, What)> {
        let thread = simd * SIMD;
        let place = self.place(memory, 1);
        let index = self.operand(index).at(thread);
        let (first, len) = (index as usize, place.len);
        let last = first + offset(TILE_LEN - 1, strides);
        if last >= len {
            let what = What::Bounds { memory: place.name, index, count: last - first + 1, len };
            return Err((thread, what));
        }
        if !index.is_multiple_of(8) {
            let what = What::Alignment { memory: place.name, index, count: 8 };
            return Err((thread, what));
        }
        if self.shadow.is_some() {
            let at = std::panic::Location::caller();
            for i in 0..TILE_LEN {
                self.touch(at, &place, thread, first + offset(i, strides), touch)
                    .map_err(|fault| (thread, fault.what))?;
            }
        }
        Ok(first)
    }

    fn tile_multiply(&mut self, sum: TileReg, left: TileReg, right: TileReg, simd: usize) {
        self.counts.tiles += 1;
        let n = TILE as usize;
        let (mut a, mut b, mut c) = ([0.0; TILE_LEN], [0.0; TILE_LEN], [0.0; TILE_LEN]);
        a.copy_from_slice(self.tile(left, simd));
        b.copy_from_slice(self.tile(right, simd));
        c.copy_from_slice(self.tile(sum, simd));
        for (row, out) in a.chunks_exact(n).zip(c.chunks_exact_mut(n)) {
            for (x, column) in row.iter().zip(b.chunks_exact(n)) {
                out.iter_mut().zip(column).for_each(|(out, y)| *out += x * y);
            }
        }
        self.tile(sum, simd).copy_from_slice(&c);
    }
}

/// Where element `i` of a tile lies from its first.
fn offset(i: usize, (row, column): (u32, u32)) -> usize {
    i / TILE as usize * row as usize + i % TILE as usize * column as usize
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
