//! Tokens matched as a whole, before the model sees the text.

use std::ops::Range;

use crate::{Error, Result, trie::Trie};

/// Most added tokens a tokenizer may have; the largest real vocabularies have about 6,500.
pub(crate) const MAX_TOKENS: usize = 1 << 16;
/// Longest text of one, in bytes: bounds the work at every position of a text.
pub(crate) const MAX_BYTES: usize = 1024;

/// One added token, with the conditions Hugging Face's format attaches to a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AddedToken {
    pub id: u32,
    /// A control token: matched only where the caller allows it.
    pub special: bool,
    /// Swallows whitespace to its left.
    pub lstrip: bool,
    /// Swallows whitespace to its right.
    pub rstrip: bool,
    /// Matches only between non-word characters.
    pub single_word: bool,
}

impl AddedToken {
    pub fn plain(id: u32, special: bool) -> Self {
        Self { id, special, lstrip: false, rstrip: false, single_word: false }
    }
}

/// A piece of a split text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Span {
    /// Bytes the model has to encode.
    Text(Range<usize>),
    /// An added token.
    Token(u32),
}

/// The added tokens of a vocabulary.
#[derive(Debug, Clone, Default)]
pub(crate) struct Added(Trie<AddedToken>);

impl Added {
    /// Adds a token; an empty text matches nowhere. A text added twice keeps the later token.
    pub fn insert(&mut self, origin: &str, text: &str, token: AddedToken) -> Result<()> {
        let too_large = |what, value: usize, limit: usize| Error::TooLarge {
            origin: origin.into(),
            what,
            value: value as u64,
            limit: limit as u64,
        };
        if text.len() > MAX_BYTES {
            return Err(too_large(
                "the length of an added token, in bytes,",
                text.len(),
                MAX_BYTES,
            ));
        }
        if self.0.len() >= MAX_TOKENS {
            return Err(too_large("the number of added tokens", self.0.len() + 1, MAX_TOKENS));
        }
        self.0.insert(text.bytes(), token);
        Ok(())
    }

    /// Whether there is nothing to match.
    pub fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    /// Splits `text` at its added tokens: leftmost first, the longest at each place. Control tokens
    /// match only over the byte ranges that `allow` accepts.
    pub fn split(&self, text: &str, allow: impl Fn(usize, usize) -> bool) -> Vec<Span> {
        let mut spans = Vec::new();
        let (mut done, mut at) = (0, 0);
        while at < text.len() {
            let Some((token, end)) = self.longest(text, at, &allow) else {
                at += 1;
                continue;
            };
            let start = match token.lstrip {
                true => done.max(text[..at].trim_end().len()),
                false => at,
            };
            if done < start {
                spans.push(Span::Text(done..start));
            }
            spans.push(Span::Token(token.id));
            done = match token.rstrip {
                true => text.len() - text[end..].trim_start().len(),
                false => end,
            };
            at = done;
        }
        if done < text.len() {
            spans.push(Span::Text(done..text.len()));
        }
        spans
    }

    /// The longest token at `at` whose conditions hold, and where it ends.
    fn longest(
        &self,
        text: &str,
        at: usize,
        allow: &impl Fn(usize, usize) -> bool,
    ) -> Option<(AddedToken, usize)> {
        let mut best = None;
        self.0.walk(text.as_bytes()[at..].iter().copied(), |len, token| {
            let end = at + len;
            if (!token.special || allow(at, end))
                && (!token.single_word || stands_alone(text, at, end))
            {
                best = Some((*token, end));
            }
        });
        best
    }
}

/// Whether no word character touches `text[start..end]`.
fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    !text[..start].chars().next_back().is_some_and(word)
        && !text[end..].chars().next().is_some_and(word)
}

#[cfg(test)]
mod tests {
    use super::{Span::*, *};

    fn added(tokens: &[(&str, AddedToken)]) -> Added {
        let mut added = Added::default();
        for (text, token) in tokens {
            added.insert("test", text, *token).unwrap();
        }
        added
    }

    #[test]
    fn leftmost_longest_and_control_tokens_by_permission() {
        let added = added(&[
            ("\n", AddedToken::plain(1, false)),
            ("\n\n", AddedToken::plain(2, false)),
            ("<s>", AddedToken::plain(3, true)),
            ("<s><s>", AddedToken::plain(4, true)),
        ]);
        let text = "a\n\n\n<s><s>b";
        assert_eq!(
            added.split(text, |_, _| true),
            [Text(0..1), Token(2), Token(1), Token(4), Text(10..11)]
        );
        assert_eq!(
            added.split(text, |start, end| end - start == 3 && start > 4),
            [Text(0..1), Token(2), Token(1), Text(4..7), Token(3), Text(10..11)]
        );
        assert_eq!(added.split("", |_, _| true), []);
    }

    #[test]
    fn strips_and_single_words() {
        let base = AddedToken::plain(1, true);
        let added = added(&[
            ("<l>", AddedToken { lstrip: true, ..base }),
            ("<r>", AddedToken { id: 2, rstrip: true, ..base }),
            ("day", AddedToken { id: 3, single_word: true, ..base }),
        ]);
        assert_eq!(
            added.split("a \u{a0}<l> <r>\n b", |_, _| true),
            [Text(0..1), Token(1), Text(7..8), Token(2), Text(13..14)]
        );
        assert_eq!(added.split("day birthday", |_, _| true), [Token(3), Text(3..12)]);
    }

    #[test]
    fn bounds_length_and_number() {
        let mut added = Added::default();
        let token = AddedToken::plain(0, false);
        assert!(added.insert("t", &"x".repeat(MAX_BYTES + 1), token).is_err());
        for i in 0..MAX_TOKENS {
            added.insert("t", &format!("<{i}>"), token).unwrap();
        }
        let error = added.insert("t", "<one more>", token).unwrap_err().to_string();
        assert!(error.contains("65537"), "{error}");
    }
}
