//! Steps of recurrences: runs, where their states come from and where they go.

use tessera_kernels::tables::{NO_SLOT, run, save};

/// A run of a step.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its tokens.
    pub len: u32,
    /// Position of the first.
    pub position: u32,
    /// Where its state is.
    pub slot: u32,
    /// After how many tokens it goes where.
    pub saves: Vec<(u32, u32)>,
}

/// Slots there are.
pub const SLOTS: usize = 8;

/// Some runs.
pub type Step = Vec<Run>;

/// A run that is saved at its end and wherever `saves` says.
pub fn of(len: u32, position: u32, slot: u32, to: u32, saves: &[(u32, u32)]) -> Run {
    let saves = saves.iter().copied().chain([(len, to)]).collect();
    Run { len, position, slot, saves }
}

/// Steps of every kind: decoding, prompts cut anywhere, drafts that may be taken back, all of them together.
pub fn steps() -> Vec<Step> {
    vec![
        vec![of(1, 9, 0, 0, &[]), of(1, 0, NO_SLOT, 1, &[]), of(1, 63, 2, 3, &[])],
        vec![of(64, 0, NO_SLOT, 0, &[])],
        vec![of(63, 0, NO_SLOT, 0, &[]), of(65, 0, NO_SLOT, 1, &[]), of(64, 1, 2, 3, &[])],
        vec![of(4, 62, 1, 5, &[(1, 2), (2, 3), (3, 4)]), of(130, 64, 0, 0, &[(64, 6)])],
        vec![
            of(2, 7, 7, 7, &[]),
            of(150, 30, 1, 2, &[(98, 3), (100, 4)]),
            of(66, 0, NO_SLOT, 6, &[(2, 5)]),
        ],
    ]
}

/// Rows of a step.
pub fn rows(step: &Step) -> u32 {
    step.iter().map(|run| run.len).sum()
}

/// Rows of the longest run.
pub fn longest(step: &Step) -> u32 {
    step.iter().map(|run| run.len).max().unwrap_or(0)
}

/// The tables `runs` and `saves`.
pub fn tables(step: &Step) -> (Vec<u32>, Vec<u32>) {
    let (mut runs, mut saves) = (Vec::new(), Vec::new());
    let mut row = 0;
    for one in step {
        let mut words = [0; run::WORDS as usize];
        words[run::ROW as usize] = row;
        words[run::LEN as usize] = one.len;
        words[run::POSITION as usize] = one.position;
        words[run::SLOT as usize] = one.slot;
        words[run::SAVES as usize] = saves.len() as u32 / save::WORDS;
        words[run::SAVE_COUNT as usize] = one.saves.len() as u32;
        runs.extend(words);
        saves.extend(one.saves.iter().flat_map(|&(after, slot)| [after, slot]));
        row += one.len;
    }
    (runs, saves)
}

/// Runs `token` on each row, with the state as it was; `states` are [`SLOTS`] slots.
pub fn each(step: &Step, states: &mut [f32], mut token: impl FnMut(&mut [f64], usize)) {
    let len = states.len() / SLOTS;
    let before = states.to_vec();
    let mut row = 0;
    for run in step {
        let mut state: Vec<f64> = match run.slot {
            NO_SLOT => vec![0.0; len],
            slot => before[slot as usize * len..][..len].iter().map(|&x| x.into()).collect(),
        };
        for i in 0..run.len {
            token(&mut state, row);
            row += 1;
            for &(_, slot) in run.saves.iter().filter(|save| save.0 == i + 1) {
                let to = &mut states[slot as usize * len..][..len];
                to.iter_mut().zip(&state).for_each(|(to, &s)| *to = s as f32);
            }
        }
    }
}
