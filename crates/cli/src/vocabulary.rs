//! The tokenizer of a model, without its weights.

use anyhow::Result;
use tessera_formats::Checkpoint;
use tessera_text::Tokenizer;

use crate::context::Context;

/// Finds (or fetches) a model and reads its tokenizer.
///
/// # Errors
/// When the model cannot be had, or its tokenizer cannot be used.
pub fn open(context: &Context, model: &str) -> Result<Tokenizer> {
    let found = context.fetch(model)?;
    let checkpoint = Checkpoint::open(&found.path)?;
    Ok(Tokenizer::from_checkpoint(&checkpoint)?)
}

/// The bytes of a token as text, with what is not text or not visible escaped.
pub fn spelling(tokenizer: &Tokenizer, id: u32) -> String {
    tokenizer.piece(id).map_or_else(|_| format!("<{id}>"), escape)
}

/// Bytes as visible text: `\n`, `\xe2`.
fn escape(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\'' => text.push(c),
                c => text.extend(c.escape_debug()),
            }
        }
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_can_be_seen() {
        assert_eq!(escape(b"a\n\"\xe2\x82"), "a\\n\"\\xe2\\x82");
        assert_eq!(escape("ä\u{1b}".as_bytes()), "ä\\u{1b}");
    }
}
