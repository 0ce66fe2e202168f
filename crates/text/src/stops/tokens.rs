//! Tokens that end an answer, gathered from every file that names one.

use tessera_formats::Config;

use crate::{ChatTemplate, Result, Tokenizer, vocab::Kind};

/// Tokens that end a turn in one chat format or another.
pub(crate) const END_OF_TURN: [&str; 13] = [
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<end_of_turn>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|END_OF_TURN_TOKEN|>",
    "<|end_of_role|>",
    "<end_of_utterance>",
    "<turn|>",
    "<|eot|>",
    "[EOT]",
];

/// Tokens that end a document, whatever the chat format.
const END_OF_TEXT: [&str; 6] = [
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|end▁of▁sentence|>",
    "<｜end▁of▁sentence｜>",
    "</s>",
    "<eos>",
];

/// The set of ids that end an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StopTokens(Vec<u32>);

impl StopTokens {
    /// The union of `generation_config.json`'s `eos_token_id` (a number or a list), the tokenizer's
    /// end of text, turn and message, and the control token with which `template` ends a turn.
    ///
    /// Fails when `eos_token_id` is neither a number nor a list of numbers; ids the vocabulary does
    /// not have are dropped.
    pub fn gather(
        tokenizer: &Tokenizer,
        template: Option<&ChatTemplate>,
        generation: Option<&Config>,
    ) -> Result<Self> {
        let mut ids = Vec::new();
        if let Some(config) = generation
            && let Some(listed) = config.opt_usizes("eos_token_id", 0..=u32::MAX as usize)?
        {
            ids.extend(listed.into_iter().map(|id| id as u32));
        }
        let roles = tokenizer.roles();
        ids.extend([roles.eos, roles.eot, roles.eom].into_iter().flatten());
        let control =
            |text: &&str| tokenizer.id(text).filter(|id| tokenizer.kind(*id) == Kind::Special);
        ids.extend(END_OF_TEXT.iter().filter_map(control));
        // Where answers end in <|return|>, <|end|> only ends one of several messages of an answer.
        let several = control(&"<|return|>").is_some();
        ids.extend(
            END_OF_TURN
                .iter()
                .filter(|text| template.is_some_and(|template| template.mentions(text)))
                .filter(|text| !(several && **text == "<|end|>"))
                .filter_map(control),
        );
        ids.retain(|id| (*id as usize) < tokenizer.vocab_size());
        ids.sort_unstable();
        ids.dedup();
        Ok(Self(ids))
    }

    /// Whether `id` ends an answer.
    pub fn contains(&self, id: u32) -> bool {
        self.0.binary_search(&id).is_ok()
    }

    /// The ids, ascending.
    pub fn ids(&self) -> &[u32] {
        &self.0
    }
}

impl FromIterator<u32> for StopTokens {
    fn from_iter<I: IntoIterator<Item = u32>>(ids: I) -> Self {
        let mut ids: Vec<u32> = ids.into_iter().collect();
        ids.sort_unstable();
        ids.dedup();
        Self(ids)
    }
}
