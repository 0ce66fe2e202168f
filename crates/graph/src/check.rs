//! Is a batch, or a set of weights, fit for a graph? Both backends ask before they start.

use crate::{
    BackendError, Batch, Graph, Limits, NO_PAGE, NO_SLOT, Output, PAGE, Run, Sampling, Weights,
};

type Result = std::result::Result<(), BackendError>;

fn malformed(what: String) -> Result {
    Err(BackendError::Batch(what))
}

fn limit(what: &'static str, value: usize, limit: usize) -> Result {
    if value > limit { Err(BackendError::Limit { what, value, limit }) } else { Ok(()) }
}

impl Batch {
    /// Whether the batch keeps to `limits` and is consistent with itself and with `graph`: runs cover
    /// the tokens, every page that a query can see is there, recurrent states are read and saved, and ids are
    /// inside the vocabulary.
    ///
    /// Which pages and slots exist is the backend's to check (it grew them), and that none is written by
    /// two runs is the caller's to ensure. Allocates nothing, unless there is an error to describe.
    pub fn check(&self, graph: &Graph, limits: &Limits) -> Result {
        limit("tokens", self.tokens.len(), limits.tokens)?;
        limit("outputs", self.outputs.len(), limits.outputs)?;
        limit("runs", self.runs.len(), limits.runs)?;
        let vocab = graph.token_ids();
        if let Some(&token) = self.tokens.iter().find(|&&t| t as usize >= vocab) {
            return malformed(format!("token id {token}, but the vocabulary has {vocab}"));
        }
        self.check_rows()?;
        for run in &self.runs {
            let end = run.position as usize + run.len as usize;
            limit("positions", end, limits.context)?;
            self.check_tables(run, graph)?;
            if graph.is_recurrent() {
                self.check_slots(run)?;
            }
        }
        self.check_outputs(graph.vocab())
    }

    fn check_rows(&self) -> Result {
        let mut row = 0;
        for run in &self.runs {
            if run.row as usize != row || run.len == 0 {
                return malformed(format!(
                    "a run of {} rows at row {}, expected at {row}",
                    run.len, run.row
                ));
            }
            row += run.len as usize;
        }
        if row != self.tokens.len() || row == 0 {
            return malformed(format!("runs of {row} rows for {} tokens", self.tokens.len()));
        }
        Ok(())
    }

    fn check_tables(&self, run: &Run, graph: &Graph) -> Result {
        let last = run.position as usize + run.len as usize - 1;
        for (group, window) in graph.windows().enumerate() {
            let Some(&(start, len)) = self.tables.get(run.tables as usize + group) else {
                return malformed(format!(
                    "no page table for group {group} of the run at row {}",
                    run.row
                ));
            };
            let Some(table) = self.pages.get(start as usize..start as usize + len as usize) else {
                return malformed(format!(
                    "page table {start}+{len} of {} entries",
                    self.pages.len()
                ));
            };
            let first = (run.position as usize + 1).saturating_sub(window.unwrap_or(usize::MAX));
            let Some(seen) = table.get(first / PAGE..=last / PAGE) else {
                return malformed(format!("a table of {len} pages for position {last}"));
            };
            if let Some(hole) = seen.iter().position(|&page| page == NO_PAGE) {
                let index = first / PAGE + hole;
                return malformed(format!("page {index} of the run at row {} is missing", run.row));
            }
        }
        Ok(())
    }

    fn check_slots(&self, run: &Run) -> Result {
        let (start, len) = run.saves;
        let Some(saves) = self.saves.get(start as usize..start as usize + len as usize) else {
            return malformed(format!("saves {start}+{len} of {} entries", self.saves.len()));
        };
        if (run.slot == NO_SLOT) != (run.position == 0) {
            let slot = run.slot;
            return malformed(format!("slot {slot} for a run at position {}", run.position));
        }
        let mut before = 0;
        for (i, save) in saves.iter().enumerate() {
            let twice = saves[..i].iter().any(|other| other.slot == save.slot);
            let early = save.slot == run.slot && save.after != run.len;
            if save.after <= before || save.slot == NO_SLOT || twice || early {
                return malformed(format!(
                    "saving slot {} after {} of {} rows, read from {}",
                    save.slot, save.after, run.len, run.slot
                ));
            }
            before = save.after;
        }
        if before != run.len {
            return malformed(format!("nothing saved at the end of the run at row {}", run.row));
        }
        Ok(())
    }

    fn check_outputs(&self, vocab: usize) -> Result {
        let mut next = 0;
        for output in &self.outputs {
            if (output.row as usize) < next || output.row as usize >= self.tokens.len() {
                return malformed(format!(
                    "output row {} of {} rows",
                    output.row,
                    self.tokens.len()
                ));
            }
            next = output.row as usize + 1;
            if let Some(sampling) = &output.sampling {
                check_sampling(sampling, vocab)?;
                self.check_history(output, vocab)?;
            }
        }
        Ok(())
    }

    fn check_history(&self, output: &Output, vocab: usize) -> Result {
        let (start, len) = output.history;
        let Some(history) = self.history.get(start as usize..start as usize + len as usize) else {
            return malformed(format!("history {start}+{len} of {} entries", self.history.len()));
        };
        match history.iter().find(|count| count.token as usize >= vocab) {
            Some(count) => {
                malformed(format!("token {} in the history of {vocab} tokens", count.token))
            }
            None => Ok(()),
        }
    }
}

fn check_sampling(sampling: &Sampling, vocab: usize) -> Result {
    let numbers = [
        ("temperature", sampling.temperature, 0.0, f32::MAX),
        ("top_p", sampling.top_p, 0.0, 1.0),
        ("min_p", sampling.min_p, 0.0, 1.0),
        ("repetition_penalty", sampling.repetition_penalty, f32::MIN_POSITIVE, f32::MAX),
        ("presence_penalty", sampling.presence_penalty, f32::MIN, f32::MAX),
        ("frequency_penalty", sampling.frequency_penalty, f32::MIN, f32::MAX),
    ];
    for (name, value, low, high) in numbers {
        // Written so that NaN fails.
        if !(value >= low && value <= high) {
            return malformed(format!("{name} is {value}, outside {low} to {high}"));
        }
    }
    if let Some((token, _)) = sampling.bias.iter().find(|(t, b)| *t as usize >= vocab || b.is_nan())
    {
        return malformed(format!("bias of token {token} (the vocabulary has {vocab})"));
    }
    limit("top log probabilities", sampling.top_logprobs as usize, vocab)
}

impl Weights {
    /// Whether there is one weight of the declared shape for each declaration of `graph`.
    pub fn check(&self, graph: &Graph) -> Result {
        if self.0.len() != graph.weights.len() {
            let what = format!("{} weights for {} declarations", self.0.len(), graph.weights.len());
            return Err(BackendError::Weights(what));
        }
        for (decl, weight) in graph.weights.iter().zip(&self.0) {
            if decl.shape != [weight.rows, weight.cols] {
                let found = [weight.rows, weight.cols];
                return Err(BackendError::Weights(format!(
                    "{decl} is {found:?}, not {:?}",
                    decl.shape
                )));
            }
        }
        Ok(())
    }
}
