//! Byte-pair encoding by ranked merges (Sennrich et al. 2016).

use hashbrown::HashMap;

use crate::{
    Error, Result,
    merge::{Merger, NONE},
    vocab::Vocab,
};

/// What to do with a character the vocabulary lacks, and how words are framed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// Take a word that is itself a token whole, without merging.
    pub whole_words: bool,
    /// Spell unknown characters as `<0xNN>` tokens.
    pub byte_fallback: bool,
    /// Otherwise write this token; without one the character is dropped, as in the reference.
    pub unknown: Option<u32>,
    /// One unknown token for a run of unknown characters.
    pub fuse_unknown: bool,
    /// Put before every character of a word but the first.
    pub prefix: String,
    /// Put after the last character of a word.
    pub suffix: String,
}

/// Merge rules over a vocabulary.
#[derive(Debug, Clone)]
pub(crate) struct Bpe {
    /// `(left id, right id)` to `(rank, merged id)`.
    merges: HashMap<(u32, u32), (u32, u32)>,
    options: Options,
    bytes: Option<Box<[u32; 256]>>,
    /// Ids of the characters below U+0180, which are all that byte-level words consist of.
    low: Vec<Option<u32>>,
}

impl Bpe {
    /// Resolves merge rules, in order of rank, against `vocab`; a rule whose parts or result have no
    /// id is an error that names it. Of two equal rules the later one counts.
    pub fn new<'m>(
        origin: &str,
        vocab: &Vocab,
        merges: impl ExactSizeIterator<Item = (&'m str, &'m str)>,
        options: Options,
    ) -> Result<Self> {
        let mut table = HashMap::with_capacity(merges.len());
        let mut whole = String::new();
        for (rank, (left, right)) in merges.enumerate() {
            let invalid = |part: &str| Error::Invalid {
                origin: origin.into(),
                what: "merge rule",
                detail: format!("rule {rank}, `{left} {right}`: `{part}` is not in the vocabulary"),
            };
            let a = vocab.id(left).ok_or_else(|| invalid(left))?;
            let b = vocab.id(right).ok_or_else(|| invalid(right))?;
            let rest = right.strip_prefix(options.prefix.as_str()).ok_or_else(|| invalid(right))?;
            whole.clear();
            whole.push_str(left);
            whole.push_str(rest);
            let merged = vocab.id(&whole).ok_or_else(|| invalid(&whole))?;
            table.insert((a, b), (rank as u32, merged));
        }
        let bytes = if options.byte_fallback { byte_tokens(vocab) } else { None };
        let id = |c: u32| vocab.id(char::from_u32(c)?.encode_utf8(&mut [0; 4]));
        Ok(Self { merges: table, options, bytes, low: (0..0x180).map(id).collect() })
    }

    /// The id of a single character.
    fn character(&self, vocab: &Vocab, c: char) -> Option<u32> {
        match self.low.get(c as usize) {
            Some(id) => *id,
            None => vocab.id(c.encode_utf8(&mut [0; 4])),
        }
    }

    /// Appends the ids of one word.
    pub fn encode(&self, vocab: &Vocab, merger: &mut Merger, word: &str, out: &mut Vec<u32>) {
        if self.options.whole_words
            && let Some(id) = vocab.ordinary(word)
        {
            return out.push(id);
        }
        merger.clear();
        self.spell(vocab, merger, word);
        merger.run(|a, b| self.merges.get(&(a.id, b.id)).copied());
        out.extend(merger.symbols().map(|symbol| symbol.id).filter(|id| *id != NONE));
    }

    /// One symbol a character, or its bytes, or the unknown token.
    fn spell(&self, vocab: &Vocab, merger: &mut Merger, word: &str) {
        let mut framed = String::new();
        let mut after_unknown = false;
        for (start, c) in word.char_indices() {
            let (len, last) = (c.len_utf8(), start + c.len_utf8() == word.len());
            let id = if self.options.prefix.is_empty() && self.options.suffix.is_empty() {
                self.character(vocab, c)
            } else {
                framed.clear();
                framed.push_str(if start > 0 { &self.options.prefix } else { "" });
                framed.push(c);
                framed.push_str(if last { &self.options.suffix } else { "" });
                vocab.id(&framed)
            };
            let fuse = std::mem::take(&mut after_unknown) && self.options.fuse_unknown;
            match (id, &self.bytes, self.options.unknown) {
                (Some(id), ..) => merger.push(start, len, id),
                (None, Some(bytes), _) => {
                    let utf8 = &word.as_bytes()[start..start + len];
                    let ids = utf8.iter().map(|byte| bytes[*byte as usize]);
                    ids.enumerate().for_each(|(i, id)| merger.push(start + i, 1, id));
                }
                (None, None, Some(id)) => {
                    after_unknown = true;
                    if !fuse {
                        merger.push(start, len, id);
                    }
                }
                (None, None, None) => {}
            }
        }
    }
}

