//! How each output is drawn, as words for the kernels of `tessera_kernels::sample`.

use tessera_graph::{BackendError, Batch, Sampling, random};
use tessera_kernels::tables::{NO_MASK, draw};

/// Most likely tokens that are reported for a row at most.
pub const MAX_TOP: u32 = 128;

/// Bytes of the table of that many draws.
pub const fn bytes(draws: usize) -> usize {
    draws * draw::WORDS as usize * 4
}

/// What a step draws.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Mode {
    /// Rows that are drawn from.
    pub draws: u32,
    /// Whether any draws at random.
    pub random: bool,
    /// Whether any has a bias or penalties.
    pub adjust: bool,
    /// Whether any asks for log probabilities.
    pub report: bool,
    /// Most likely tokens that any asks for.
    pub top: u32,
}

/// The words of a step, reused from step to step.
#[derive(Debug, Default)]
pub struct Words {
    /// `[draws, draw::WORDS]`.
    pub draws: Vec<u32>,
    /// Pairs of a token and the bits of what is added.
    pub biases: Vec<u32>,
    /// Pairs of a token and how often it was generated.
    pub history: Vec<u32>,
}

impl Words {
    /// Fills the tables for the outputs that are drawn from.
    pub fn fill(&mut self, batch: &Batch) -> Result<Mode, BackendError> {
        self.draws.clear();
        self.biases.clear();
        self.history.clear();
        let mut mode = Mode::default();
        for (row, output) in batch.outputs.iter().enumerate() {
            let Some(sampling) = output.sampling.as_deref() else { continue };
            if sampling.top_logprobs > MAX_TOP {
                return Err(BackendError::Limit {
                    what: "top log probabilities",
                    value: sampling.top_logprobs as usize,
                    limit: MAX_TOP as usize,
                });
            }
            let history = match sampling.wants_history() {
                true => batch.history(output),
                false => &[],
            };
            let mut words = [0; draw::WORDS as usize];
            let mut set = |word: u32, value: u32| words[word as usize] = value;
            settings(sampling, &mut set);
            set(draw::UNIFORM, random::uniform(sampling.seed, output.position).to_bits());
            set(draw::BIAS, (self.biases.len() / 2) as u32);
            set(draw::HISTORY, (self.history.len() / 2) as u32);
            set(draw::HISTORY_COUNT, history.len() as u32);
            set(draw::MASK, NO_MASK);
            set(draw::ROW, row as u32);
            // a token that is named twice is biased by the sum, as elsewhere
            let first = self.biases.len();
            for &(token, bias) in &sampling.bias {
                let own = self.biases[first..].as_chunks_mut::<2>().0;
                match own.iter_mut().find(|[known, _]| *known == token) {
                    Some([_, sum]) => *sum = (f32::from_bits(*sum) + bias).to_bits(),
                    None => self.biases.extend([token, bias.to_bits()]),
                }
            }
            set(draw::BIAS_COUNT, ((self.biases.len() - first) / 2) as u32);
            self.history.extend(history.iter().flat_map(|count| [count.token, count.generated]));
            self.draws.extend(words);
            mode.draws += 1;
            mode.random |= sampling.temperature > 0.0;
            mode.adjust |= !sampling.bias.is_empty() || !history.is_empty();
            mode.report |= sampling.logprobs || sampling.top_logprobs > 0;
            mode.top = mode.top.max(sampling.top_logprobs);
        }
        Ok(mode)
    }
}

fn settings(sampling: &Sampling, set: &mut impl FnMut(u32, u32)) {
    set(draw::TEMPERATURE, sampling.temperature.to_bits());
    set(draw::TOP_K, sampling.top_k);
    set(draw::TOP_P, sampling.top_p.to_bits());
    set(draw::MIN_P, sampling.min_p.to_bits());
    set(draw::REPETITION, sampling.repetition_penalty.to_bits());
    set(draw::PRESENCE, sampling.presence_penalty.to_bits());
    set(draw::FREQUENCY, sampling.frequency_penalty.to_bits());
    set(draw::TOP, sampling.top_logprobs);
    set(draw::LOGPROB, u32::from(sampling.logprobs));
}
