//! Random schedules against a model: every position that a query may see must be in a page, and hold what
//! its own sequence wrote there.

use std::collections::HashMap;

use proptest::prelude::*;
use tessera_graph::{BackendError, Batch, NO_PAGE, PAGE};
use tessera_state::{Budget, Group, Options, SequenceId, State, StateError, Storage};

const ROLLBACK: usize = 70;
const CONTEXT: usize = 1500;
const LIMIT: usize = 60 * 100;

fn groups() -> Vec<Group> {
    vec![
        Group { window: None, page_bytes: 100 },
        Group { window: Some(1), page_bytes: 10 },
        Group { window: Some(200), page_bytes: 30 },
    ]
}

/// What a backend would hold: who wrote each cell of each page.
#[derive(Default)]
struct Memory {
    pages: HashMap<usize, usize>,
    cells: HashMap<(usize, u32, usize), (u32, usize, u32)>,
    /// Refuse to grow a group beyond this.
    broken: Option<usize>,
}

impl Storage for Memory {
    fn grow(&mut self, group: usize, pages: usize) -> Result<(), BackendError> {
        if self.broken.is_some_and(|most| pages > most) {
            return Err(BackendError::Memory { bytes: pages, what: "test" });
        }
        self.pages.insert(group, pages);
        Ok(())
    }
}

impl Memory {
    /// Does what a backend's attention does: appends, then reads all that each query sees.
    fn run(&mut self, batch: &Batch, owner: u32, written: &[u32]) -> Result<(), TestCaseError> {
        for run in &batch.runs {
            for (group, Group { window, .. }) in groups().into_iter().enumerate() {
                let table = batch.table(run, group);
                let end = (run.position + run.len) as usize;
                prop_assert_eq!(table.len(), end.div_ceil(PAGE));
                let made = self.pages.get(&group).copied().unwrap_or(0);
                prop_assert!(table.iter().all(|&p| p == NO_PAGE || (p as usize) < made));
                for position in run.position as usize..end {
                    let page = table[position / PAGE];
                    prop_assert_ne!(page, NO_PAGE);
                    self.cells.insert(
                        (group, page, position % PAGE),
                        (owner, position, written[position]),
                    );
                }
                let first_seen =
                    (run.position as usize + 1).saturating_sub(window.unwrap_or(usize::MAX));
                for position in first_seen..end {
                    let cell = (group, table[position / PAGE], position % PAGE);
                    let expected = (owner, position, written[position]);
                    prop_assert_eq!(self.cells.get(&cell), Some(&expected), "group {}", group);
                }
                let unseen = &table[..first_seen / PAGE];
                prop_assert!(unseen.iter().all(|&p| p == NO_PAGE), "unseen pages in the table");
            }
        }
        Ok(())
    }
}

#[derive(Debug, Clone)]
enum Act {
    Open,
    Run { who: usize, tokens: usize, kept: usize },
    Truncate { who: usize, back: usize },
    Release { who: usize },
    Break { at: Option<usize> },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => Just(Act::Open),
        12 => (0usize..4, 1usize..150, 0usize..150)
            .prop_map(|(who, tokens, kept)| Act::Run { who, tokens, kept }),
        4 => (0usize..4, 0usize..200).prop_map(|(who, back)| Act::Truncate { who, back }),
        1 => (0usize..4).prop_map(|who| Act::Release { who }),
        1 => prop::option::weighted(0.3, 0usize..30).prop_map(|at| Act::Break { at }),
    ]
}

