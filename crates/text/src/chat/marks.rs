//! Keeping what a user wrote from becoming control tokens.
//!
//! A template mixes its own control tokens with the user's strings, and only its output is encoded. So
//! wherever a user's string spells a control token, or could complete one together with what the
//! template writes beside it, a mark is put inside the spelling before rendering. The mark is a
//! character that occurs nowhere else. After rendering the marks are taken out, and no control token
//! may span a place where one was. Strings that spell nothing of the kind are rendered untouched, so
//! that templates that look into them behave as they do elsewhere.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::{Tokenizer, trie::Trie};

/// The control tokens of a vocabulary, ready to be looked for.
#[derive(Debug)]
pub(super) struct Controls {
    forwards: Trie<()>,
    backwards: Trie<()>,
    /// All texts, one after another.
    all: String,
    longest: usize,
}

impl Controls {
    pub fn new(tokenizer: &Tokenizer) -> Self {
        let (mut forwards, mut backwards) = (Trie::default(), Trie::default());
        let (mut all, mut longest) = (String::new(), 0);
        for (_, text) in tokenizer.controls() {
            forwards.insert(text.bytes(), ());
            backwards.insert(text.bytes().rev(), ());
            all.push_str(text);
            all.push('\0');
            longest = longest.max(text.len());
        }
        Self { forwards, backwards, all, longest }
    }

    /// Whether a control token begins at `at`.
    fn begins(&self, text: &str, at: usize) -> bool {
        let mut found = false;
        self.forwards.walk(text.as_bytes()[at..].iter().copied(), |_, ()| found = true);
        found
    }

    /// Whether what follows `text` could complete a control token begun in it.
    fn ends_open(&self, text: &str) -> bool {
        let from = text.len().saturating_sub(self.longest);
        let tail = &text.as_bytes()[from..];
        (0..tail.len()).any(|at| self.forwards.walk(tail[at..].iter().copied(), |_, ()| {}))
    }

    /// Whether what precedes `text` could have begun a control token that ends in it.
    fn begins_open(&self, text: &str) -> bool {
        let head = &text.as_bytes()[..text.len().min(self.longest)];
        (0..=head.len())
            .any(|end| self.backwards.walk(head[..end].iter().rev().copied(), |_, ()| {}))
    }

    /// Whether `text` could be the middle of a control token.
    fn is_inside(&self, text: &str) -> bool {
        !text.is_empty() && text.len() < self.longest && self.all.contains(text)
    }
}

/// Puts marks into strings.
pub(super) struct Marker<'c> {
    controls: &'c Controls,
    pub mark: char,
}

impl<'c> Marker<'c> {
    /// A marker whose mark is a private-use character in none of `texts`. There are 65,534 of them;
    /// `None` when they have all been used.
    pub fn new<'t>(controls: &'c Controls, texts: impl Iterator<Item = &'t str>) -> Option<Self> {
        let private = '\u{100000}'..='\u{10fffd}';
        // U+100000 and above are four bytes that begin with 0xf4: most texts have none.
        let suspects = texts.filter(|text| text.as_bytes().contains(&0xf4));
        let used: HashSet<char> =
            suspects.flat_map(str::chars).filter(|c| private.contains(c)).collect();
        let mark = private.into_iter().find(|c| !used.contains(c))?;
        Some(Self { controls, mark })
    }

    /// A message's text, marked where needed.
    pub fn content(&self, text: &str) -> String {
        let marked = self.value(text);
        match self.controls.is_inside(text) && !marked.starts_with(self.mark) {
            true => format!("{}{marked}", self.mark),
            false => marked,
        }
    }

    /// Another string, such as a tool's description: as a message's, but a template may compare it
    /// with a word, so that being the middle of a control token is no reason to mark it.
    fn value(&self, text: &str) -> String {
        let mut marked = String::with_capacity(text.len() + 8);
        if self.controls.begins_open(text) {
            marked.push(self.mark);
        }
        for (at, c) in text.char_indices() {
            marked.push(c);
            if self.controls.begins(text, at) {
                marked.push(self.mark);
            }
        }
        if self.controls.ends_open(text) {
            marked.push(self.mark);
        }
        marked
    }

    /// Every string and key of a JSON value.
    pub fn json(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.value(text)),
            Value::Array(list) => list.iter().map(|value| self.json(value)).collect(),
            Value::Object(map) => {
                let pairs = map.iter().map(|(key, value)| (self.value(key), self.json(value)));
                Value::Object(pairs.collect::<Map<String, Value>>())
            }
            other => other.clone(),
        }
    }
}

/// Calls `visit` with every string and key of a JSON value.
pub(super) fn strings<'v>(value: &'v Value, visit: &mut impl FnMut(&'v str)) {
    match value {
        Value::String(text) => visit(text),
        Value::Array(list) => list.iter().for_each(|value| strings(value, visit)),
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            visit(key);
            strings(value, visit);
        }),
        _ => {}
    }
}
