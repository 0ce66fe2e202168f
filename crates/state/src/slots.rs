//! The slots of one sequence: what its recurrent states are now, and what they were.

use tessera_graph::{NO_SLOT, PAGE, Save};

use crate::{StateError, pool::Pool};

/// After which of a run's tokens recurrent states are saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saves {
    /// The last; over what was there before, if nothing else needs that. For decoding.
    End,
    /// The last, beside what was there before; and the last page's edge within the run: places that another
    /// continuation may start from. For prompts.
    Checkpoint,
    /// Each, so that any number of them can be kept. For drafts.
    Every,
}

/// States as they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) position: usize,
    pub(crate) slot: u32,
}

/// The slots of one sequence.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    /// After all committed tokens; `None` for none.
    pub(crate) now: Option<u32>,
    /// Whether `now` is to be kept when the sequence goes on.
    keep: bool,
    /// Checkpoints, in order of position.
    pub(crate) marks: Vec<Mark>,
    /// Where the reserved run saves.
    pub(crate) pending: Vec<Save>,
}

impl Slots {
    /// Slots to take for a run of `tokens` from position `len`.
    pub(crate) fn missing(&self, len: usize, tokens: usize, saves: Saves, pool: &Pool) -> usize {
        match saves {
            Saves::Every => tokens,
            Saves::End => usize::from(!self.in_place(pool)),
            Saves::Checkpoint => 1 + usize::from(edge(len, tokens).is_some()),
        }
    }

    /// Whether the end of the next run may be saved over its beginning.
    fn in_place(&self, pool: &Pool) -> bool {
        self.now.is_some_and(|now| !self.keep && !pool.is_shared(now))
    }

    /// Decides where a run of `tokens` from position `len` saves; `pool` has the slots.
    pub(crate) fn reserve(&mut self, len: usize, tokens: usize, saves: Saves, pool: &mut Pool) {
        self.drop_pending(pool);
        let in_place = self.now.filter(|_| saves == Saves::End && self.in_place(pool));
        let inside = match saves {
            Saves::End => 0..0,
            Saves::Every => 1..tokens,
            Saves::Checkpoint => edge(len, tokens).map_or(0..0, |edge| edge..edge + 1),
        };
        for after in inside.chain([tokens]) {
            let slot = in_place.or_else(|| pool.take());
            self.pending.extend(slot.map(|slot| Save { after: after as u32, slot }));
        }
    }

    /// The slot a run reads.
    pub(crate) fn source(&self) -> u32 {
        self.now.unwrap_or(NO_SLOT)
    }

    /// Gives back what the reserved run would have saved.
    pub(crate) fn drop_pending(&mut self, pool: &mut Pool) {
        for Save { slot, .. } in self.pending.drain(..) {
            if self.now != Some(slot) {
                pool.give(slot);
            }
        }
    }

    /// Keeps the first `kept` tokens of the run that was reserved `saves` after position `len`, at most
    /// `most` checkpoints. Gives the new length: less than `len` if nothing is kept of a run that may have
    /// overwritten the states of `len`.
    pub(crate) fn commit(
        &mut self,
        len: usize,
        kept: usize,
        most: usize,
        saves: Saves,
        pool: &mut Pool,
    ) -> Result<usize, StateError> {
        let overwritten = self.pending.iter().any(|save| self.now == Some(save.slot));
        if kept == 0 {
            self.drop_pending(pool);
            return Ok(if overwritten { self.fall_back(pool) } else { len });
        }
        let Some(end) = self.pending.iter().position(|save| save.after as usize == kept) else {
            return Err(StateError::NotSaved { kept });
        };
        if let Some(now) = self.now.take().filter(|_| !overwritten) {
            match self.keep && most > 0 {
                true => self.marks.push(Mark { position: len, slot: now }),
                false => pool.give(now),
            }
        }
        for (i, save) in self.pending.drain(..).enumerate() {
            let position = len + save.after as usize;
            match i.cmp(&end) {
                std::cmp::Ordering::Equal => self.now = Some(save.slot),
                std::cmp::Ordering::Less if saves == Saves::Checkpoint && most > 0 => {
                    self.marks.push(Mark { position, slot: save.slot });
                }
                _ => pool.give(save.slot),
            }
        }
        self.keep = saves == Saves::Checkpoint;
        while self.marks.len() > most {
            pool.give(self.marks.remove(0).slot);
        }
        Ok(len + kept)
    }

