//! Ctrl-C: stops the work at hand if somebody is able to stop it, else ends the program.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::errors::Exit;

/// Stops the work at hand; called on the signal's own thread.
type Stop = Box<dyn Fn() + Send>;

/// Where Ctrl-C (or SIGTERM) arrives.
#[derive(Clone, Default)]
pub struct Interrupts(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    stop: Option<Stop>,
    hits: u32,
}

/// Ends the watch of [`Interrupts::during`].
struct Watch<'a>(&'a Interrupts);

impl Interrupts {
    /// Begins to listen. The first Ctrl-C stops the work; a second one, or one that finds nothing to
    /// stop, ends the program with status 130.
    ///
    /// # Errors
    /// When the system refuses a signal handler.
    pub fn listen() -> Result<Self, ctrlc::Error> {
        let interrupts = Self::default();
        let handler = interrupts.clone();
        ctrlc::set_handler(move || {
            if !handler.stop() {
                std::process::exit(Exit::Interrupted.code());
            }
        })?;
        Ok(interrupts)
    }

    /// Does `work` while Ctrl-C calls `stop`; says whether it was called.
    pub fn during<T>(
        &self,
        stop: impl Fn() + Send + 'static,
        work: impl FnOnce() -> T,
    ) -> (T, bool) {
        *self.lock() = State { stop: Some(Box::new(stop)), hits: 0 };
        let watch = Watch(self);
        let result = work();
        let stopped = self.lock().hits > 0;
        drop(watch);
        (result, stopped)
    }

    /// What a signal does; says whether there was something to stop for the first time.
    fn stop(&self) -> bool {
        let mut state = self.lock();
        state.hits += 1;
        match &state.stop {
            Some(stop) if state.hits == 1 => {
                stop();
                true
            }
            _ => false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        *self.0.lock() = State::default();
    }
}

impl fmt::Debug for Interrupts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Interrupts")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn the_first_signal_stops_the_work_and_the_second_is_not_swallowed() {
        let interrupts = Interrupts::default();
        assert!(!interrupts.stop(), "nothing to stop");
        let calls = Arc::new(AtomicU32::new(0));
        let counter = calls.clone();
        let ((), stopped) = interrupts.during(
            move || {
                counter.fetch_add(1, Ordering::Relaxed);
            },
            || {
                assert!(interrupts.stop());
                assert!(!interrupts.stop(), "the second ends the program");
            },
        );
        assert!(stopped);
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        let ((), stopped) = interrupts.during(|| (), || ());
        assert!(!stopped && !interrupts.stop(), "the watch has ended");
    }
}
