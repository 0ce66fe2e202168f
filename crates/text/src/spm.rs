//! SentencePiece's byte-pair model: neighbours merge by the score of the piece they form
//! (Kudo and Richardson 2018), without merge rules; a GGUF file of kind `llama` stores exactly this.

use crate::{
    Error, Result,
    bpe::byte_tokens,
    merge::{Merger, NONE, Symbol},
    vocab::Vocab,
};

/// What SentencePiece writes for a space.
pub(crate) const SPACE: char = '\u{2581}';

/// Scores over a vocabulary, and what to do where it ends.
#[derive(Debug, Clone)]
pub(crate) struct Spm {
    /// Merge priority by id, smaller merges earlier.
    priorities: Vec<u32>,
    /// Length of the longest piece, in bytes: longer candidates need no look-up.
    longest: u32,
    bytes: Option<Box<[u32; 256]>>,
    unknown: Option<u32>,
}

impl Spm {
    /// A model over `vocab` with one finite score an id.
    pub fn new(origin: &str, vocab: &Vocab, scores: &[f32], unknown: Option<u32>) -> Result<Self> {
        let invalid =
            |detail| Error::Invalid { origin: origin.into(), what: "token scores", detail };
        if scores.len() != vocab.len() {
            let (scores, tokens) = (scores.len(), vocab.len());
            return Err(invalid(format!("{scores} scores for {tokens} tokens")));
        }
        if let Some(id) = scores.iter().position(|score| score.is_nan()) {
            return Err(invalid(format!("the score of token {id} is not a number")));
        }
        let longest = (0..vocab.len() as u32).filter_map(|id| vocab.text(id)).map(str::len).max();
        Ok(Self {
            priorities: scores.iter().map(|score| priority(*score)).collect(),
            longest: longest.unwrap_or(0) as u32,
            bytes: byte_tokens(vocab),
            unknown,
        })
    }

    /// Appends the ids of a stretch between added tokens, whose spaces are [`SPACE`] already.
    pub fn encode(
        &self,
        vocab: &Vocab,
        merger: &mut Merger,
        text: &str,
        out: &mut Vec<u32>,
    ) -> Result<()> {
        merger.clear();
        for (start, c) in text.char_indices() {
            let id = vocab.ordinary(c.encode_utf8(&mut [0; 4])).unwrap_or(NONE);
            merger.push(start, c.len_utf8(), id);
        }
        merger.run(|a, b| {
            let len = a.len + b.len;
            if len > self.longest {
                return None;
            }
            let id = vocab.ordinary(&text[a.start as usize..][..len as usize])?;
            Some((self.priorities[id as usize], id))
        });
        let mut after_unknown = false;
        for symbol in merger.symbols() {
            let fuse = std::mem::take(&mut after_unknown);
            match (symbol.id, &self.bytes, self.unknown) {
                (NONE, Some(bytes), _) => {
                    out.extend(utf8(text, symbol).iter().map(|byte| bytes[*byte as usize]));
                }
                (NONE, None, Some(id)) => {
                    after_unknown = true;
                    out.extend((!fuse).then_some(id));
                }
                (NONE, None, None) => {
                    let c = String::from_utf8_lossy(utf8(text, symbol)).into_owned();
                    return Err(Error::Encode(format!(
                        "the vocabulary has neither `{c}`, nor raw bytes, nor an unknown token"
                    )));
                }
                (id, ..) => out.push(id),
            }
        }
        Ok(())
    }
}

fn utf8<'t>(text: &'t str, symbol: &Symbol) -> &'t [u8] {
    &text.as_bytes()[symbol.start as usize..][..symbol.len as usize]
}

/// Maps scores to integers so that a higher score is a smaller number.
fn priority(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits(); // + 0.0: the two zeros are one score
    let ascending = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    !ascending
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::Kind;

    fn encode(tokens: &[(&str, f32)], text: &str) -> Result<Vec<u32>> {
        let mut vocab = Vocab::default();
        vocab.push("<unk>", Kind::Unknown);
        tokens.iter().for_each(|(text, _)| vocab.push(text, Kind::Normal));
        let scores: Vec<f32> = [0.0].into_iter().chain(tokens.iter().map(|t| t.1)).collect();
        let spm = Spm::new("t", &vocab, &scores, Some(0))?;
        let mut out = Vec::new();
        spm.encode(&vocab, &mut Merger::default(), text, &mut out)?;
        Ok(out)
    }

    #[test]
    fn higher_scores_first_then_leftmost() {
        let tokens = [("a", -9.0), ("b", -9.0), ("ab", -2.0), ("ba", -1.0), ("abab", -3.0)];
        assert_eq!(encode(&tokens, "aba").unwrap(), [1, 4], "`ba` outranks `ab`");
        assert_eq!(encode(&tokens, "baba").unwrap(), [4, 4]);
    }

    #[test]
    fn unknowns_and_merges_through_missing_characters() {
        let tokens = [("\u{2581}", -1.0), ("\u{2581}x", -2.0)];
        assert_eq!(encode(&tokens, "▁x▁x").unwrap(), [2, 2], "`x` alone is no token");
        assert_eq!(encode(&tokens, "yz▁").unwrap(), [0, 1], "one unknown for a run");
    }

    #[test]
    fn priorities_follow_scores() {
        let scores = [f32::INFINITY, 3.5, 1e-30, 0.0, -1e-30, -2.0, f32::NEG_INFINITY];
        assert!(scores.windows(2).all(|pair| priority(pair[0]) < priority(pair[1])));
        assert_eq!(priority(0.0), priority(-0.0));
        assert!(encode(&[("a", f32::NAN)], "a").is_err());
    }
}
