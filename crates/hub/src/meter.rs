//! Progress of one transfer, told at a bearable rate.

use std::time::{Duration, Instant};

use crate::event::{Event, Listener};

/// Time between two events.
const INTERVAL: Duration = Duration::from_millis(100);

/// Emits [`Event::Downloading`]: one at the start, one at the end, and at most ten a second between
/// while bytes arrive.
pub(crate) struct Meter<'a> {
    file: &'a str,
    total: Option<u64>,
    listener: Listener<'a>,
    /// When the first new byte had not yet arrived.
    start: Instant,
    /// Bytes that were there before this transfer, which do not count for the rate.
    base: u64,
    /// When something was last told, and what.
    last: (Instant, u64),
}

impl<'a> Meter<'a> {
    pub(crate) fn new(
        file: &'a str,
        done: u64,
        total: Option<u64>,
        listener: Listener<'a>,
    ) -> Self {
        let start = Instant::now();
        let mut meter = Self { file, total, listener, start, base: done, last: (start, done) };
        meter.emit(done);
        meter
    }

    /// The transfer started over.
    pub(crate) fn restart(&mut self) {
        (self.start, self.base) = (Instant::now(), 0);
    }

    /// `done` bytes are here.
    pub(crate) fn update(&mut self, done: u64) {
        if done == self.base {
            self.start = Instant::now();
        }
        if self.last.0.elapsed() >= INTERVAL && self.last.1 != done {
            self.emit(done);
        }
    }

    /// The transfer is over.
    pub(crate) fn finish(mut self, done: u64) {
        self.emit(done);
    }

    fn emit(&mut self, done: u64) {
        self.last = (Instant::now(), done);
        let seconds = self.start.elapsed().as_secs_f64();
        let fresh = done.saturating_sub(self.base);
        let bytes_per_second = (fresh > 0 && seconds > 0.0).then(|| fresh as f64 / seconds);
        let file = self.file.to_owned();
        (self.listener)(Event::Downloading { file, done, total: self.total, bytes_per_second });
    }
}