struct Open {
    id: SequenceId,
    name: u32,
    /// The stamp last written at each position.
    written: Vec<u32>,
    /// The longest it has been.
    peak: usize,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_remembered_is_what_was_written(acts in prop::collection::vec(act(), 1..120)) {
        let options = Options { context: CONTEXT, sequences: 4, rollback: ROLLBACK };
        let mut state = State::new(groups(), options, Budget::new(LIMIT));
        let mut memory = Memory::default();
        let mut open: Vec<Open> = Vec::new();
        let mut batch = Batch::default();
        let (mut stamp, mut names) = (0u32, 0u32);
        for act in acts {
            match act {
                Act::Open => match state.open() {
                    Ok(id) => {
                        names += 1;
                        open.push(Open { id, name: names, written: Vec::new(), peak: 0 });
                    }
                    Err(error) => {
                        let full = matches!(error, StateError::Sequences { limit: 4 });
                        prop_assert!(full);
                        prop_assert_eq!(open.len(), 4);
                    }
                },
                Act::Run { who, tokens, kept } => {
                    let Some(sequence) = open.get_mut(who) else { continue };
                    let len = sequence.written.len();
                    match state.reserve(sequence.id, tokens, &mut memory) {
                        Ok(()) => {}
                        Err(StateError::Context { needed, context }) => {
                            prop_assert!(needed == len + tokens && needed > context);
                            continue;
                        }
                        Err(StateError::OverBudget(error)) => {
                            prop_assert!(error.needed > error.available);
                            prop_assert_eq!(state.len(sequence.id).unwrap(), len);
                            continue;
                        }
                        Err(StateError::Backend(_)) => {
                            prop_assert!(memory.broken.is_some());
                            continue;
                        }
                        Err(other) => return Err(TestCaseError::fail(other.to_string())),
                    }
                    stamp += 1;
                    let mut written = sequence.written.clone();
                    written.resize(len + tokens, stamp);
                    batch.clear();
                    let run: Vec<u32> = vec![7; tokens];
                    prop_assert_eq!(state.push_run(sequence.id, &run, &mut batch).unwrap(), 0);
                    memory.run(&batch, sequence.name, &written)?;
                    let kept = kept.min(tokens);
                    state.commit(sequence.id, kept).unwrap();
                    written.truncate(len + kept);
                    sequence.peak = sequence.peak.max(len + kept);
                    sequence.written = written;
                }
                Act::Truncate { who, back } => {
                    let Some(sequence) = open.get_mut(who) else { continue };
                    let len = sequence.written.len();
                    let wanted = len.saturating_sub(back);
                    let reusable = state.reusable(sequence.id, wanted).unwrap();
                    // Going back by as much as was promised always works.
                    let promised = wanted + ROLLBACK >= sequence.peak;
                    prop_assert!(reusable == wanted || (reusable == 0 && !promised));
                    match state.truncate(sequence.id, wanted) {
                        Ok(()) => sequence.written.truncate(wanted),
                        Err(StateError::Forgotten { .. }) => prop_assert!(reusable != wanted),
                        Err(other) => return Err(TestCaseError::fail(other.to_string())),
                    }
                }
                Act::Release { who } => {
                    if who < open.len() {
                        let sequence = open.remove(who);
                        state.release(sequence.id).unwrap();
                        let stale = state.reserve(sequence.id, 1, &mut memory);
                        let closed = matches!(stale, Err(StateError::Closed { .. }));
                        prop_assert!(closed);
                    }
                }
                Act::Break { at } => memory.broken = at,
            }
            prop_assert_eq!(state.check_integrity(), Ok(()));
            prop_assert!(state.usage().total_bytes <= LIMIT);
            prop_assert_eq!(state.usage().total_bytes, state.budget().used());
        }
        for sequence in open {
            prop_assert_eq!(state.len(sequence.id).unwrap(), sequence.written.len());
            state.release(sequence.id).unwrap();
        }
        prop_assert_eq!(state.check_integrity(), Ok(()));
        prop_assert_eq!(state.usage().live_pages, 0);
    }
}

#[test]
fn a_window_holds_no_more_pages_than_promised() {
    let groups = vec![Group { window: Some(200), page_bytes: 1 }];
    let options = Options { context: 1 << 20, sequences: 1, rollback: 0 };
    let mut state = State::new(groups.clone(), options, Budget::new(usize::MAX));
    let sequence = state.open().unwrap();
    for step in [64, 1, 100, 37, 64, 3] {
        for _ in 0..50 {
            state.reserve(sequence, step, &mut Memory::default()).unwrap();
            let promised = tessera_state::sequence_bytes(&groups, 1 << 20, 100, 0);
            assert!(state.usage().live_bytes <= promised, "{}", state.usage().live_bytes);
            state.commit(sequence, step).unwrap();
        }
    }
    assert!(state.len(sequence).unwrap() > 10_000);
    assert!(state.usage().live_pages <= 5);
    assert!(state.usage().total_pages < 20, "pools grow in modest slabs");
}

#[test]
fn what_fits_can_be_reserved() {
    let options = Options { context: 10_000, sequences: 2, rollback: ROLLBACK };
    let mut state = State::new(groups(), options, Budget::new(LIMIT));
    let mut memory = Memory::default();
    let longest = (1..10_000).take_while(|&n| state.fits(n, n)).last().unwrap();
    let sequence = state.open().unwrap();
    state.reserve(sequence, longest, &mut memory).unwrap();
    assert!(!state.fits(PAGE, PAGE));
    state.release(sequence).unwrap();
    assert!(state.fits(longest, longest));
}

#[test]
fn warm_steps_allocate_no_pages_and_reuse_the_latest() {
    let options = Options { context: 10_000, sequences: 2, rollback: 0 };
    let mut state = State::new(groups(), options, Budget::new(LIMIT));
    let mut memory = Memory::default();
    for _ in 0..3 {
        let sequence = state.open().unwrap();
        state.reserve(sequence, 640, &mut memory).unwrap();
        state.commit(sequence, 640).unwrap();
        state.release(sequence).unwrap();
    }
    assert_eq!(memory.pages[&0], 10);
}
