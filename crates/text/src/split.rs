//! Pre-tokenising: cutting text into words at which merging never crosses.

use std::{
    borrow::Cow,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use fancy_regex::Regex;

use crate::{Error, Result};

/// Patterns applied in turn: each cuts every piece left by the one before into its matches and what
/// lies between them.
#[derive(Debug, Clone)]
pub(crate) struct Splitter(Vec<Arc<Regex>>);

impl Splitter {
    /// Compiles `patterns`; one that is not a regular expression is an error that shows it. Borrowed
    /// patterns are this crate's own and compiled once a process; a file's live as long as its splitter.
    pub fn new<P: Into<Cow<'static, str>>>(
        origin: &str,
        patterns: impl IntoIterator<Item = P>,
    ) -> Result<Self> {
        let compile = |pattern: P| {
            let pattern = pattern.into();
            let regex = match pattern {
                Cow::Borrowed(pattern) => own(pattern),
                Cow::Owned(ref pattern) => Regex::new(pattern).map(Arc::new),
            };
            regex.map_err(|error| Error::Invalid {
                origin: origin.into(),
                what: "pre-tokenizer pattern",
                detail: format!("`{pattern}`: {error}"),
            })
        };
        Ok(Self(patterns.into_iter().map(compile).collect::<Result<_>>()?))
    }

    /// Cuts `text` into words, in order and without gaps. A pattern that backtracks past its budget
    /// is an error, never a different cut.
    pub fn words(&self, text: &str) -> Result<Vec<Range<usize>>> {
        let mut pieces = Vec::from([Range { start: 0, end: text.len() }]);
        for regex in &self.0 {
            let mut finer = Vec::with_capacity(pieces.len() + text.len() / 4);
            for piece in pieces {
                let mut done = piece.start;
                for found in regex.find_iter(&text[piece.clone()]) {
                    let found = found.map_err(|error| Error::Encode(error.to_string()))?;
                    let (start, end) = (piece.start + found.start(), piece.start + found.end());
                    finer.extend([done..start, start..end].into_iter().filter(|r| !r.is_empty()));
                    done = end;
                }
                finer.extend(Some(done..piece.end).filter(|rest| !rest.is_empty()));
            }
            pieces = finer;
        }
        Ok(pieces)
    }
}

/// One of this crate's own patterns. Unicode's letters take milliseconds to compile, and every model of a
/// kind needs the same ones.
fn own(pattern: &'static str) -> std::result::Result<Arc<Regex>, fancy_regex::Error> {
    static COMPILED: Mutex<Vec<(&str, Arc<Regex>)>> = Mutex::new(Vec::new());
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, regex)) = compiled.iter().find(|(text, _)| *text == pattern) {
        return Ok(Arc::clone(regex));
    }
    let regex = Arc::new(Regex::new(pattern)?);
    compiled.push((pattern, Arc::clone(&regex)));
    Ok(regex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_patterns_are_shared_and_those_of_files_are_not() {
        let shared = |a: Splitter, b: Splitter| Arc::ptr_eq(&a.0[0], &b.0[0]);
        let own = || Splitter::new("t", ["a+"]).unwrap();
        let file = || Splitter::new("t", ["a+".to_owned()]).unwrap();
        assert!(shared(own(), own()));
        assert!(!shared(file(), file()) && !shared(own(), file()));
    }

    #[test]
    fn patterns_cut_in_turn_and_keep_every_byte() {
        let splitter = Splitter::new("t", [r"\p{N}", r" ?\p{L}+|\s+(?!\S)|\s+"]).unwrap();
        let text = "ab 12  cd!";
        let words: Vec<&str> =
            splitter.words(text).unwrap().into_iter().map(|r| &text[r]).collect();
        assert_eq!(words, ["ab", " ", "1", "2", " ", " cd", "!"]);
        assert_eq!(words.concat(), text);
        assert!(splitter.words("").unwrap().iter().all(|r| r.is_empty()));
    }

    #[test]
    fn a_bad_pattern_is_named_and_an_explosive_one_stops() {
        let error = Splitter::new("f.json", ["(unclosed"]).unwrap_err().to_string();
        assert!(error.contains("f.json") && error.contains("(unclosed"), "{error}");
        let splitter = Splitter::new("t", [r"(?=x?)(a*)*\1b"]).unwrap();
        assert!(splitter.words(&"a".repeat(5000)).is_err());
    }
}
