//! Any bytes as a `tokenizer.json`: no panic, and every id that comes out is in the vocabulary.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tessera_fuzz::{checked, let_panics_be_caught};
use tessera_text::{Specials, Tokenizer};

const TEXT: &str = "The  quick\tbrown\r\n\n fox, 12345 times: it's\u{a0}na\u{ef}ve \u{2581}x \
                    \u{4f60}\u{597d} \u{1f469}\u{200d}\u{1f4bb} e\u{301}\u{0}<s></s><|im_start|><unk>";

fn run(file: &[u8]) {
    let Ok(tokenizer) = Tokenizer::from_json(file, "fuzz.json") else { return };
    for specials in [Specials::AsText, Specials::Parse] {
        for text in ["", " ", TEXT] {
            let Ok(ids) = tokenizer.encode(text, specials) else { continue };
            let framed = tokenizer.frame(&ids);
            assert!(framed.iter().all(|id| (*id as usize) < tokenizer.vocab_size()));
            tokenizer.decode_with(&framed, specials);
        }
    }
    for (id, text) in tokenizer.specials() {
        assert_eq!(tokenizer.token(id), Some(text));
    }
}

fuzz_target!(init: let_panics_be_caught(), |file: &[u8]| checked(|| run(file)));
