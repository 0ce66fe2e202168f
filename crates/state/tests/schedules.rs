//! Random schedules against a model: every position that a query may see must be in a page, and hold what
//! its own sequence wrote there; every slot that is read must hold the states of just the tokens before.

mod common;

use common::{CONTEXT, LIMIT, Memory, ROLLBACK, groups, hybrid, options, recurrent, windows};
use proptest::prelude::*;
use tessera_graph::{Batch, PAGE};
use tessera_state::{Budget, Group, Saves, SequenceId, SnapshotId, State, StateError};

#[derive(Debug, Clone)]
enum Act {
    Open,
    Run { who: usize, tokens: usize, kept: usize, saves: Saves },
    Truncate { who: usize, back: usize },
    Release { who: usize },
    Snapshot { who: usize, back: usize },
    Restore { which: usize },
    Reload { which: usize },
    Drop { which: usize },
    Break { at: Option<usize> },
}

fn act() -> impl Strategy<Value = Act> {
    let saves = || prop_oneof![Just(Saves::End), Just(Saves::Checkpoint), Just(Saves::Every)];
    prop_oneof![
        2 => Just(Act::Open),
        12 => (0usize..4, prop_oneof![1usize..8, 1usize..150], 0usize..150, saves())
            .prop_map(|(who, tokens, kept, saves)| Act::Run { who, tokens, kept, saves }),
        4 => (0usize..4, 0usize..200).prop_map(|(who, back)| Act::Truncate { who, back }),
        1 => (0usize..4).prop_map(|who| Act::Release { who }),
        2 => (0usize..4, 0usize..100).prop_map(|(who, back)| Act::Snapshot { who, back }),
        2 => (0usize..4).prop_map(|which| Act::Restore { which }),
        1 => (0usize..4).prop_map(|which| Act::Reload { which }),
        1 => (0usize..4).prop_map(|which| Act::Drop { which }),
        1 => prop::option::weighted(0.3, 0usize..30).prop_map(|at| Act::Break { at }),
    ]
}

struct Open {
    id: SequenceId,
    /// The stamp last written at each position.
    written: Vec<u32>,
    /// The longest it has been; a sequence that began as a snapshot promises nothing.
    peak: Option<usize>,
}

/// What may be refused for want of room.
fn full(error: &StateError, memory: &Memory) -> bool {
    match error {
        StateError::OverBudget(error) => error.needed > error.available,
        StateError::Backend(_) => memory.broken.is_some(),
        StateError::Sequences { limit } => *limit == 4,
        _ => false,
    }
}

struct World {
    state: State,
    memory: Memory,
    open: Vec<Open>,
    snapshots: Vec<(SnapshotId, Vec<u32>)>,
    stamp: u32,
    recurrent: bool,
}

impl World {
    fn new(groups: Vec<Group>) -> Self {
        let recurrent = recurrent(&groups);
        let memory = Memory::new(groups.clone());
        let state = State::new(groups, options(), Budget::new(LIMIT));
        Self { state, memory, open: Vec::new(), snapshots: Vec::new(), stamp: 0, recurrent }
    }

