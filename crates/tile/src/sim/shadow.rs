//! Who touched an element last, to find races.

use std::collections::HashMap;

use super::fault::What;
use crate::ir::LANES;

/// When and by whom an access was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Threadgroup, numbered along x, y, z.
    pub group: u32,
    pub thread: u32,
    /// Barriers of the threadgroup before it, of those that order this kind of memory.
    pub interval: u32,
    /// Barriers of the simdgroup before it.
    pub turn: u32,
}

impl Stamp {
    /// Whether `later` sees what was done at `self`.
    fn ordered(self, later: Self) -> bool {
        self.group == later.group
            && (self.thread == later.thread
                || self.interval != later.interval
                || self.thread / LANES == later.thread / LANES && self.turn != later.turn)
    }
}

/// How an element is touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Touch {
    Read,
    Write,
    Atomic,
    /// A copy begins: in a buffer from here, in shared memory to here.
    Begin,
    /// It ends; what it is copied to is written now.
    End,
}

#[derive(Debug, Clone, Copy, Default)]
struct Element {
    /// Last write, and whether it was atomic.
    write: Option<(Stamp, bool)>,
    /// Last readers, two different threads.
    reads: [Option<Stamp>; 2],
}

/// Elements touched in a launch: those of buffers by memory and byte, those of shared arrays by array and index.
#[derive(Debug, Default)]
pub(super) struct Shadow {
    buffers: HashMap<(usize, usize), Element>,
    shared: HashMap<(usize, usize), Element>,
    /// Elements of shared arrays that are being copied to, and by whom.
    landing: HashMap<(usize, usize), u32>,
    /// Elements of buffers that are being copied from, how often, and by whom.
    leaving: HashMap<(usize, usize), (u32, u32)>,
}

impl Shadow {
    /// Begins another threadgroup: its shared memory is undefined.
    pub fn next_group(&mut self) {
        self.shared.clear();
        self.landing.clear();
        self.leaving.clear();
    }

    /// Whether an element of a shared array was written.
    pub fn is_defined(&self, array: usize, index: usize) -> bool {
        self.shared.get(&(array, index)).is_some_and(|element| element.write.is_some())
    }

    /// Notes an access to a shared array.
    pub fn shared(
        &mut self,
        name: &'static str,
        key: (usize, usize),
        touch: Touch,
        now: Stamp,
    ) -> Result<(), What> {
        let index = key.1 as u32;
        if touch == Touch::End {
            self.landing.remove(&key);
        }
        if let Some(&by) = self.landing.get(&key) {
            return Err(What::Flight { memory: name, index, by });
        }
        let copies = matches!(touch, Touch::Begin | Touch::End);
        let element = self.shared.entry(key).or_default();
        note(element, name, index, if copies { Touch::Write } else { touch }, now)?;
        if touch == Touch::Begin {
            self.landing.insert(key, now.thread);
        }
        Ok(())
    }

    /// Notes an access to a buffer.
    pub fn buffer(
        &mut self,
        name: &'static str,
        key: (usize, usize),
        index: u32,
        touch: Touch,
        now: Stamp,
    ) -> Result<(), What> {
        match (touch, self.leaving.get_mut(&key)) {
            (Touch::Write | Touch::Atomic, Some(&mut (_, by))) => {
                return Err(What::Flight { memory: name, index, by });
            }
            (Touch::End, Some((1, _))) => drop(self.leaving.remove(&key)),
            (Touch::End, Some((copies, _))) => *copies -= 1,
            (Touch::Begin, Some((copies, _))) => *copies += 1,
            (Touch::Begin, None) => drop(self.leaving.insert(key, (1, now.thread))),
            _ => {}
        }
        let copies = matches!(touch, Touch::Begin | Touch::End);
        let element = self.buffers.entry(key).or_default();
        note(element, name, index, if copies { Touch::Read } else { touch }, now)
    }
}

fn note(
    element: &mut Element,
    memory: &'static str,
    index: u32,
    touch: Touch,
    now: Stamp,
) -> Result<(), What> {
    let race = |with: Stamp| What::Race { memory, index, other: with.thread, group: with.group };
    if let Some((write, atomic)) = element.write
        && !(atomic && touch == Touch::Atomic)
        && !write.ordered(now)
    {
        return Err(race(write));
    }
    if touch == Touch::Read {
        let same = |read: Stamp| (read.group, read.thread) == (now.group, now.thread);
        if element.reads[0].is_none_or(same) {
            element.reads[0] = Some(now);
        } else {
            element.reads[1] = element.reads[0];
            element.reads[0] = Some(now);
        }
        return Ok(());
    }
    let unordered = element.reads.iter().flatten().find(|read| !read.ordered(now));
    if let Some(&read) = unordered {
        return Err(race(read));
    }
    element.write = Some((now, touch == Touch::Atomic));
    Ok(())
}
