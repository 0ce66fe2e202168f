//! Any ids: what comes out in pieces is what their bytes are as a whole.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tessera_formats::gguf::{self, Metadata, Strings};
use tessera_text::{Detokenizer, Kind, Specials, Tokenizer};

static TOKENIZERS: LazyLock<[Tokenizer; 4]> = LazyLock::new(|| {
    let bytes = include_bytes!("../../crates/text/tests/fixtures/byte_level.json");
    let llama = include_bytes!("../../crates/text/tests/fixtures/llama.json");
    let spaced = include_bytes!("../../crates/text/tests/fixtures/sentencepiece.json");
    let unigram = include_bytes!("../../crates/text/tests/fixtures/unigram.json");
    [
        Tokenizer::from_json(bytes, "byte_level.json").expect("a tokenizer"),
        Tokenizer::from_json(llama, "llama.json").expect("a tokenizer"),
        stored("llama", spaced),
        stored("t5", unigram),
    ]
});

/// The tokenizer of a fixture that lists tokens, scores and types.
fn stored(model: &str, fixture: &[u8]) -> Tokenizer {
    let fixture: Value = serde_json::from_slice(fixture).expect("a fixture");
    let list = |key: &str| fixture[key].as_array().expect("a list").iter();
    let tokens: Strings = list("tokens").filter_map(Value::as_str).collect();
    let scores: Vec<f32> = list("scores").filter_map(|x| Some(x.as_f64()? as f32)).collect();
    let types: Vec<i32> = list("types").filter_map(|x| Some(x.as_i64()? as i32)).collect();
    let pairs: [(&str, gguf::Value); 4] = [
        ("model", model.into()),
        ("tokens", tokens.into()),
        ("scores", scores.into()),
        ("token_type", types.into()),
    ];
    let pairs = pairs.map(|(key, value)| (format!("tokenizer.ggml.{key}"), value));
    Tokenizer::from_gguf(&Metadata::new(pairs.into(), "fixture.gguf")).expect("a tokenizer")
}

/// The text of all ids at once, from their bytes.
fn whole(tokenizer: &Tokenizer, ids: &[u32], specials: Specials) -> String {
    let shown = |id: &&u32| specials == Specials::Parse || tokenizer.kind(**id) != Kind::Special;
    let pieces = ids.iter().filter(shown).filter_map(|id| tokenizer.piece(*id).ok());
    String::from_utf8_lossy(&pieces.collect::<Vec<_>>().concat()).into_owned()
}

fuzz_target!(|data: &[u8]| {
    let [choice, data @ ..] = data else { return };
    let tokenizer = &TOKENIZERS[usize::from(*choice) % TOKENIZERS.len()];
    // Two bytes an id reach a little beyond every vocabulary.
    let limit = tokenizer.vocab_size() as u32 + 3;
    let ids: Vec<u32> = data
        .chunks_exact(2)
        .map(|pair| u32::from(u16::from_le_bytes([pair[0], pair[1]])) % limit)
        .collect();
    for specials in [Specials::AsText, Specials::Parse] {
        let joined = |mut detokenizer: Detokenizer<'_>| {
            let mut text: String = ids.iter().map(|id| detokenizer.push(*id)).collect();
            text.push_str(&detokenizer.finish());
            text
        };
        let whole = whole(tokenizer, &ids, specials);
        assert_eq!(joined(Detokenizer::continuing(tokenizer).specials(specials)), whole);
        let first = joined(Detokenizer::new(tokenizer).specials(specials));
        assert!(first == whole || Some(&*first) == whole.strip_prefix(' '), "{first:?} {whole:?}");
        assert_eq!(tokenizer.decode_with(&ids, specials), first);
    }
});
