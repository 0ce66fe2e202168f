//! The simulated device's memory.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU32, Ordering::Relaxed},
    },
};

use half::{bf16, f16};

use crate::ir::Elem;

/// What memory is made of.
enum Words {
    Own(Vec<AtomicU32>),
    /// A range of bytes that another holds, which nothing changes.
    Lent(Arc<dyn AsRef<[u8]> + Send + Sync>, Range<usize>),
}

impl Words {
    fn lent(&self) -> Option<&[u8]> {
        match self {
            Self::Own(_) => None,
            Self::Lent(bytes, range) => Some(&(**bytes).as_ref()[range.clone()]),
        }
    }

    /// The words themselves.
    ///
    /// # Panics
    /// Where they are lent: a launch that would write to them is refused beforehand.
    fn own(&self) -> &[AtomicU32] {
        match self {
            Self::Own(words) => words,
            Self::Lent(..) => panic!("a write to lent memory"),
        }
    }
}

/// A piece of the device's memory.
pub struct Memory {
    words: Words,
    bytes: usize,
    /// For each byte, whether it was ever written; `None` if all were.
    defined: Option<Vec<AtomicU8>>,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Memory {
    /// `bytes` zeros.
    pub fn zeroed(bytes: usize) -> Self {
        let words = (0..bytes.div_ceil(4)).map(|_| AtomicU32::new(0)).collect();
        Self { words: Words::Own(words), bytes, defined: None }
    }

    /// A range of another's bytes, where they lie; `None` when they are not all there. No kernel may write to it.
    pub fn lent(bytes: Arc<dyn AsRef<[u8]> + Send + Sync>, range: Range<usize>) -> Option<Self> {
        let len = (*bytes).as_ref().get(range.clone())?.len();
        Some(Self { words: Words::Lent(bytes, range), bytes: len, defined: None })
    }

    /// Whether it is another's, and may only be read.
    pub fn is_lent(&self) -> bool {
        matches!(self.words, Words::Lent(..))
    }

    /// `bytes` that are an error to read before they are written.
    pub fn undefined(bytes: usize) -> Self {
        let defined = (0..bytes).map(|_| AtomicU8::new(0)).collect();
        Self { defined: Some(defined), ..Self::zeroed(bytes) }
    }

    /// A copy of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let memory = Self::zeroed(bytes.len());
        memory.write(0, bytes);
        memory
    }

    /// Bytes there are.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Copies `bytes` to `offset`.
    ///
    /// # Panics
    /// When they go beyond the end, or the memory is lent.
    pub fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.bytes, "a write beyond the memory");
        let mut at = offset;
        let mut rest = bytes;
        while !at.is_multiple_of(4) && !rest.is_empty() {
            self.put(at, 1, u32::from(rest[0]));
            (at, rest) = (at + 1, &rest[1..]);
        }
        let (whole, tail) = rest.as_chunks::<4>();
        for (word, bytes) in self.words.own()[at / 4..].iter().zip(whole) {
            word.store(u32::from_le_bytes(*bytes), Relaxed);
        }
        at += whole.len() * 4;
        for (i, &byte) in tail.iter().enumerate() {
            self.put(at + i, 1, u32::from(byte));
        }
        self.define(offset, bytes.len());
    }

    /// Copies bytes from `offset`.
    ///
    /// # Panics
    /// When they go beyond the end.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) {
        assert!(offset + bytes.len() <= self.bytes, "a read beyond the memory");
        if let Some(lent) = self.words.lent() {
            return bytes.copy_from_slice(&lent[offset..offset + bytes.len()]);
        }
        if offset.is_multiple_of(4) {
            for (chunk, word) in bytes.chunks_mut(4).zip(&self.words.own()[offset / 4..]) {
                chunk.copy_from_slice(&word.load(Relaxed).to_le_bytes()[..chunk.len()]);
            }
            return;
        }
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = self.get(offset + i, 1) as u8;
        }
    }

    /// All of it.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.bytes];
        self.read(0, &mut bytes);
        bytes
    }

    /// For each byte, whether it was ever written.
    pub fn defined(&self) -> Vec<bool> {
        (0..self.bytes).map(|at| self.is_defined(at, 1)).collect()
    }

    /// Forgets that `bytes` from `offset` were written; nothing for memory that does not tell.
    pub fn forget(&self, offset: usize, bytes: usize) {
        if let Some(defined) = &self.defined {
            defined[offset..offset + bytes].iter().for_each(|byte| byte.store(0, Relaxed));
        }
    }

    /// Whether bytes were written.
    pub(super) fn is_defined(&self, at: usize, bytes: usize) -> bool {
        let Some(defined) = &self.defined else { return true };
        defined[at..at + bytes].iter().all(|byte| byte.load(Relaxed) != 0)
    }

    /// Notes that bytes were written.
    pub(super) fn define(&self, at: usize, bytes: usize) {
        if let Some(defined) = &self.defined {
            defined[at..at + bytes].iter().for_each(|byte| byte.store(1, Relaxed));
        }
    }

    /// `bytes` (1, 2 or 4, aligned) at `at`.
    #[inline]
    pub(super) fn get(&self, at: usize, bytes: usize) -> u32 {
        let word = match &self.words {
            Words::Own(words) => words[at / 4].load(Relaxed),
            Words::Lent(..) => self.words.lent().map_or(0, |lent| word_of(lent, at)),
        };
        match bytes {
            4 => word,
            _ => word >> (at % 4 * 8) & ((1 << (bytes * 8)) - 1),
        }
    }

    /// Sets `bytes` (1, 2 or 4, aligned) at `at`.
    #[inline]
    pub(super) fn put(&self, at: usize, bytes: usize, value: u32) {
        if bytes == 4 {
            return self.words.own()[at / 4].store(value, Relaxed);
        }
        let shift = at % 4 * 8;
        let mask = ((1 << (bytes * 8)) - 1) << shift;
        let set = |word| Some(word & !mask | value << shift & mask);
        let _ = self.words.own()[at / 4].fetch_update(Relaxed, Relaxed, set);
    }

    /// Changes a word, whoever else does.
    pub(super) fn update(&self, at: usize, change: impl Fn(u32) -> u32) -> u32 {
        let word = &self.words.own()[at / 4];
        word.fetch_update(Relaxed, Relaxed, |old| Some(change(old))).unwrap_or_default()
    }
}

