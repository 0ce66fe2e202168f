//! Drawing tokens, in whichever of four ways a step needs.

use tessera_graph::{BackendError, Node, Rows};
use tessera_kernels::sample::{
    BINS, BLOCK, SampleArgs,
    draw::Draw,
    report::{Report, ReportArgs},
    survey::Survey,
    weigh::Weigh,
};

use super::{Lower, Part};
use crate::{
    draws::{self, MAX_TOP, Mode},
    stream::{BufferId, Range, Shape, When},
};

/// Threads for a block of logits, and for a row.
const THREADS: (u32, u32) = (256, 512);

/// What comes back of a step.
#[derive(Debug, Clone, Copy)]
pub struct Results {
    /// A token for each drawn row.
    pub tokens: Range,
    /// Its log probability.
    pub logprobs: Range,
    /// The most likely tokens.
    pub top: Range,
    /// Bytes of all of them.
    pub bytes: usize,
}

impl Results {
    /// Of up to `outputs` drawn rows of `vocab` logits.
    pub fn new(outputs: usize, vocab: usize) -> Self {
        let mut bytes = 0;
        let mut place = |len: usize| {
            let range = Range { buffer: BufferId::Results, offset: bytes, bytes: len.max(16) };
            bytes += len.max(16).next_multiple_of(256);
            range
        };
        let (tokens, logprobs) = (place(outputs * 4), place(outputs * 4));
        let top = place(outputs * vocab.min(MAX_TOP as usize) * 8);
        Self { tokens, logprobs, top, bytes }
    }

    /// What a step reads back: four bytes a row, and what it asks for besides.
    pub fn of(&self, mode: &Mode) -> impl Iterator<Item = Range> {
        let rows = mode.draws as usize * 4;
        let parts = [
            (self.tokens, rows),
            (self.logprobs, if mode.report { rows } else { 0 }),
            (self.top, rows * 2 * mode.top as usize),
        ];
        parts
            .into_iter()
            .filter(|(_, bytes)| *bytes > 0)
            .map(|(range, bytes)| Range { bytes, ..range })
    }
}

impl Lower<'_> {
    pub(super) fn sample(&mut self, node: &Node, results: &Results) -> Result<(), BackendError> {
        let logits = self.value(node.inputs[0]);
        let vocab = self.width(node.inputs[0]);
        let outputs = self.limits.outputs;
        let blocks = vocab.div_ceil(BLOCK) as usize;
        let scratch = self.scratch(&[
            outputs * vocab as usize * 4,
            outputs * blocks * 8,
            outputs * BINS as usize * 8,
            outputs * blocks * 8,
        ]);
        let (weights, parts, bins, sums) = (scratch[0], scratch[1], scratch[2], scratch[3]);
        let bytes = draws::bytes(outputs);
        let draws = Range { buffer: BufferId::Draws, offset: 0, bytes };
        let side = [BufferId::Biases, BufferId::History, BufferId::Masks].map(Range::all);
        let args = move |shape: &Shape| SampleArgs { vocab, draws: shape.mode.draws };
        for (random, adjust) in [(false, false), (false, true), (true, false), (true, true)] {
            let part = Part {
                label: node.label.clone(),
                rows: Rows::Outputs,
                within: (0, u32::MAX),
                when: When::Draws { random, adjust },
            };
            let greedy = !random;
            let mut bindings = vec![draws, logits];
            if adjust {
                bindings.extend(side);
                bindings.push(weights);
            }
            bindings.push(parts);
            bindings.extend(random.then_some(bins));
            let kernel = Survey { adjust, greedy, threads: THREADS.0 };
            self.add(part.clone(), kernel, &bindings, args)?;
            let mut bindings = vec![draws, parts];
            if random {
                let mut weigh = bindings.clone();
                weigh.extend((!adjust).then_some(logits));
                weigh.extend([weights, bins, sums]);
                let kernel = Weigh { adjusted: adjust, threads: THREADS.0 };
                self.add(part.clone(), kernel, &weigh, args)?;
                bindings.extend([weights, bins, sums]);
            }
            bindings.push(results.tokens);
            self.add(part, Draw { greedy, threads: THREADS.1 }, &bindings, args)?;
        }
        for top in [false, true] {
            let part = Part {
                label: node.label.clone(),
                rows: Rows::Outputs,
                within: (0, u32::MAX),
                when: When::Reports { top },
            };
            let mut bindings = vec![draws, logits, results.tokens, results.logprobs];
            bindings.extend(top.then_some(results.top));
            let args = move |shape: &Shape| ReportArgs {
                vocab,
                draws: shape.mode.draws,
                top: shape.mode.top,
            };
            self.add(part, Report { top, threads: THREADS.1 }, &bindings, args)?;
        }
        Ok(())
    }
}
