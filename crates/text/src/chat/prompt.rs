//! A rendered conversation.

/// Text for the model, with the places where what a user wrote must not form a control token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prompt {
    text: String,
    /// Ascending byte offsets that no control token may span.
    breaks: Vec<usize>,
}

impl Prompt {
    /// A prompt in which all control tokens count: for text the program wrote itself.
    pub fn trusted(text: impl Into<String>) -> Self {
        Self { text: text.into(), breaks: Vec::new() }
    }

    /// Takes the marks out of `marked`, remembering where they were.
    pub(super) fn unmark(marked: &str, mark: char) -> Self {
        let mut prompt = Self { text: String::with_capacity(marked.len()), breaks: Vec::new() };
        for (i, part) in marked.split(mark).enumerate() {
            if i > 0 {
                prompt.breaks.push(prompt.text.len());
            }
            prompt.text.push_str(part);
        }
        prompt
    }

    /// The text as the template wrote it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a control token may stand at these bytes.
    pub(crate) fn is_whole(&self, start: usize, end: usize) -> bool {
        let next = self.breaks.partition_point(|at| *at <= start);
        self.breaks.get(next).is_none_or(|at| *at >= end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_break_forbids_only_what_spans_it() {
        let prompt = Prompt::unmark("ab*cd**e", '*');
        assert_eq!(prompt.text(), "abcde");
        assert_eq!(prompt.breaks, [2, 4, 4]);
        let whole = [(0, 2), (2, 4), (4, 5), (0, 1)];
        assert!(whole.iter().all(|(start, end)| prompt.is_whole(*start, *end)));
        assert!(!prompt.is_whole(1, 3) && !prompt.is_whole(3, 5) && !prompt.is_whole(0, 5));
    }
}
