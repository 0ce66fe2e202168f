//! GPT-2's printable alphabet for bytes.
//!
//! Byte-level vocabularies spell every byte as one printable character: the bytes that print keep
//! their Latin-1 character, the 68 others take U+0100 onwards in order (Radford et al. 2019).

use std::sync::LazyLock;

/// `TO_CHAR[byte]` is the character that spells the byte.
static TO_CHAR: LazyLock<[char; 256]> = LazyLock::new(|| {
    let mut spare = 0x100;
    std::array::from_fn(|byte| match byte as u8 {
        b @ (0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) => char::from(b),
        _ => {
            spare += 1;
            char::from_u32(spare - 1).unwrap_or('\u{fffd}')
        }
    })
});

/// The bytes spelt by the characters below U+0144, where the alphabet ends.
static TO_BYTE: LazyLock<[Option<u8>; 0x144]> = LazyLock::new(|| {
    let mut table = [None; 0x144];
    for (byte, c) in TO_CHAR.iter().enumerate() {
        table[*c as usize] = Some(byte as u8);
    }
    table
});

/// Spells `text`'s bytes in the printable alphabet, appending to `out`.
pub(crate) fn spell(text: &str, out: &mut String) {
    out.extend(text.bytes().map(|byte| TO_CHAR[byte as usize]));
}

/// The bytes that `token` spells, or its own UTF-8 when a character is not of the alphabet.
pub(crate) fn unspell(token: &str) -> Vec<u8> {
    let byte = |c: char| TO_BYTE.get(c as usize).copied().flatten();
    token.chars().map(byte).collect::<Option<Vec<u8>>>().unwrap_or_else(|| token.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_spellings_and_round_trip() {
        let mut out = String::new();
        spell(" \n\u{a0}é", &mut out);
        assert_eq!(out, "ĠĊÂłÃ©");
        assert_eq!(unspell(&out), " \n\u{a0}é".as_bytes());
        assert_eq!(TO_CHAR.iter().max(), Some(&'\u{143}'));
        assert_eq!(unspell("<|x y|>"), b"<|x y|>", "not of the alphabet: itself");
    }
}
