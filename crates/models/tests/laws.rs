//! Equality laws over what sequences remember, on random schedules: prompts in pieces, drafts of which some
//! tokens are kept, going back, snapshots that several sequences continue differently, snapshots saved and
//! loaded, eviction and running again, always several sequences in a batch. Whatever happened to a sequence, its
//! next logits are, bit for bit, those of a fresh one that was given the same tokens in the same runs.

mod common;

use common::{Case, cases};
use tessera_cpu::{Cpu, CpuOptions, Level};
use tessera_graph::{
    Backend, Batch, CHUNK, Executable, Graph, KvType, Limits, Output, oracle::Oracle, unwatched,
};
use tessera_models::Bound;
use tessera_state::{Budget, Group, Keep, Options, Saves, SequenceId, SnapshotId, State};

const CONTEXT: usize = 400;
/// Sequences of the schedule; one more is the fresh one.
const OPEN: usize = 3;
const LIMITS: Limits =
    Limits { tokens: 256, outputs: 8, runs: OPEN, context: CONTEXT, kv: KvType::F16 };

/// xorshift64* (Vigna, 2016): schedules that are the same every time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }

    fn tokens(&mut self, n: usize, vocab: usize) -> Vec<u32> {
        (0..n).map(|_| self.below(vocab) as u32).collect()
    }
}

/// The runs whose tokens a sequence has kept.
type History = Vec<Vec<u32>>;

fn len(history: &History) -> usize {
    history.iter().map(Vec::len).sum()
}

/// The first `to` positions.
fn cut(history: &History, to: usize) -> History {
    let mut left = to;
    let part = |run: &Vec<u32>| {
        let run = run[..left.min(run.len())].to_vec();
        left -= run.len();
        run
    };
    history.iter().map(part).filter(|run| !run.is_empty()).collect()
}

struct World<'a> {
    graph: &'a Graph,
    exe: Box<dyn Executable>,
    state: State,
    sequences: Vec<(SequenceId, History)>,
    snapshots: Vec<(SnapshotId, History)>,
    random: Random,
    what: String,
}

impl<'a> World<'a> {
    fn new(bound: &'a Bound, backend: &dyn Backend, seed: u64, what: String) -> Self {
        let (graph, weights) = (&bound.graph, bound.weights.clone());
        let exe = backend.compile(graph, weights, &LIMITS, &mut unwatched).unwrap();
        let group = |(i, group): (usize, tessera_graph::Group)| Group {
            kind: group.kind,
            block_bytes: exe.block_bytes(i),
        };
        let groups = graph.groups().into_iter().enumerate().map(group).collect();
        let keep = Keep { rollback: 70, checkpoints: 2 };
        let options = Options { context: CONTEXT, sequences: OPEN + 1, keep };
        let state = State::new(groups, options, Budget::new(1 << 30));
        let (sequences, snapshots) = (Vec::new(), Vec::new());
        Self { graph, exe, state, sequences, snapshots, random: Random(seed), what }
    }

    /// Runs tokens of several sequences in one step; gives the logits of each one's rows.
    fn step(&mut self, runs: &[(SequenceId, &[u32], Saves, usize)]) -> Vec<Vec<Vec<u32>>> {
        let mut batch = Batch::default();
        for &(id, tokens, saves, _) in runs {
            self.state.reserve(id, tokens.len(), saves, &mut *self.exe).unwrap();
            let row = self.state.push_run(id, tokens, &mut batch).unwrap();
            // the last rows: drafts are short, and of a prompt the last is wanted
            let wanted = tokens.len().min(LIMITS.outputs / OPEN);
            for i in tokens.len() - wanted..tokens.len() {
                let row = row + i as u32;
                batch.outputs.push(Output { row, sampling: None, position: 1, history: (0, 0) });
            }
        }
        self.exe.step(&batch, &mut Vec::new()).unwrap();
        let (mut row, mut next) = (vec![0.0; self.graph.vocab()], 0);
        let mut rows = |wanted: usize| -> Vec<Vec<u32>> {
            (0..wanted)
                .map(|_| {
                    self.exe.read_logits(next, &mut row);
                    next += 1;
                    row.iter().map(|x| x.to_bits()).collect()
                })
                .collect()
        };
        let logits: Vec<_> =
            runs.iter().map(|run| rows(run.1.len().min(LIMITS.outputs / OPEN))).collect();
        for &(id, _, _, kept) in runs {
            self.state.commit(id, kept).unwrap();
        }
        assert_eq!(self.state.check_integrity(), Ok(()), "{}", self.what);
        logits
    }

    /// The logits after the last token of a fresh sequence that is given these runs.
    fn fresh(&mut self, history: &History) -> Vec<u32> {
        let id = self.state.open().unwrap();
        let mut last = Vec::new();
        for run in history {
            last = self.step(&[(id, run, Saves::End, run.len())]).remove(0).pop().unwrap();
        }
        self.state.release(id).unwrap();
        last
    }

