//! Strided windows over a text.

/// Tokens `begin..end` of a text, of which `from..end` are scored; those before are context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub begin: usize,
    pub end: usize,
    pub from: usize,
}

/// Windows of up to `window` tokens, each `stride` after the one before, that score every token once.
/// The text's first token can be scored only if something precedes it (`led`).
pub fn windows(tokens: usize, window: usize, stride: usize, led: bool) -> Vec<Window> {
    let (mut windows, mut begin, mut from) = (Vec::new(), 0, usize::from(!led));
    while from < tokens {
        let end = tokens.min(begin + window);
        if from < end {
            windows.push(Window { begin, end, from });
            from = end;
        }
        begin += stride;
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_is_scored_once() {
        for (tokens, window, stride) in
            [(1000, 512, 256), (10, 4, 4), (10, 4, 1), (5, 512, 256), (2, 2, 1)]
        {
            for led in [true, false] {
                let all = windows(tokens, window, stride, led);
                let scored: Vec<usize> = all.iter().flat_map(|it| it.from..it.end).collect();
                let expected: Vec<usize> = (usize::from(!led)..tokens).collect();
                assert_eq!(scored, expected, "{tokens} {window} {stride} {led}");
                assert!(all.iter().all(|it| it.end - it.begin <= window && it.begin % stride == 0));
            }
        }
    }

    #[test]
    fn the_known_shape() {
        let all = windows(1000, 512, 256, false);
        let window = |begin, end, from| Window { begin, end, from };
        assert_eq!(all, [window(0, 512, 1), window(256, 768, 512), window(512, 1000, 768)]);
        assert!(windows(0, 512, 256, true).is_empty());
        assert!(windows(1, 512, 256, false).is_empty());
    }
}
