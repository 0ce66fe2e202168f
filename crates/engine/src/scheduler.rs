//! One thread, one loop: take commands, admit, step.
//!
//! Every step is a ragged batch of all that runs: a row for each sequence that is drawing tokens and, in
//! the room that leaves, chunks of prompts. What one sequence computes does not depend on the others.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError, mpsc},
};

use crate::{
    FinishReason, GenerateError, Lifecycle, Status,
    command::Command,
    errors::panic_message,
    lifecycle::Broadcast,
    runner::Runner,
    sessions::Sessions,
    work::{SessionId, Work},
};

mod admit;
mod plan;
mod step;

/// Bounds of a scheduler.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Works that run at once.
    pub(crate) running: usize,
    /// Works that wait.
    pub(crate) waiting: usize,
}

/// What the outside sees.
pub(crate) struct Watch {
    pub(crate) lifecycle: Broadcast,
    pub(crate) status: Mutex<Status>,
}

impl Watch {
    pub(crate) fn status(&self) -> Status {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct Scheduler {
    runner: Runner,
    bounds: Bounds,
    watch: Arc<Watch>,
    /// In order of arrival.
    waiting: VecDeque<Work>,
    /// In order of arrival.
    running: Vec<Work>,
    sessions: Sessions,
    /// Sessions dropped while a request of theirs was still running.
    ended: Vec<SessionId>,
    /// The step in the making.
    plan: Vec<plan::Planned>,
    arrivals: u64,
}

impl Scheduler {
    pub(crate) fn new(runner: Runner, bounds: Bounds, watch: Arc<Watch>) -> Self {
        let status = Status { memory: runner.memory(), ..Status::default() };
        *watch.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
        Self {
            runner,
            bounds,
            watch,
            waiting: VecDeque::with_capacity(bounds.waiting.min(1024)),
            running: Vec::with_capacity(bounds.running),
            sessions: Sessions::default(),
            ended: Vec::new(),
            plan: Vec::with_capacity(bounds.running),
            arrivals: 0,
        }
    }

    /// Serves until nobody can send commands any more or the model is unloaded.
    pub(crate) fn run(mut self, commands: &mpsc::Receiver<Command>) {
        let turn =
            |scheduler: &mut Self| catch_unwind(AssertUnwindSafe(|| scheduler.turn(commands)));
        let end = loop {
            match turn(&mut self) {
                Ok(None) => {}
                Ok(Some(end)) => break end,
                Err(panic) => break End::Broken(panic_message(panic)),
            }
        };
        self.end(end, commands);
    }

    /// One round of the loop.
    fn turn(&mut self, commands: &mpsc::Receiver<Command>) -> Option<End> {
        if let Some(end) = self.take_commands(commands) {
            return Some(end);
        }
        self.sweep();
        self.admit();
        self.step();
        self.report();
        None
    }

    /// Takes all commands there are; waits for one if there is nothing else to do.
    fn take_commands(&mut self, commands: &mpsc::Receiver<Command>) -> Option<End> {
        loop {
            let idle = self.running.is_empty() && self.waiting.is_empty();
            let command = match commands.try_recv() {
                Err(mpsc::TryRecvError::Empty) if idle => {
                    self.report();
                    debug_assert_eq!(self.runner.state.check_integrity(), Ok(()));
                    commands.recv().map_err(|_| mpsc::TryRecvError::Disconnected)
                }
                other => other,
            };
            match command {
                Ok(Command::Submit(work)) => self.submit(*work),
                Ok(Command::EndSession(session)) => self.end_session(session),
                Ok(Command::Exclusive(call)) => call(&mut self.runner),
                Ok(Command::Unload(then)) => return Some(End::Unloaded(then)),
                Err(mpsc::TryRecvError::Empty) => return None,
                // Works hold the other end too, so nothing can be running.
                Err(mpsc::TryRecvError::Disconnected) if idle => return Some(End::Deserted),
                Err(mpsc::TryRecvError::Disconnected) => return None,
            }
        }
    }

    fn submit(&mut self, mut work: Work) {
        let room = self.bounds.running + self.bounds.waiting;
        if self.running.len() + self.waiting.len() >= room {
            return work.fail(GenerateError::Overloaded { limit: self.bounds.waiting });
        }
        let busy = |other: &Work| other.session == work.session && !other.cancel.is_set();
        if work.session.is_some() && self.running.iter().chain(&self.waiting).any(busy) {
            return work.fail(GenerateError::SessionBusy);
        }
        self.arrivals += 1;
        work.arrival = self.arrivals;
        self.waiting.push_back(work);
    }

    fn end_session(&mut self, session: SessionId) {
        self.sessions.end(session, &mut self.runner.state);
        if self.running.iter().chain(&self.waiting).any(|work| work.session == Some(session)) {
            self.ended.push(session);
        }
    }

    /// Ends what was cancelled.
    fn sweep(&mut self) {
        for work in self.running.iter_mut().chain(&mut self.waiting) {
            if !work.done && work.cancel.is_set() {
                work.finish(FinishReason::Cancelled);
            }
        }
        self.settle();
    }

    /// Removes works that are done, and moves those without a sequence back to the waiting.
    fn settle(&mut self) {
        self.waiting.retain(|work| !work.done);
        for index in (0..self.running.len()).rev() {
            if self.running[index].done {
                let work = self.running.remove(index);
                self.leave(work);
            } else if self.running[index].sequence.is_none() {
                let work = self.running.remove(index);
                self.waiting.push_front(work);
            }
        }
        if !self.ended.is_empty() {
            let works = || self.running.iter().chain(&self.waiting);
            self.ended.retain(|&session| works().any(|work| work.session == Some(session)));
        }
    }

    /// Keeps or gives back the sequence of a work that is done.
    fn leave(&mut self, work: Work) {
        let Some(sequence) = work.sequence else { return };
        match work.session {
            Some(session) if !self.ended.contains(&session) => {
                self.sessions.keep(session, sequence, work.tokens, &self.runner.state);
            }
            _ => {
                // Releasing an open sequence cannot fail.
                let _ = self.runner.state.release(sequence);
            }
        }
    }

    /// Tells the outside how things are.
    fn report(&self) {
        let usage = self.runner.state.usage();
        let mut status = self.watch.status.lock().unwrap_or_else(PoisonError::into_inner);
        if status.memory.state != usage.total_bytes {
            status.memory = self.runner.memory();
        }
        status.running = self.running.len();
        status.waiting = self.waiting.len();
        status.sessions = self.sessions.len();
        status.live_blocks = usage.live_blocks;
        status.live_bytes = usage.live_bytes;
    }

    /// Fails what is left, frees the memory, and refuses what may still come.
    fn end(mut self, end: End, commands: &mpsc::Receiver<Command>) {
        let error = || match &end {
            End::Broken(message) => GenerateError::Failed { message: message.clone() },
            End::Unloaded(_) | End::Deserted => GenerateError::Unloaded,
        };
        for work in self.running.iter_mut().chain(&mut self.waiting).filter(|work| !work.done) {
            work.fail(error());
        }
        let watch = self.watch.clone();
        drop(self);
        *watch.status.lock().unwrap_or_else(PoisonError::into_inner) = Status::default();
        match &end {
            End::Broken(message) => {
                tracing::error!(%message, "a step panicked; the model has failed");
                watch.lifecycle.set(Lifecycle::Failed { message: message.clone() });
            }
            End::Unloaded(_) | End::Deserted => watch.lifecycle.set(Lifecycle::Unloaded),
        }
        let message = match end {
            End::Deserted => return,
            End::Unloaded(then) => {
                then();
                None
            }
            End::Broken(message) => Some(message),
        };
        refuse(message, &watch, commands);
    }
}

/// Why the loop ends.
enum End {
    /// Nobody can send commands any more.
    Deserted,
    /// It was asked for; call this when the memory is free.
    Unloaded(Box<dyn FnOnce() + Send>),
    /// A panic; the message.
    Broken(String),
}

/// Answers commands without a model.
fn refuse(mut failed: Option<String>, watch: &Watch, commands: &mpsc::Receiver<Command>) {
    while let Ok(command) = commands.recv() {
        match command {
            Command::Submit(mut work) => work.fail(match &failed {
                Some(message) => GenerateError::Failed { message: message.clone() },
                None => GenerateError::Unloaded,
            }),
            Command::Unload(then) => {
                failed = None;
                watch.lifecycle.set(Lifecycle::Unloaded);
                then();
            }
            // Dropping the call tells whoever waits for it.
            Command::Exclusive(_) | Command::EndSession(_) => {}
        }
    }
}