    /// Gives every sequence something to run, in one step, and checks what comes of it.
    fn advance(&mut self) {
        let vocab = self.graph.token_ids();
        let mut plans = Vec::new();
        for i in 0..self.sequences.len() {
            let at = len(&self.sequences[i].1);
            let (tokens, saves) = match self.random.below(4) {
                // part of a prompt, to a place where recurrences are cut, or its end
                0 => {
                    let edge = CHUNK - at % CHUNK + CHUNK * self.random.below(2);
                    let tokens = [edge, 1 + self.random.below(70)][self.random.below(2)];
                    (tokens.min(LIMITS.tokens / OPEN), Saves::Checkpoint)
                }
                1 => (1 + self.random.below(4), Saves::Every),
                _ => (1, Saves::End),
            };
            let tokens = tokens.min(CONTEXT - at);
            if tokens > 0 {
                let kept = match saves {
                    Saves::Every => self.random.below(tokens + 1),
                    _ => tokens,
                };
                plans.push((i, self.random.tokens(tokens, vocab), saves, kept));
            }
        }
        let runs: Vec<_> = plans
            .iter()
            .map(|(i, tokens, saves, kept)| (self.sequences[*i].0, &tokens[..], *saves, *kept))
            .collect();
        if runs.is_empty() {
            return;
        }
        let rows = self.step(&runs);
        for ((i, tokens, _, kept), mut rows) in plans.into_iter().zip(rows) {
            let mut given = self.sequences[i].1.clone();
            given.push(tokens.clone());
            let fresh = self.fresh(&given);
            assert!(rows.pop() == Some(fresh), "{}: {given:?}", self.what);
            self.sequences[i].1.push(tokens[..kept].to_vec());
            self.sequences[i].1.retain(|run| !run.is_empty());
        }
    }

    fn act(&mut self) {
        match self.random.below(9) {
            0 | 1 if self.sequences.len() < OPEN => {
                let id = self.state.open().unwrap();
                self.sequences.push((id, History::new()));
            }
            2 if self.sequences.len() < OPEN && !self.snapshots.is_empty() => {
                let (id, history) = &self.snapshots[self.random.below(self.snapshots.len())];
                let id = self.state.restore(*id).unwrap();
                self.sequences.push((id, history.clone()));
            }
            3 if !self.sequences.is_empty() => {
                let (at, id, to) = self.back();
                self.state.truncate(id, to).unwrap();
                self.sequences[at].1 = cut(&self.sequences[at].1, to);
            }
            4 if !self.sequences.is_empty() => {
                let (at, id, to) = self.back();
                let snapshot = self.state.snapshot(id, to).unwrap();
                self.snapshots.push((snapshot, cut(&self.sequences[at].1, to)));
            }
            5 if !self.snapshots.is_empty() => {
                // to bytes and back
                let (id, history) = self.snapshots.remove(0);
                let bytes = self.state.save(id, b"key", &*self.exe).unwrap();
                self.state.drop_snapshot(id).unwrap();
                let id = self.state.load(&bytes, b"key", &mut *self.exe).unwrap();
                self.snapshots.push((id, history));
            }
            6 if !self.sequences.is_empty() => {
                // evicted, and run again when there is room
                let (id, history) = self.sequences.remove(0);
                self.state.release(id).unwrap();
                let id = self.state.open().unwrap();
                for run in &history {
                    self.step(&[(id, run, Saves::Checkpoint, run.len())]);
                }
                self.sequences.push((id, history));
            }
            _ => self.advance(),
        }
    }

    /// A sequence, and a place that it can go back to.
    fn back(&mut self) -> (usize, SequenceId, usize) {
        let at = self.random.below(self.sequences.len());
        let (id, history) = &self.sequences[at];
        let (id, wanted) = (*id, len(history).saturating_sub(self.random.below(100)));
        (at, id, self.state.reusable(id, wanted).unwrap())
    }
}

fn check(case: &str, backend: &dyn Backend, schedules: u64, acts: usize) {
    let stored = Case::stored(case).remove(0);
    let bound = stored.open(None).unwrap_or_else(|e| panic!("{case}: {e}"));
    for seed in 1..=schedules {
        let what = format!("{case} on {}, schedule {seed}", backend.name());
        let mut world = World::new(&bound, backend, seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), what);
        for _ in 0..acts {
            world.act();
        }
    }
}

/// One case of each family, of the packings none.
fn families() -> Vec<String> {
    let mut families: Vec<String> = Vec::new();
    for case in cases().into_iter().filter(|case| !case.starts_with("packings/")) {
        let family = case.split('/').next().unwrap().to_owned();
        if !families.iter().any(|known| known.split('/').next() == Some(&family)) {
            families.push(case);
        }
    }
    families
}

#[test]
fn on_the_cpu() {
    let options = |precise, threads| CpuOptions { threads, precise, isa: Some(Level::best()) };
    for precise in [true, false] {
        let backend = Cpu::new(&options(precise, Some(1))).unwrap();
        for case in families() {
            check(&case, &backend, 3, 40);
        }
    }
}

/// The oracle is slow: fewer steps.
#[test]
fn on_the_oracle() {
    for case in families() {
        check(&case, &Oracle, 1, 12);
    }
}
