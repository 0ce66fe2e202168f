//! A byte trie: which of many texts begins here.

use hashbrown::HashMap;

/// Texts by their bytes; node 0 is the root.
#[derive(Debug, Clone)]
pub(crate) struct Trie<T> {
    edges: HashMap<(u32, u8), u32>,
    ends: HashMap<u32, T>,
    /// Which bytes begin a text, so that most positions cost no hashing.
    starts: [bool; 256],
}

impl<T> Default for Trie<T> {
    fn default() -> Self {
        Self { edges: HashMap::new(), ends: HashMap::new(), starts: [false; 256] }
    }
}

impl<T> Trie<T> {
    /// Enters a text; an empty one is ignored, and one entered twice keeps the later value.
    pub fn insert(&mut self, text: impl Iterator<Item = u8>, value: T) {
        let mut node = 0;
        for byte in text {
            self.starts[byte as usize] |= node == 0;
            let fresh = self.edges.len() as u32 + 1;
            node = *self.edges.entry((node, byte)).or_insert(fresh);
        }
        if node != 0 {
            self.ends.insert(node, value);
        }
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Walks along `bytes` as far as some text agrees. Calls `found` with the length and value of
    /// every text met, and returns whether the walk used up all bytes with a text still unfinished.
    pub fn walk(&self, bytes: impl Iterator<Item = u8>, mut found: impl FnMut(usize, &T)) -> bool {
        let mut bytes = bytes.peekable();
        if bytes.peek().is_none_or(|first| !self.starts[*first as usize]) {
            return false;
        }
        let mut node = 0;
        for (i, byte) in bytes.enumerate() {
            match self.edges.get(&(node, byte)) {
                Some(next) => node = *next,
                None => return false,
            }
            if let Some(value) = self.ends.get(&node) {
                found(i + 1, value);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_text_that_begins_here() {
        let mut trie = Trie::default();
        for (text, value) in [("ab", 1), ("abcd", 2), ("", 3)] {
            trie.insert(text.bytes(), value);
        }
        let walk = |text: &str| {
            let mut found = Vec::new();
            let open = trie.walk(text.bytes(), |len, value| found.push((len, *value)));
            (found, open)
        };
        assert_eq!(trie.len(), 2);
        assert_eq!(walk("abcde"), (vec![(2, 1), (4, 2)], false));
        assert_eq!(walk("abc"), (vec![(2, 1)], true));
        assert_eq!(walk("b"), (vec![], false));
        assert_eq!(walk(""), (vec![], false));
    }
}