    /// The states of the latest checkpoint, or of nothing, become those of now; gives its position.
    fn fall_back(&mut self, pool: &mut Pool) -> usize {
        if let Some(now) = self.now.take() {
            pool.give(now);
        }
        let mark = self.marks.pop();
        self.now = mark.map(|mark| mark.slot);
        self.keep = self.now.is_some();
        mark.map_or(0, |mark| mark.position)
    }

    /// The greatest position, of `len` committed ones and at most `limit`, whose states are there, for which
    /// `fits`.
    pub(crate) fn reusable(&self, len: usize, limit: usize, fits: impl Fn(usize) -> bool) -> usize {
        let marks = self.marks.iter().rev().map(|mark| mark.position);
        [len].into_iter().chain(marks).find(|&at| at <= limit && fits(at)).unwrap_or(0)
    }

    /// The slot with the states after `position` tokens, of `len`; `None` if there is none or nothing in it.
    pub(crate) fn at(&self, len: usize, position: usize) -> Option<u32> {
        let marks = self.marks.iter().find(|mark| mark.position == position);
        if position == len { self.now } else { marks.map(|mark| mark.slot) }
    }

    /// Goes back from `len` to `position`, which is 0 or whose states are there.
    pub(crate) fn truncate(&mut self, len: usize, position: usize, pool: &mut Pool) {
        self.drop_pending(pool);
        if position == len {
            return;
        }
        while self.marks.last().is_some_and(|mark| mark.position > position) {
            self.drop_mark(self.marks.len() - 1, pool);
        }
        if position == 0 {
            self.marks.drain(..).for_each(|mark| pool.give(mark.slot));
        }
        self.fall_back(pool);
    }

    /// Gives up the checkpoint `index`.
    fn drop_mark(&mut self, index: usize, pool: &mut Pool) {
        pool.give(self.marks.remove(index).slot);
    }

    /// Gives up the oldest checkpoint; says whether there was one.
    pub(crate) fn thin(&mut self, pool: &mut Pool) -> bool {
        let any = !self.marks.is_empty();
        if any {
            self.drop_mark(0, pool);
        }
        any
    }

    /// Starts from the states in `slot`, which it becomes an owner of.
    pub(crate) fn restore(&mut self, slot: Option<u32>, pool: &mut Pool) {
        self.now = slot.map(|slot| pool.share(slot));
        self.keep = false;
    }

    /// All slots that it owns, those it may overwrite in place once.
    pub(crate) fn owned(&self) -> impl Iterator<Item = u32> {
        let pending = self.pending.iter().map(|save| save.slot);
        let pending = pending.filter(|&slot| self.now != Some(slot));
        self.now.into_iter().chain(self.marks.iter().map(|mark| mark.slot)).chain(pending)
    }
}

/// Tokens of a run from position `len` before the last edge of a page strictly within it.
fn edge(len: usize, tokens: usize) -> Option<usize> {
    let last = (len + tokens).saturating_sub(1) / PAGE * PAGE;
    last.checked_sub(len).filter(|&before| before > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_lie_within_the_run() {
        assert_eq!(edge(0, 64), None);
        assert_eq!(edge(0, 65), Some(64));
        assert_eq!(edge(10, 54), None);
        assert_eq!(edge(10, 200), Some(182));
        assert_eq!(edge(64, 3), None);
        assert_eq!(edge(64, 64), None);
        assert_eq!(edge(63, 2), Some(1));
    }
}
