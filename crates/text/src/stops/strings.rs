//! Strings that end an answer, found across the boundaries of the pieces it comes in.

use crate::{Error, Result};

/// Most stop strings at once.
const MAX_STRINGS: usize = 256;
/// Longest stop string, in bytes; also the most that is ever held back.
const MAX_BYTES: usize = 4096;

/// Watches a stream of text for stop strings.
///
/// Only text that may turn out to begin a stop string is held back. The first string to be complete
/// wins (of two that end together, the longer), so the outcome does not depend on how the text was cut.
///
/// ```
/// use tessera_text::StopStrings;
/// let mut stops = StopStrings::new(["\nUser:"])?;
/// assert_eq!(stops.push("Hello.\nUs").text, "Hello.");
/// let last = stops.push("er: more");
/// assert_eq!((last.text.as_str(), last.stop), ("", Some(0)));
/// # Ok::<(), tessera_text::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct StopStrings {
    strings: Vec<String>,
    held: String,
    stopped: Option<usize>,
}

/// What became of a piece of text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scanned {
    /// Text that is certainly part of the answer.
    pub text: String,
    /// Index of the stop string that ended the answer.
    pub stop: Option<usize>,
}

impl StopStrings {
    /// Watches for `strings`. Empty ones, more than 256 or longer than 4,096 bytes are errors.
    pub fn new<S: Into<String>>(strings: impl IntoIterator<Item = S>) -> Result<Self> {
        let strings: Vec<String> =
            strings.into_iter().map(Into::into).take(MAX_STRINGS + 1).collect();
        let too_large = |what, value: usize, limit: usize| {
            let (value, limit) = (value as u64, limit as u64);
            Err(Error::TooLarge { origin: "stop strings".into(), what, value, limit })
        };
        if strings.len() > MAX_STRINGS {
            return too_large("their number", strings.len(), MAX_STRINGS);
        }
        if let Some(long) = strings.iter().find(|string| string.len() > MAX_BYTES) {
            return too_large("the length of one, in bytes,", long.len(), MAX_BYTES);
        }
        if strings.iter().any(String::is_empty) {
            let detail = "an empty string would end every answer at once".into();
            return Err(Error::Invalid { origin: "stop strings".into(), what: "string", detail });
        }
        Ok(Self { strings, ..Self::default() })
    }

    /// Takes the next piece of the answer. After a stop everything is swallowed.
    pub fn push(&mut self, piece: &str) -> Scanned {
        if self.stopped.is_some() {
            return Scanned { text: String::new(), stop: self.stopped };
        }
        if self.strings.is_empty() {
            return Scanned { text: piece.to_owned(), stop: None };
        }
        self.held.push_str(piece);
        let found = |(index, string): (usize, &String)| {
            let start = self.held.find(string.as_str())?;
            Some((start + string.len(), start, index))
        };
        if let Some((_, start, index)) = self.strings.iter().enumerate().filter_map(found).min() {
            self.held.truncate(start);
            self.stopped = Some(index);
            return Scanned { text: std::mem::take(&mut self.held), stop: self.stopped };
        }
        let longest = self.strings.iter().map(String::len).max().unwrap_or(0);
        let from = self.held.len().saturating_sub(longest - 1);
        let keep = (from..self.held.len())
            .filter(|at| self.held.is_char_boundary(*at))
            .find(|at| self.strings.iter().any(|string| string.starts_with(&self.held[*at..])))
            .unwrap_or(self.held.len());
        let rest = self.held.split_off(keep);
        Scanned { text: std::mem::replace(&mut self.held, rest), stop: None }
    }

    /// The text still held back, when no more comes.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn holds_back_only_a_possible_beginning() {
        let mut stops = StopStrings::new(["###", "#!é"]).unwrap();
        assert_eq!(stops.push("a##").text, "a");
        assert_eq!(stops.push("!").text, "#");
        assert_eq!(stops.push("ab#").text, "#!ab");
        assert_eq!(stops.push("##tail"), Scanned { text: String::new(), stop: Some(0) });
        assert_eq!((stops.push("x").text, stops.finish()), (String::new(), String::new()));
    }

    #[test]
    fn unfinished_beginnings_come_out_at_the_end() {
        let mut stops = StopStrings::new(["stop"]).unwrap();
        assert_eq!(
            (stops.push("full sto").text.as_str(), stops.finish().as_str()),
            ("full ", "sto")
        );
        let mut none = StopStrings::new([""; 0]).unwrap();
        assert_eq!(none.push("anything").text, "anything");
    }

    #[test]
    fn refuses_what_is_out_of_bounds() {
        assert!(StopStrings::new([""]).is_err());
        assert!(StopStrings::new(["x".repeat(MAX_BYTES + 1)]).is_err());
        let many = StopStrings::new((0..5000).map(|i| i.to_string())).unwrap_err().to_string();
        assert!(many.contains("256"), "{many}");
    }

    proptest! {
        /// However the text is cut, the same part comes out and the same string stops it.
        #[test]
        fn cuts_do_not_matter(text in "[abé]{0,24}", cuts in prop::collection::vec(0usize..25, 0..6)) {
            let strings = ["abé", "bb", "éa", "aab", "ab"];
            let mut whole = StopStrings::new(strings).unwrap();
            let Scanned { text: mut expected, stop } = whole.push(&text);
            expected += &whole.finish();

            let mut stops = StopStrings::new(strings).unwrap();
            let (mut out, mut at, mut last) = (String::new(), 0, None);
            let mut ends: Vec<usize> = cuts.into_iter().filter(|c| text.is_char_boundary(*c)).collect();
            ends.push(text.len());
            ends.sort_unstable();
            for end in ends.into_iter().filter(|end| *end <= text.len()) {
                let scanned = stops.push(&text[at..end]);
                (at, last) = (end, scanned.stop);
                out += &scanned.text;
            }
            out += &stops.finish();
            prop_assert_eq!((out, last), (expected, stop));
        }
    }
}
