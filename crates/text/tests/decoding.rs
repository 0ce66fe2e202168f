//! Decoding gives the text back, whole or in pieces.

mod common;

use proptest::prelude::*;
use tessera_text::{Detokenizer, Specials, Tokenizer};

/// Decodes one id at a time; every piece must be text of its own.
fn streamed(tokenizer: &Tokenizer, ids: &[u32], specials: Specials) -> String {
    let mut detokenizer = Detokenizer::new(tokenizer).specials(specials);
    let mut text: String = ids.iter().map(|id| detokenizer.push(*id)).collect();
    text += &detokenizer.finish();
    text
}

#[test]
fn awkward_strings_survive_the_round_trip() {
    for tokenizer in
        [common::byte_level(), common::sentencepiece(true), common::sentencepiece(false)]
    {
        for text in common::awkward() {
            let ids = tokenizer.encode(&text, Specials::AsText).unwrap();
            let decoded = tokenizer.decode(&ids);
            // SentencePiece spells spaces with U+2581 and cannot tell the two apart.
            let space = if tokenizer.id("▁").is_some() { " " } else { "▁" };
            assert_eq!(decoded, text.replace('▁', space), "{ids:?}");
            assert_eq!(streamed(&tokenizer, &ids, Specials::AsText), decoded);
        }
    }
}

#[test]
fn nothing_is_half_a_character_and_only_a_beginning_loses_its_space() {
    let tokenizer = common::sentencepiece(true);
    let ids = tokenizer.encode("hé 👍🏽", Specials::AsText).unwrap();
    let mut detokenizer = Detokenizer::new(&tokenizer);
    for id in &ids {
        assert!(!detokenizer.push(*id).contains('\u{fffd}'));
    }
    let ids = tokenizer.encode("word", Specials::AsText).unwrap();
    assert_eq!(tokenizer.decode(&ids), "word");
    let mut continuing = Detokenizer::continuing(&tokenizer);
    assert_eq!(ids.iter().map(|id| continuing.push(*id)).collect::<String>(), " word");
}

#[test]
fn control_tokens_hide_unless_asked_for() {
    let tokenizer = common::byte_level();
    let ids = tokenizer.encode("<|im_start|>hi<|im_end|>", Specials::Parse).unwrap();
    assert_eq!(tokenizer.decode(&ids), "hi");
    assert_eq!(tokenizer.decode_with(&ids, Specials::Parse), "<|im_start|>hi<|im_end|>");
    assert_eq!(tokenizer.decode(&[u32::MAX]), "");
    assert!(tokenizer.piece(u32::MAX).is_err());
}

proptest! {
    /// Any ids at all, however little sense they make: in pieces as at once, and as the bytes say.
    #[test]
    fn pieces_equal_the_whole(ids in prop::collection::vec(0u32..1600, 0..40), show: bool) {
        let specials = if show { Specials::Parse } else { Specials::AsText };
        for tokenizer in [common::sentencepiece(true), common::sentencepiece(false)] {
            let whole = tokenizer.decode_with(&ids, specials);
            prop_assert_eq!(&streamed(&tokenizer, &ids, specials), &whole);
            if show {
                let pieces = ids.iter().filter_map(|id| tokenizer.piece(*id).ok());
                let bytes: Vec<u8> = pieces.flatten().copied().collect();
                let text = String::from_utf8_lossy(&bytes);
                let stripped = text.strip_prefix(' ').unwrap_or(&text);
                prop_assert!(whole == text || whole == stripped);
            }
        }
    }
}
