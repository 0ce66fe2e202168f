//! What kernels of recurrences share: a head's state in registers, and the way through a run.
//!
//! A threadgroup has 32 columns of one head's state `[rows, columns]`, one a lane; its simdgroups divide the rows. States
//! lie in arrays `[.., heads, rows, columns]`.

use tessera_tile::prelude::*;

use crate::{
    chunks::CHUNK,
    tables::{NO_SLOT, run, save},
};

/// Rows of a state that a thread keeps in registers at most, in a tuned kernel.
const MOST_ROWS: u32 = 64;

/// How many simdgroups may divide the `rows` rows of a state, in a tuned kernel.
pub(crate) fn dividing(rows: u32) -> impl Iterator<Item = u32> {
    let fits = move |s: &u32| rows.is_multiple_of(*s) && rows / s <= MOST_ROWS;
    [1, 2, 4, 8].into_iter().filter(fits)
}

/// The group of a head: `h % groups` if they are interleaved, else `h / (heads / groups)`.
pub(crate) fn group_of(
    interleaved: bool,
    head: Val<u32>,
    heads: Val<u32>,
    groups: Val<u32>,
) -> Val<u32> {
    match interleaved {
        true => head % groups,
        false => head / (heads / groups),
    }
}

/// `A` of a head, of which `decay` may be the logarithm of `-A`.
pub(crate) fn rate(log_decay: bool, decay: In<F32>, head: Val<u32>) -> Val<f32> {
    let decay = decay.at(head);
    if log_decay { -exp(decay) } else { decay }
}

/// A thread's part of a head's state.
pub(crate) struct Part {
    /// Its column, which need not be there.
    pub column: Val<u32>,
    /// Whether it is.
    pub inside: Val<bool>,
    /// The head.
    pub head: Val<u32>,
    /// Its rows.
    pub state: Vec<Var<f32>>,
    heads: Val<u32>,
    columns: Val<u32>,
    /// Rows of a head.
    rows: u32,
    /// First of this simdgroup's.
    first: Val<u32>,
}

/// The part of the thread, where the grid is `[columns / 32, heads, runs]`, all zeros.
#[device]
pub(crate) fn part(rows: u32, heads: Val<u32>, columns: Val<u32>) -> Part {
    let column = group(0) * LANES + lane();
    let mine = rows / simdgroups();
    let mut state = vec![0.0; mine as usize];
    Part {
        column,
        inside: column < columns,
        head: group(1),
        state,
        heads,
        columns,
        rows,
        first: simdgroup() * mine,
    }
}

impl Part {
    /// Where the thread's row `r` is in an array of states.
    pub fn place(&self, number: Val<u32>, r: usize) -> Val<u32> {
        let row = (number * self.heads + self.head) * self.rows + self.first + r as u32;
        row * self.columns + self.column
    }

    /// Where the column is in row `row` of a matrix `[rows, heads * columns]`; some column that is there, if it is not.
    pub fn element(&self, row: Val<u32>) -> Val<u32> {
        (row * self.heads + self.head) * self.columns + min(self.column, self.columns - 1)
    }

    /// The elements of the simdgroup's rows, of group `of_group` in row `row` of a matrix `[rows, groups * state rows]`.
    pub fn of_rows(
        &self,
        from: In<F32>,
        row: Val<u32>,
        of_group: Val<u32>,
        groups: Val<u32>,
    ) -> Vec<Val<f32>> {
        let at = (row * groups + of_group) * self.rows + self.first;
        let mine = self.state.len() as u32;
        if mine.is_multiple_of(4) {
            return (0..mine / 4).flat_map(|i| from.load::<4>(at + i * 4)).collect();
        }
        (0..mine).map(|i| from.at(at + i)).collect()
    }
}

/// Goes through the run `group(2)`: `token(row)` for each token that is not in a chunk, `chunk(row)` for each chunk if there
/// are any, and the state is read before and saved wherever the tables say.
#[device]
pub(crate) fn walk(
    part: &Part,
    runs: In<U32>,
    saves: In<U32>,
    states: InOut<F32>,
    token: impl Fn(Val<u32>),
    chunk: Option<impl Fn(Val<u32>)>,
) {
    let of_run = group(2) * run::WORDS;
    let first_row = runs.at(of_run + run::ROW);
    let len = runs.at(of_run + run::LEN);
    let position = runs.at(of_run + run::POSITION);
    let slot = runs.at(of_run + run::SLOT);
    let first_save = runs.at(of_run + run::SAVES);
    let save_count = runs.at(of_run + run::SAVE_COUNT);
    if (slot != NO_SLOT) & part.inside {
        for r in 0..part.state.len() {
            part.state[r] = states.at(part.place(slot, r));
        }
    }
    let mut done = 0u32;
    for i in 0..save_count + 1 {
        let mut after = len;
        if i < save_count {
            after = saves.at((first_save + i) * save::WORDS + save::AFTER);
        }
        // tokens one by one, then chunks, then again tokens one by one
        let (first, last) = bounds(done.get(), after.get(), position, chunk.is_some());
        let parts = if chunk.is_some() { 2 } else { 1 };
        for stage in 0..val(parts) {
            let from = select(stage == 0, done, last);
            let to = select(stage == 0, first, after);
            for t in from..to {
                token(first_row + t);
            }
            if let Some(chunk) = &chunk {
                for t in (first..select(stage == 0, last, first)).step_by(CHUNK) {
                    chunk(first_row + t);
                }
            }
        }
        if (i < save_count) & part.inside {
            let to = saves.at((first_save + i) * save::WORDS + save::SLOT);
            for r in 0..part.state.len() {
                states.set(part.place(to, r), part.state[r]);
            }
        }
        done = after;
    }
}

/// Where among the tokens `done..after` whole chunks begin and end.
fn bounds(
    done: Val<u32>,
    after: Val<u32>,
    position: Val<u32>,
    chunked: bool,
) -> (Val<u32>, Val<u32>) {
    if !chunked {
        return (after, after);
    }
    let first = done + (CHUNK - (position + done) % CHUNK) % CHUNK;
    let first = min(first, after);
    (first, first + (after - first) / CHUNK * CHUNK)
}

/// Sums over the simdgroups, the same for all of them. `parts` is [`column_parts`], and `turn` even where that of the sums before
/// was odd: halves of the array are used in turn, so that one barrier is enough.
#[device]
pub(crate) fn column_sums<const N: usize>(
    parts: Shared<F32>,
    turn: Val<u32>,
    x: [Val<f32>; N],
) -> [Val<f32>; N] {
    if simdgroups() == 1 {
        x
    } else {
        let size = simdgroups() * LANES;
        let first = (turn % 2) * (N as u32 * size) + lane();
        for i in 0..N {
            parts.set(first + i as u32 * size + simdgroup() * LANES, x[i]);
        }
        barrier();
        let sum = |i: usize| {
            let at = |g: u32| parts.at(first + i as u32 * size + g * LANES);
            (1..simdgroups()).fold(at(0), |sum, g| sum + at(g))
        };
        std::array::from_fn(sum)
    }
}

/// The array for [`column_sums`] of `values` values.
pub(crate) fn column_parts(values: u32) -> Shared<F32> {
    shared("parts", 2 * values * simdgroups() * LANES)
}
