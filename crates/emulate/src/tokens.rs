//! Printed text as words and signs, for the lints.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Word,
    Number,
    Sign,
}

/// A token and its line, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub sort: Sort,
    pub text: &'a str,
    pub line: u32,
}

impl Token<'_> {
    /// Whether it is this sign or word.
    pub fn is(&self, text: &str) -> bool {
        self.text == text
    }
}

/// The tokens of a text, without comments, strings and lines of the preprocessor. A sign is one character.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut in_comment = false;
    for (line, mut rest) in (1..).zip(text.lines()) {
        if rest.trim_start().starts_with('#') && !in_comment {
            continue;
        }
        loop {
            if in_comment {
                let Some(end) = rest.find("*/") else { break };
                rest = &rest[end + 2..];
                in_comment = false;
            }
            rest = rest.trim_start();
            if rest.is_empty() || rest.starts_with("//") {
                break;
            }
            if rest.starts_with("/*") {
                rest = &rest[2..];
                in_comment = true;
                continue;
            }
            let (sort, length) = measure(rest);
            let (token, after) = rest.split_at(length);
            found.push(Token { sort, text: token, line });
            rest = after;
        }
    }
    found
}

/// Sort and bytes of the token a text begins with.
fn measure(text: &str) -> (Sort, usize) {
    let first = text.chars().next().unwrap_or(' ');
    let word = |c: char| c.is_alphanumeric() || c == '_';
    if first == '"' {
        let end = text[1..].find('"').map_or(text.len(), |end| end + 2);
        return (Sort::Sign, end);
    }
    if first.is_ascii_digit() {
        // In 0x1e-3 the e is a digit.
        let exponents: &[char] = if text.starts_with("0x") { &['p', 'P'] } else { &['e', 'E'] };
        let mut before = first;
        let end = text.find(|c: char| {
            let signed_exponent = matches!(c, '+' | '-') && exponents.contains(&before);
            before = c;
            !(word(c) || c == '.' || signed_exponent)
        });
        return (Sort::Number, end.unwrap_or(text.len()));
    }
    if word(first) {
        return (Sort::Word, text.find(|c| !word(c)).unwrap_or(text.len()));
    }
    (Sort::Sign, first.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_numbers_and_signs_have_lines() {
        let text = "#include <x>\nfloat a = -1.5e-3f * b[0x1eu]; // c\n/* d\n e */ f+1.0";
        let found: Vec<_> = tokens(text).into_iter().map(|t| (t.text, t.line)).collect();
        let second = ["float", "a", "=", "-", "1.5e-3f", "*", "b", "[", "0x1eu", "]", ";"];
        let mut expected: Vec<_> = second.into_iter().map(|text| (text, 2)).collect();
        expected.extend([("f", 4), ("+", 4), ("1.0", 4)]);
        assert_eq!(found, expected);
    }
}
