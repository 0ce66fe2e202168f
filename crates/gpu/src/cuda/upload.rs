//! Bytes on their way to the device's memory outside of steps, as when weights are laid out: through two pinned buffers in
//! turn, so that one is filled while the device copies from the other.

use super::driver::{Event, Memory, Pinned, Stream};
use crate::device::DeviceError;

/// Bytes of a buffer.
const BYTES: usize = 8 << 20;

/// Where a piece begins in its buffer is a multiple of this.
const ALIGN: usize = 64;

/// The buffers. There are none until something is written.
#[derive(Debug, Default)]
pub struct Uploads {
    ring: Ring,
    halves: [Option<Half>; 2],
}

#[derive(Debug)]
struct Half {
    pinned: Pinned,
    /// After the last copy from it.
    sent: Option<Event>,
}

/// Which bytes of which buffer come next.
#[derive(Debug, Default)]
struct Ring {
    half: usize,
    used: usize,
}

/// A piece of what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    half: usize,
    offset: usize,
    bytes: usize,
    /// Whether the other buffer is full, and this one begins anew.
    turned: bool,
}

impl Ring {
    /// The next place for at most `bytes`, which are not none.
    fn next(&mut self, bytes: usize) -> Piece {
        let turned = self.used == BYTES;
        if turned {
            (self.half, self.used) = (1 - self.half, 0);
        }
        let offset = self.used;
        let bytes = bytes.min(BYTES - offset);
        self.used = (offset + bytes).next_multiple_of(ALIGN);
        Piece { half: self.half, offset, bytes, turned }
    }
}

impl Uploads {
    /// Copies bytes to the device, which has them when the stream has come so far; they are no longer needed here.
    pub fn write(
        &mut self,
        stream: &Stream,
        to: &Memory,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), DeviceError> {
        let (mut to, mut rest) = (to.part(offset, bytes.len())?, bytes);
        while !rest.is_empty() {
            let Piece { half, offset, bytes, turned } = self.ring.next(rest.len());
            if turned && let Some(full) = &mut self.halves[1 - half] {
                full.sent = Some(stream.mark()?);
            }
            let half = match &mut self.halves[half] {
                Some(half) => half,
                none => {
                    none.insert(Half { pinned: Pinned::new(stream.context(), BYTES)?, sent: None })
                }
            };
            if turned && let Some(sent) = half.sent.take() {
                sent.wait()?;
            }
            let (now, later) = rest.split_at(bytes);
            half.pinned.put(offset, now);
            stream.send(&half.pinned, offset, to, bytes)?;
            (to, rest) = (to + bytes as u64, later);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No byte of a buffer is given away twice before the other buffer is begun anew, and all that was asked for comes.
    #[test]
    fn buffers_take_turns() {
        let mut ring = Ring::default();
        let (mut end, mut half, mut turns) = (0, 0, 0);
        for bytes in [1, 63, 64, 65, 4096, BYTES - 1, BYTES, 3 * BYTES + 7, 12_345_678] {
            let mut rest = bytes;
            while rest > 0 {
                let piece = ring.next(rest);
                assert!(piece.bytes > 0 && piece.offset.is_multiple_of(ALIGN), "{piece:?}");
                if piece.turned {
                    assert_eq!((piece.half, piece.offset), (1 - half, 0), "{piece:?}");
                    (half, turns) = (piece.half, turns + 1);
                } else {
                    assert!(piece.half == half && piece.offset >= end, "{piece:?}");
                }
                end = piece.offset + piece.bytes;
                assert!(end <= BYTES, "{piece:?}");
                rest -= piece.bytes;
            }
        }
        // all of it is six buffers and a half
        assert_eq!(turns, 6);
    }
}
