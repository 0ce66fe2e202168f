//! Rows to draw from, drawn from by the kernels and by the oracle.

use tessera_graph::{Sampled, Sampling, TokenCount, oracle, random};
use tessera_kernels::{
    sample::{
        BINS, SampleArgs,
        draw::Draw,
        report::{Report, ReportArgs},
        survey::Survey,
        weigh::Weigh,
    },
    tables::{FAILED, NO_MASK, draw as words},
};
use tessera_tile::sim::Memory;

use crate::common::{floats, read, read_words, result, run, words as word_buffer};

/// A row of logits and how to draw from it.
#[derive(Debug, Clone, Default)]
pub struct Row {
    pub logits: Vec<f32>,
    pub sampling: Sampling,
    pub history: Vec<TokenCount>,
    /// Whether each token is allowed.
    pub mask: Option<Vec<bool>>,
    pub position: u32,
}

impl Row {
    /// What the oracle draws; it knows no masks, but minus infinity stays so whatever is added.
    fn wanted(&self) -> Sampled {
        let adjusted = self.adjusted();
        let broken = adjusted.iter().any(|x| x.is_nan() || *x == f32::INFINITY);
        let mut masked = self.logits.clone();
        if let Some(mask) = &self.mask {
            masked
                .iter_mut()
                .zip(mask)
                .filter(|(_, on)| !**on)
                .for_each(|(x, _)| *x = f32::NEG_INFINITY);
        }
        let possible = |i: usize| {
            adjusted[i] > f32::NEG_INFINITY && self.mask.as_ref().is_none_or(|mask| mask[i])
        };
        if broken || !(0..masked.len()).any(possible) {
            return Sampled { token: FAILED, failed: true, ..Sampled::default() };
        }
        let sampling = Sampling { logprobs: false, top_logprobs: 0, ..self.sampling.clone() };
        let token = oracle::sample(&masked, &sampling, &self.history, self.position).token;
        // log probabilities are of the logits as they were, of whichever token
        let forced = Sampling {
            temperature: 0.0,
            bias: vec![(token, f32::INFINITY)],
            logprobs: self.sampling.logprobs,
            top_logprobs: self.sampling.top_logprobs,
            ..Sampling::default()
        };
        oracle::sample(&self.logits, &forced, &[], 0)
    }

    /// Logits after bias and penalties.
    fn adjusted(&self) -> Vec<f32> {
        let mut logits = self.logits.clone();
        for &(token, bias) in &self.sampling.bias {
            logits[token as usize] += bias;
        }
        for count in &self.history {
            let x = &mut logits[count.token as usize];
            let penalty = self.sampling.repetition_penalty;
            *x = if *x > 0.0 { *x / penalty } else { *x * penalty };
            if count.generated > 0 {
                *x -= self.sampling.presence_penalty;
                *x -= self.sampling.frequency_penalty * count.generated as f32;
            }
        }
        logits
    }

    fn is_adjusted(&self) -> bool {
        !self.sampling.bias.is_empty() || !self.history.is_empty() || self.mask.is_some()
    }
}

/// A step that draws.
pub struct Case {
    rows: Vec<Row>,
    /// Rows of logits, by row.
    row_of: Vec<u32>,
    /// Threads for a block, and for a row.
    pub threads: [u32; 2],
}

/// What the tables of a step hold.
#[derive(Default)]
struct Tables {
    draws: Vec<u32>,
    biases: Vec<u32>,
    history: Vec<u32>,
    masks: Vec<u32>,
}

impl Case {
    /// Rows with logits of their own, which do not lie in the order in which they are drawn from.
    pub fn new(rows: impl Iterator<Item = Row>) -> Self {
        let rows: Vec<_> = rows.collect();
        let row_of = (0..rows.len() as u32).rev().collect();
        Self { rows, row_of, threads: [64, 128] }
    }

    /// All rows draw from the same logits.
    pub fn share_logits(&mut self) {
        self.row_of.fill(0);
    }

    fn tables(&self) -> Tables {
        let mut tables = Tables::default();
        for (row, &of) in self.rows.iter().zip(&self.row_of) {
            let it = &row.sampling;
            let mut draw = [0; words::WORDS as usize];
            let mut set = |word: u32, to: u32| draw[word as usize] = to;
            set(words::TEMPERATURE, it.temperature.to_bits());
            set(words::TOP_K, it.top_k);
            set(words::TOP_P, it.top_p.to_bits());
            set(words::MIN_P, it.min_p.to_bits());
            set(words::REPETITION, it.repetition_penalty.to_bits());
            set(words::PRESENCE, it.presence_penalty.to_bits());
            set(words::FREQUENCY, it.frequency_penalty.to_bits());
            set(words::UNIFORM, random::uniform(it.seed, row.position).to_bits());
            set(words::BIAS, tables.biases.len() as u32 / 2);
            set(words::BIAS_COUNT, it.bias.len() as u32);
            tables.biases.extend(it.bias.iter().flat_map(|&(token, x)| [token, x.to_bits()]));
            set(words::HISTORY, tables.history.len() as u32 / 2);
            set(words::HISTORY_COUNT, row.history.len() as u32);
            tables.history.extend(row.history.iter().flat_map(|c| [c.token, c.generated]));
            set(words::MASK, row.mask.as_ref().map_or(NO_MASK, |_| tables.masks.len() as u32));
            for bits in row.mask.iter().flat_map(|mask| mask.chunks(32)) {
                let word = bits.iter().enumerate().map(|(i, &on)| u32::from(on) << i).sum();
                tables.masks.push(word);
            }
            set(words::TOP, it.top_logprobs);
            set(words::LOGPROB, u32::from(it.logprobs));
            set(words::ROW, of);
            tables.draws.extend(draw);
        }
        tables
    }

