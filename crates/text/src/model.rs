//! The models that turn a stretch of ordinary text into ids.

use crate::{
    Result, bpe::Bpe, bytes, json::Pipeline, merge::Merger, split::Splitter, spm::Spm, vocab::Vocab,
};

/// One of the models a tokenizer may have.
#[derive(Debug)]
pub(crate) enum Model {
    /// Words cut by patterns, spelt in bytes, merged by rank: GPT-2 and its descendants.
    ByteLevel { splitter: Splitter, bpe: Bpe },
    /// Merges by score over the whole stretch: SentencePiece.
    Scored(Spm),
    /// Whatever else a `tokenizer.json` describes.
    Pipeline(Box<Pipeline>),
}

impl Model {
    /// Appends the ids of `text`, which holds no added token. `first` says whether it begins the
    /// whole text, for models that put a space only there.
    pub fn encode(
        &self,
        vocab: &Vocab,
        merger: &mut Merger,
        text: &str,
        first: bool,
        out: &mut Vec<u32>,
    ) -> Result<()> {
        match self {
            Self::ByteLevel { splitter, bpe } => {
                let mut spelt = String::new();
                for word in splitter.words(text)? {
                    spelt.clear();
                    bytes::spell(&text[word], &mut spelt);
                    bpe.encode(vocab, merger, &spelt, out);
                }
                Ok(())
            }
            Self::Scored(spm) => spm.encode(vocab, merger, text, out),
            Self::Pipeline(pipeline) => pipeline.encode(vocab, merger, text, first, out),
        }
    }
}
