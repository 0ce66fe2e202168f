//! Token ids to text as they come, never half a character.

use crate::{Specials, Tokenizer, vocab::Kind};

/// Turns ids into text one at a time.
///
/// Works on bytes: a character that spans tokens is held back until it is whole, so what comes out in
/// pieces is exactly what [`Tokenizer::decode`] gives for all ids at once.
#[derive(Debug)]
pub struct Detokenizer<'t> {
    tokenizer: &'t Tokenizer,
    specials: Specials,
    /// Bytes of a character that is not whole yet: at most three.
    pending: Vec<u8>,
    /// Whether the next space is the tokenizer's, not the text's.
    drop_space: bool,
}

impl<'t> Detokenizer<'t> {
    /// For ids that begin a text.
    pub fn new(tokenizer: &'t Tokenizer) -> Self {
        Self { drop_space: tokenizer.has_leading_space(), ..Self::continuing(tokenizer) }
    }

    /// For ids that continue a text, such as an answer after its prompt: a first space is kept.
    pub fn continuing(tokenizer: &'t Tokenizer) -> Self {
        Self { tokenizer, specials: Specials::AsText, pending: Vec::new(), drop_space: false }
    }

    /// Shows control tokens by their text ([`Specials::Parse`]) or hides them, as by default.
    pub fn specials(mut self, specials: Specials) -> Self {
        self.specials = specials;
        self
    }

    /// The text that `id` completes; empty while a character is unfinished and for hidden tokens.
    pub fn push(&mut self, id: u32) -> String {
        let mut text = String::new();
        self.push_into(id, &mut text);
        text
    }

    /// [`Detokenizer::push`], appending to a buffer of the caller's.
    pub fn push_into(&mut self, id: u32, text: &mut String) {
        let hidden = self.tokenizer.kind(id) == Kind::Special && self.specials == Specials::AsText;
        let mut piece = match self.tokenizer.piece(id) {
            Ok(piece) if !hidden => piece,
            _ => return,
        };
        if self.drop_space && !piece.is_empty() {
            self.drop_space = false;
            piece = piece.strip_prefix(b" ").unwrap_or(piece);
        }
        self.pending.extend_from_slice(piece);
        let whole = self.pending.len() - unfinished(&self.pending);
        text.push_str(&String::from_utf8_lossy(&self.pending[..whole]));
        self.pending.drain(..whole);
    }

    /// What is left when no more ids come: an unfinished character as U+FFFD.
    pub fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
    }
}

/// How many bytes at the end of `bytes` begin a character that more bytes could still complete.
fn unfinished(bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(3)..];
    (0..tail.len())
        .find(|start| match std::str::from_utf8(&tail[*start..]) {
            Err(error) => error.valid_up_to() == 0 && error.error_len().is_none(),
            Ok(_) => false,
        })
        .map_or(0, |start| tail.len() - start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_back_only_what_can_still_become_a_character() {
        assert_eq!(unfinished(b""), 0);
        assert_eq!(unfinished("añ".as_bytes()), 0);
        assert_eq!(unfinished(b"a\xc3"), 1);
        assert_eq!(unfinished(b"\xf0\x9f\x98"), 3);
        assert_eq!(unfinished(b"\xf0\x9f\x98\x80"), 0);
        assert_eq!(unfinished(b"\xff"), 0, "never valid: no reason to wait");
        assert_eq!(unfinished(b"\xf0\x9f\xf0\x9f"), 2);
        assert_eq!(unfinished(b"\x80\x80\x80"), 0);
        assert_eq!(unfinished(b"\xe0\x80"), 0, "an overlong form can never be completed");
    }
}