    /// Compares with the oracle, and gives the tokens.
    pub fn check(&self) -> Vec<u32> {
        let vocab = self.rows[0].logits.len();
        let mut all = vec![0.0; self.rows.len() * vocab];
        for (row, &of) in self.rows.iter().zip(&self.row_of) {
            all[of as usize * vocab..][..vocab].copy_from_slice(&row.logits);
        }
        let logits = floats(&all);
        let tables = self.tables();
        let draws = word_buffer(&tables.draws);
        let plain = !self.rows.iter().any(Row::is_adjusted);
        let greedy = self.rows.iter().all(|row| row.sampling.temperature == 0.0);
        let mut found = Vec::new();
        for adjust in [false, true] {
            for greedy_only in [false, true] {
                if (plain || adjust) && (greedy || !greedy_only) {
                    found.push(self.draw(&tables, &draws, &logits, adjust, greedy_only));
                }
            }
        }
        let wanted: Vec<_> = self.rows.iter().map(Row::wanted).collect();
        for tokens in &found {
            for (i, (row, wanted)) in self.rows.iter().zip(&wanted).enumerate() {
                let what = (row.position, &row.sampling, vocab);
                assert_eq!(tokens[i], wanted.token, "row {i}: {what:?}");
            }
        }
        let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert!(bits(&read(&logits)) == bits(&all), "logits are left as they are");
        let tokens = found.swap_remove(0);
        self.check_report(&draws, &logits, &tokens, &wanted);
        tokens
    }

    /// The tokens that the kernels draw.
    fn draw(
        &self,
        tables: &Tables,
        draws: &Memory,
        logits: &Memory,
        adjust: bool,
        greedy: bool,
    ) -> Vec<u32> {
        let (rows, vocab) = (self.rows.len(), self.rows[0].logits.len());
        let args = SampleArgs { vocab: vocab as u32, draws: rows as u32 };
        let blocks = args.blocks() as usize;
        let parts = result(rows * blocks * 2);
        let bins = result(rows * BINS as usize * 2);
        let (weights, sums) = (result(rows * vocab), result(rows * blocks * 2));
        let tokens = result(rows);
        let (biases, history) = (word_buffer(&tables.biases), word_buffer(&tables.history));
        let masks = word_buffer(&tables.masks);
        let mut buffers = vec![draws, logits];
        if adjust {
            buffers.extend([&biases, &history, &masks, &weights]);
        }
        buffers.push(&parts);
        if !greedy {
            buffers.push(&bins);
        }
        run(&Survey { adjust, greedy, threads: self.threads[0] }, &args, &buffers);
        if !greedy {
            let mut buffers = vec![draws, &parts];
            if !adjust {
                buffers.push(logits);
            }
            buffers.extend([&weights, &bins, &sums]);
            run(&Weigh { adjusted: adjust, threads: self.threads[0] }, &args, &buffers);
        }
        let mut buffers = vec![draws, &parts];
        if !greedy {
            buffers.extend([&weights, &bins, &sums]);
        }
        buffers.push(&tokens);
        run(&Draw { greedy, threads: self.threads[1] }, &args, &buffers);
        read_words(&tokens)
    }

    fn check_report(&self, draws: &Memory, logits: &Memory, tokens: &[u32], wanted: &[Sampled]) {
        let (rows, vocab) = (self.rows.len(), self.rows[0].logits.len());
        let top = self.rows.iter().map(|row| row.sampling.top_logprobs).max().unwrap_or(0);
        if top == 0 && !self.rows.iter().any(|row| row.sampling.logprobs) {
            return;
        }
        let args = ReportArgs { vocab: vocab as u32, draws: rows as u32, top };
        let (logprobs, pairs) = (result(rows), word_buffer(&vec![77; rows * top as usize * 2]));
        let tokens = word_buffer(tokens);
        let mut buffers = vec![draws, logits, &tokens, &logprobs];
        if top > 0 {
            buffers.push(&pairs);
        }
        run(&Report { top: top > 0, threads: self.threads[1] }, &args, &buffers);
        let (logprobs, pairs) = (read(&logprobs), read_words(&pairs));
        let same = |got: f32, wanted: f32| {
            got == wanted || (got - wanted).abs() <= 2e-6 * (1.0 + wanted.abs())
        };
        for (i, wanted) in wanted.iter().enumerate() {
            let what = format!("row {i} of {vocab}: {wanted:?}");
            assert!(same(logprobs[i], wanted.logprob), "{} in {what}", logprobs[i]);
            let row = &pairs[i * top as usize * 2..][..top as usize * 2];
            let (pairs, _) = row.as_chunks::<2>();
            for (&[id, bits], &(token, logprob)) in pairs.iter().zip(&wanted.top) {
                let got = f32::from_bits(bits);
                assert!(id == token && same(got, logprob), "{id}, {got} in {what}");
            }
            assert!(pairs[wanted.top.len()..].iter().flatten().all(|&word| word == 77), "{what}");
        }
    }
}