/// The word around a byte, of bytes that may end within it.
fn word_of(bytes: &[u8], at: usize) -> u32 {
    let from = at / 4 * 4;
    let mut word = [0; 4];
    let there = &bytes[from..bytes.len().min(from + 4)];
    word[..there.len()].copy_from_slice(there);
    u32::from_le_bytes(word)
}

/// A part of a memory as a kernel's buffer.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    /// The memory.
    pub memory: &'a Memory,
    /// First byte, a multiple of 16.
    pub offset: usize,
    /// Bytes.
    pub bytes: usize,
}

impl<'a> Binding<'a> {
    /// All of a memory.
    pub fn all(memory: &'a Memory) -> Self {
        Self { memory, offset: 0, bytes: memory.len() }
    }

    pub(super) fn fits(&self) -> bool {
        self.offset.is_multiple_of(16)
            && self.offset.checked_add(self.bytes).is_some_and(|end| end <= self.memory.len())
    }
}

/// An element's bits as a register's.
#[inline]
pub(super) fn widen(elem: Elem, raw: u32) -> u32 {
    match elem {
        Elem::F32 | Elem::U32 | Elem::I32 | Elem::U16 | Elem::U8 => raw,
        Elem::F16 => f16::from_bits(raw as u16).to_f32().to_bits(),
        Elem::BF16 => raw << 16,
        Elem::I8 => raw as u8 as i8 as u32,
    }
}

/// A register's bits as an element's, floats to the nearest, ties to even.
#[inline]
pub(super) fn narrow(elem: Elem, bits: u32) -> u32 {
    match elem {
        Elem::F32 | Elem::U32 | Elem::I32 => bits,
        Elem::F16 => u32::from(f16::from_f32(f32::from_bits(bits)).to_bits()),
        Elem::BF16 => u32::from(bf16::from_f32(f32::from_bits(bits)).to_bits()),
        Elem::U16 => bits & 0xffff,
        Elem::U8 | Elem::I8 => bits & 0xff,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lent_memory_is_read_as_ones_own() {
        let bytes: Vec<u8> = (1..=22).collect();
        let lent = Memory::lent(Arc::new(bytes.clone()), 3..22).unwrap();
        let own = Memory::of(&bytes[3..22]);
        assert!(lent.is_lent() && !own.is_lent() && lent.len() == 19);
        for at in 0..19 {
            for size in [1, 2, 4] {
                // the last word is not whole
                if at % size == 0 && at + size <= 19 {
                    assert_eq!(lent.get(at, size), own.get(at, size), "{size} bytes at {at}");
                }
            }
        }
        let mut read = [0; 4];
        lent.read(2, &mut read);
        assert_eq!(read, [6, 7, 8, 9]);
        assert!(Memory::lent(Arc::new(bytes), 3..23).is_none());
    }
}