    fn act(&mut self, act: Act) -> Result<(), TestCaseError> {
        let fail = |error: StateError| Err(TestCaseError::fail(error.to_string()));
        match act {
            Act::Open => match self.state.open() {
                Ok(id) => self.open.push(Open { id, written: Vec::new(), peak: Some(0) }),
                Err(error) => prop_assert!(full(&error, &self.memory) && self.open.len() == 4),
            },
            Act::Run { who, tokens, kept, saves } => return self.run(who, tokens, kept, saves),
            Act::Truncate { who, back } => return self.truncate(who, back),
            Act::Release { who } => {
                if who < self.open.len() {
                    let id = self.open.remove(who).id;
                    self.state.release(id).unwrap();
                    let stale = self.state.reserve(id, 1, Saves::End, &mut self.memory);
                    let closed = matches!(stale, Err(StateError::Closed { .. }));
                    prop_assert!(closed);
                }
            }
            Act::Snapshot { who, back } => {
                let Some(sequence) = self.open.get(who) else { return Ok(()) };
                let wanted = sequence.written.len().saturating_sub(back);
                let at = self.state.reusable(sequence.id, wanted).unwrap();
                let id = self.state.snapshot(sequence.id, at).unwrap();
                prop_assert_eq!(self.state.snapshot_len(id).unwrap(), at);
                self.snapshots.push((id, sequence.written[..at].to_vec()));
            }
            Act::Restore { which } => {
                let Some((id, written)) = self.snapshots.get(which) else { return Ok(()) };
                match self.state.restore(*id) {
                    Ok(id) => self.open.push(Open { id, written: written.clone(), peak: None }),
                    Err(error) => prop_assert!(full(&error, &self.memory)),
                }
            }
            Act::Reload { which } => {
                let Some((id, written)) = self.snapshots.get(which) else { return Ok(()) };
                let bytes = self.state.save(*id, b"model", &self.memory).unwrap();
                match self.state.load(&bytes, b"model", &mut self.memory) {
                    Ok(id) => self.snapshots.push((id, written.clone())),
                    Err(error) if full(&error, &self.memory) => {}
                    Err(error) => return fail(error),
                }
            }
            Act::Drop { which } => {
                if which < self.snapshots.len() {
                    let (id, _) = self.snapshots.remove(which);
                    self.state.drop_snapshot(id).unwrap();
                    let gone = matches!(self.state.restore(id), Err(StateError::Snapshot { .. }));
                    prop_assert!(gone);
                }
            }
            Act::Break { at } => self.memory.broken = at,
        }
        Ok(())
    }

    fn run(
        &mut self,
        who: usize,
        tokens: usize,
        kept: usize,
        saves: Saves,
    ) -> Result<(), TestCaseError> {
        let Some(sequence) = self.open.get_mut(who) else { return Ok(()) };
        let len = sequence.written.len();
        match self.state.reserve(sequence.id, tokens, saves, &mut self.memory) {
            Ok(()) => {}
            Err(StateError::Context { needed, context }) => {
                prop_assert!(needed == len + tokens && needed > context);
                return Ok(());
            }
            Err(error) => {
                prop_assert!(full(&error, &self.memory), "{}", error);
                prop_assert_eq!(self.state.len(sequence.id).unwrap(), len);
                return Ok(());
            }
        }
        self.stamp += 1;
        let mut written = sequence.written.clone();
        written.resize(len + tokens, self.stamp);
        let mut batch = Batch::default();
        let run: Vec<u32> = vec![7; tokens];
        prop_assert_eq!(self.state.push_run(sequence.id, &run, &mut batch).unwrap(), 0);
        self.memory.run(&batch, &written)?;
        // Everything, nothing, or something in between.
        let mut kept = kept.min(tokens);
        match self.state.commit(sequence.id, kept) {
            Ok(()) => {}
            Err(StateError::NotSaved { .. }) => {
                prop_assert!(self.recurrent && kept != tokens && saves != Saves::Every);
                kept = tokens;
                self.state.commit(sequence.id, kept).unwrap();
            }
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        }
        written.truncate(len + kept);
        let now = self.state.len(sequence.id).unwrap();
        if now != len + kept {
            prop_assert!(self.recurrent && kept == 0 && saves != Saves::Every && now < len);
            written.truncate(now);
        }
        sequence.peak = sequence.peak.map(|peak| peak.max(len + kept));
        sequence.written = written;
        Ok(())
    }

    fn truncate(&mut self, who: usize, back: usize) -> Result<(), TestCaseError> {
        let Some(sequence) = self.open.get_mut(who) else { return Ok(()) };
        let wanted = sequence.written.len().saturating_sub(back);
        let reusable = self.state.reusable(sequence.id, wanted).unwrap();
        prop_assert!(reusable <= wanted);
        if !self.recurrent {
            // Going back by as much as was promised always works.
            let promised = sequence.peak.is_some_and(|peak| wanted + ROLLBACK >= peak);
            prop_assert!(reusable == wanted || (reusable == 0 && !promised));
        }
        match self.state.truncate(sequence.id, wanted) {
            Ok(()) => sequence.written.truncate(wanted),
            Err(StateError::Forgotten { .. }) => {
                prop_assert!(reusable != wanted);
                self.state.truncate(sequence.id, reusable).unwrap();
                sequence.written.truncate(reusable);
            }
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        }
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.state.check_integrity(), Ok(()));
        prop_assert!(self.state.usage().total_bytes <= LIMIT);
        prop_assert_eq!(self.state.usage().total_bytes, self.state.budget().used());
        Ok(())
    }
}

