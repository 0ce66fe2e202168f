//! `*` and `?` in file names.

/// Whether `text` matches `pattern`, where `*` is any run of characters (also `/`) and `?` any one.
/// Letter case does not matter, as quantisation labels are written both ways.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
    let text: Vec<char> = text.to_lowercase().chars().collect();
    let (mut p, mut t) = (0, 0);
    // The last star, and how much of the text it has swallowed: the only place to go back to, so
    // the work is bounded by the product of the lengths.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p).is_some_and(|it| *it == '?' || *it == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, swallowed)) = star {
            star = Some((at, swallowed + 1));
            p = at + 1;
            t = swallowed + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|it| *it == '*')
}

/// Whether a filter is a pattern rather than a plain name.
pub(crate) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn follows_the_shell() {
        for (pattern, text) in
            [("*", ""), ("*.gguf", "a.GGUF"), ("a?c", "abc"), ("*q8*", "x-Q8_0.gguf"), ("**b", "b")]
        {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("?", ""), ("*.gguf", "a.gguf.part"), ("a*b", "ac")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
        let slow = matches(&"*a".repeat(100), &"a".repeat(250));
        assert!(slow, "stars do not explode");
    }
}
