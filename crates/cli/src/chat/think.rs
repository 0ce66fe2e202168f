//! Tells thinking from answering in a stream of text.

const OPEN: &str = "<think>";

/// What an answer begins with whose prompt ends in an open tag.
pub const OPENED: &str = "<think>\n";
const CLOSE: &str = "</think>";

/// A piece of text and whether it is thinking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Never empty; the tags themselves belong to no piece.
    pub text: String,
    /// Between `<think>` and `</think>`.
    pub thinking: bool,
}

/// Splits text that arrives in bits at `<think>` and `</think>`, wherever the bits are cut.
///
/// Thinking is only looked for where models put it: before the first word of the answer. A tag
/// further down (say, in code about such tags) is text.
#[derive(Debug, Default)]
pub struct Splitter {
    place: Place,
    /// What may be the beginning of a tag.
    held: String,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Only white space so far.
    #[default]
    Start,
    Thinking,
    /// White space after the thinking is dropped.
    Between,
    Answer,
}

impl Splitter {
    /// Takes the next bit; calls `emit` with what is certain.
    pub fn push(&mut self, text: &str, mut emit: impl FnMut(Piece)) {
        self.held += text;
        while self.step(false, &mut emit) {}
    }

    /// The end: what was held back is text after all.
    pub fn finish(&mut self, mut emit: impl FnMut(Piece)) {
        while self.step(true, &mut emit) {}
    }

    /// Deals with some of `held`; false when more text is needed.
    fn step(&mut self, last: bool, emit: &mut impl FnMut(Piece)) -> bool {
        if self.held.is_empty() {
            return false;
        }
        match self.place {
            Place::Answer => {
                emit(Piece { text: std::mem::take(&mut self.held), thinking: false });
                false
            }
            Place::Start | Place::Between => self.begin(last),
            Place::Thinking => match self.held.split_once(CLOSE) {
                Some((inside, rest)) => {
                    let (inside, rest) = (inside.to_owned(), rest.to_owned());
                    emit_thinking(inside, emit);
                    (self.held, self.place) = (rest, Place::Between);
                    true
                }
                None => {
                    let keep = if last { 0 } else { partial(&self.held, CLOSE) };
                    let rest = self.held.split_off(self.held.len() - keep);
                    emit_thinking(std::mem::replace(&mut self.held, rest), emit);
                    false
                }
            },
        }
    }

    /// Looks for the opening tag before the first word.
    fn begin(&mut self, last: bool) -> bool {
        let words = self.held.trim_start();
        if let (Place::Start, Some(rest)) = (self.place, words.strip_prefix(OPEN)) {
            let rest = rest.trim_start_matches('\n').to_owned();
            (self.held, self.place) = (rest, Place::Thinking);
            return true;
        }
        let open = self.place == Place::Start && OPEN.starts_with(words);
        if !last && (words.is_empty() || open) {
            return false;
        }
        if self.place == Place::Between {
            self.held = words.to_owned();
        }
        self.place = Place::Answer;
        true
    }
}

fn emit_thinking(text: String, emit: &mut impl FnMut(Piece)) {
    if !text.is_empty() {
        emit(Piece { text, thinking: true });
    }
}

/// Length of the longest end of `text` that begins `tag`.
fn partial(text: &str, tag: &str) -> usize {
    (1..tag.len()).rev().find(|&length| text.ends_with(&tag[..length])).unwrap_or(0)
}

/// Splits a whole text into its thinking and its answer.
pub fn split(text: &str) -> (String, String) {
    let (mut thinking, mut answer) = (String::new(), String::new());
    let mut emit = |piece: Piece| {
        if piece.thinking { &mut thinking } else { &mut answer }.push_str(&piece.text);
    };
    let mut splitter = Splitter::default();
    splitter.push(text, &mut emit);
    splitter.finish(&mut emit);
    (thinking, answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(thinking: &str, answer: &str) -> (String, String) {
        (thinking.into(), answer.into())
    }

    #[test]
    fn thinking_comes_before_the_answer_or_not_at_all() {
        assert_eq!(split("<think>\nhm\n</think>\n\nYes."), pair("hm\n", "Yes."));
        assert_eq!(split("\n <think>a"), pair("a", ""));
        assert_eq!(split("Tags: <think>x</think>"), pair("", "Tags: <think>x</think>"));
        assert_eq!(split("<thi"), pair("", "<thi"));
        assert_eq!(split("  indented"), pair("", "  indented"));
        assert_eq!(split("<think></think> ok</think>"), pair("", "ok</think>"));
        assert_eq!(split("<think>a</thin"), pair("a</thin", ""));
        assert_eq!(split(""), pair("", ""));
    }

    #[test]
    fn cuts_do_not_matter_and_text_is_not_held_longer_than_needed() {
        let text = "<think>Größe <b>?</think>\n\nNun — ja.";
        let whole = split(text);
        for cut in (0..=text.len()).filter(|&at| text.is_char_boundary(at)) {
            let (mut splitter, mut got) = (Splitter::default(), (String::new(), String::new()));
            let mut emit = |piece: Piece| {
                if piece.thinking { &mut got.0 } else { &mut got.1 }.push_str(&piece.text);
            };
            splitter.push(&text[..cut], &mut emit);
            splitter.push(&text[cut..], &mut emit);
            splitter.finish(&mut emit);
            assert_eq!(got, whole, "cut at {cut}");
        }
        let mut shown = Vec::new();
        let mut splitter = Splitter::default();
        splitter.push("<think>a <", |piece| shown.push(piece.text));
        assert_eq!(shown, ["a "], "only the possible tag is held");
    }
}