fn schedule(groups: Vec<Group>, acts: Vec<Act>) -> Result<(), TestCaseError> {
    let mut world = World::new(groups);
    for act in acts {
        world.act(act)?;
        world.check()?;
    }
    for sequence in std::mem::take(&mut world.open) {
        prop_assert_eq!(world.state.len(sequence.id).unwrap(), sequence.written.len());
        world.state.release(sequence.id).unwrap();
    }
    for (id, _) in std::mem::take(&mut world.snapshots) {
        world.state.drop_snapshot(id).unwrap();
    }
    world.check()?;
    prop_assert_eq!(world.state.usage().live_blocks, 0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn pages_hold_what_was_written(acts in prop::collection::vec(act(), 1..120)) {
        schedule(windows(), acts)?;
    }

    #[test]
    fn slots_hold_what_was_seen(acts in prop::collection::vec(act(), 1..120)) {
        schedule(groups(&[]), acts)?;
    }

    #[test]
    fn pages_and_slots_agree(acts in prop::collection::vec(act(), 1..120)) {
        schedule(hybrid(), acts)?;
    }
}

#[test]
fn a_window_holds_no_more_pages_than_promised() {
    let groups = windows()[2..].to_vec();
    let options = tessera_state::Options {
        context: 1 << 20,
        sequences: 1,
        keep: tessera_state::Keep { rollback: 0, checkpoints: 0 },
    };
    let mut memory = Memory::new(groups.clone());
    let mut state = State::new(groups.clone(), options, Budget::new(usize::MAX));
    let sequence = state.open().unwrap();
    for step in [64, 1, 100, 37, 64, 3] {
        for _ in 0..50 {
            state.reserve(sequence, step, Saves::End, &mut memory).unwrap();
            let promised = tessera_state::sequence_bytes(&groups, 1 << 20, 100, options.keep);
            assert!(state.usage().live_bytes <= promised, "{}", state.usage().live_bytes);
            state.commit(sequence, step).unwrap();
        }
    }
    assert!(state.len(sequence).unwrap() > 10_000);
    assert!(state.usage().live_blocks <= 5);
    assert!(state.usage().total_blocks < 20, "pools grow in modest slabs");
}

#[test]
fn a_recurrent_sequence_holds_no_more_slots_than_promised() {
    let mut memory = Memory::new(hybrid());
    let mut state = State::new(hybrid(), options(), Budget::new(usize::MAX));
    let sequence = state.open().unwrap();
    let slots = hybrid().len() - 1;
    for (tokens, saves) in [(100, Saves::Checkpoint), (1, Saves::End), (130, Saves::Checkpoint)] {
        for _ in 0..4 {
            state.reserve(sequence, tokens, saves, &mut memory).unwrap();
            let group = state.groups()[slots];
            let promised =
                tessera_state::sequence_bytes(&[group], CONTEXT, 150, state.options().keep);
            assert!(memory.made(slots) * group.block_bytes <= promised);
            let mut batch = Batch::default();
            state.push_run(sequence, &vec![7; tokens], &mut batch).unwrap();
            state.commit(sequence, tokens).unwrap();
        }
    }
}

#[test]
fn decoding_stays_in_place_and_drafts_go_back() {
    let groups = groups(&[]);
    let mut memory = Memory::new(groups.clone());
    let mut state = State::new(groups, options(), Budget::new(LIMIT));
    let sequence = state.open().unwrap();
    let mut written = vec![];
    let mut run = |state: &mut State, tokens: usize, saves, kept: usize| {
        state.reserve(sequence, tokens, saves, &mut memory).unwrap();
        let mut batch = Batch::default();
        state.push_run(sequence, &vec![7; tokens], &mut batch).unwrap();
        let stamp = written.len() as u32;
        written.resize(written.len() + tokens, stamp);
        memory.run(&batch, &written).unwrap();
        state.commit(sequence, kept).unwrap();
        written.truncate(state.len(sequence).unwrap());
        (batch.runs[0].slot, batch.saves.last().unwrap().slot)
    };
    run(&mut state, 100, Saves::Checkpoint, 100);
    // the prompt's end is kept
    let (read, saved) = run(&mut state, 1, Saves::End, 1);
    assert_ne!(read, saved);
    for _ in 0..10 {
        let (read, saved) = run(&mut state, 1, Saves::End, 1);
        assert_eq!(read, saved);
    }
    run(&mut state, 5, Saves::Every, 2);
    assert_eq!(state.len(sequence).unwrap(), 113);
    run(&mut state, 5, Saves::Every, 0);
    assert_eq!(state.len(sequence).unwrap(), 113);
    assert_eq!(state.reusable(sequence, 112).unwrap(), 100);
    assert_eq!(state.reusable(sequence, 99).unwrap(), 64);
    assert_eq!(state.reusable(sequence, 63).unwrap(), 0);
    // a step that failed halfway may have overwritten what was there
    run(&mut state, 1, Saves::End, 0);
    assert_eq!(state.len(sequence).unwrap(), 100);
    assert_eq!(state.check_integrity(), Ok(()));
}

#[test]
fn what_fits_can_be_reserved() {
    for groups in [windows(), hybrid()] {
        let mut memory = Memory::new(groups.clone());
        let bounds = tessera_state::Options { context: 10_000, sequences: 2, ..options() };
        let mut state = State::new(groups, bounds, Budget::new(LIMIT));
        let longest = (1..10_000).take_while(|&n| state.fits(n, n)).last().unwrap();
        let sequence = state.open().unwrap();
        state.reserve(sequence, longest, Saves::End, &mut memory).unwrap();
        assert!(!state.fits(PAGE, PAGE));
        state.release(sequence).unwrap();
        assert!(state.fits(longest, longest));
    }
}

#[test]
fn warm_steps_make_no_pages_and_reuse_the_latest() {
    let mut memory = Memory::new(windows());
    let bounds = tessera_state::Options { context: 10_000, sequences: 2, ..options() };
    let mut state = State::new(windows(), bounds, Budget::new(LIMIT));
    for _ in 0..3 {
        let sequence = state.open().unwrap();
        state.reserve(sequence, 640, Saves::End, &mut memory).unwrap();
        state.commit(sequence, 640).unwrap();
        state.release(sequence).unwrap();
    }
    assert_eq!(memory.made(0), 10);
}

/// A snapshot as bytes, cut short or changed anywhere, or of another model.
#[test]
fn damaged_snapshots_are_refused() {
    let mut memory = Memory::new(hybrid());
    let mut state = State::new(hybrid(), options(), Budget::new(LIMIT));
    let sequence = state.open().unwrap();
    state.reserve(sequence, 70, Saves::Checkpoint, &mut memory).unwrap();
    let mut batch = Batch::default();
    state.push_run(sequence, &[7; 70], &mut batch).unwrap();
    memory.run(&batch, &[3; 70]).unwrap();
    state.commit(sequence, 70).unwrap();
    let id = state.snapshot(sequence, 64).unwrap();
    let bytes = state.save(id, b"model", &memory).unwrap();
    let used = state.usage();
    let mut refused = |bytes: &[u8], key: &[u8]| {
        let error = state.load(bytes, key, &mut memory).unwrap_err();
        assert_eq!(state.usage().live_blocks, used.live_blocks);
        assert_eq!(state.check_integrity(), Ok(()));
        error.to_string()
    };
    assert!(refused(&bytes, b"other").contains("another model"));
    for len in 0..bytes.len() {
        refused(&bytes[..len], b"model");
    }
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        refused(&damaged, b"model");
    }
    let other = State::new(windows(), options(), Budget::new(LIMIT));
    let mut other = other;
    assert!(other.load(&bytes, b"model", &mut Memory::new(windows())).is_err());
}