/// The 256 raw-byte tokens, when the vocabulary has them all.
pub(crate) fn byte_tokens(vocab: &Vocab) -> Option<Box<[u32; 256]>> {
    let ids: Option<Vec<u32>> = (0..256).map(|b| vocab.id(&format!("<0x{b:02X}>"))).collect();
    ids?.into_boxed_slice().try_into().ok()
}

/// The byte a raw-byte token such as `<0x0A>` stands for.
pub(crate) fn byte_of(text: &str) -> Option<u8> {
    let hex = text.strip_prefix("<0x")?.strip_suffix('>')?;
    let digits = hex.len() == 2 && hex.bytes().all(|digit| digit.is_ascii_hexdigit());
    if digits { u8::from_str_radix(hex, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::Kind;

    fn vocab(texts: &[&str]) -> Vocab {
        let mut vocab = Vocab::default();
        texts.iter().for_each(|text| vocab.push(text, Kind::Normal));
        vocab
    }

    fn ids(vocab: &Vocab, bpe: &Bpe, word: &str) -> Vec<u32> {
        let mut out = Vec::new();
        bpe.encode(vocab, &mut Merger::default(), word, &mut out);
        out
    }

    #[test]
    fn merges_by_rank_and_takes_whole_words_when_told() {
        let vocab = vocab(&["a", "b", "c", "ab", "bc", "abc"]);
        let rules = [("b", "c"), ("a", "b")];
        let plain = Bpe::new("t", &vocab, rules.into_iter(), Options::default()).unwrap();
        assert_eq!(ids(&vocab, &plain, "abc"), [0, 4]);
        assert_eq!(
            ids(&vocab, &plain, "ab?"),
            [3],
            "no unknown token: dropped, as in the reference"
        );
        let whole = Options { whole_words: true, ..Options::default() };
        let whole = Bpe::new("t", &vocab, rules.into_iter(), whole).unwrap();
        assert_eq!(ids(&vocab, &whole, "abc"), [5]);
    }

    #[test]
    fn unknown_characters_fuse_or_not() {
        let vocab = vocab(&["<unk>", "a"]);
        for (fuse_unknown, expected) in [(true, vec![0, 1, 0]), (false, vec![0, 0, 1, 0])] {
            let options = Options { unknown: Some(0), fuse_unknown, ..Options::default() };
            let bpe = Bpe::new("t", &vocab, [].into_iter(), options).unwrap();
            assert_eq!(ids(&vocab, &bpe, "xya!"), expected);
        }
    }

    #[test]
    fn a_merge_rule_that_overruns_is_an_error_that_names_it() {
        let vocab = vocab(&["a", "b", "##b"]);
        let cases = [(("a", "b"), "", "`ab`"), (("a", "z"), "", "`z`"), (("a", "b"), "##", "`b`")];
        for (rule, prefix, named) in cases {
            let options = Options { prefix: prefix.into(), ..Options::default() };
            let error = Bpe::new("t.json", &vocab, [rule].into_iter(), options).unwrap_err();
            assert!(error.to_string().contains(named), "{error}");
        }
    }

    #[test]
    fn raw_byte_names() {
        assert_eq!((byte_of("<0x0A>"), byte_of("<0xFF>")), (Some(10), Some(255)));
        assert_eq!((byte_of("<0x0AA>"), byte_of("<0x+1>"), byte_of("x")), (None, None, None));
    }
}
