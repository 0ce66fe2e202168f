//! Any template over any messages: no panic, no run without end, and no control token from a user's text.
//!
//! The control token [`SECRET`] has a character that a template cannot write unless its source spells it, so
//! where it appears in the ids, a user wrote it. For templates as models have them, all control tokens are
//! counted.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::{
    arbitrary::{self, Arbitrary},
    fuzz_target,
};
use serde_json::{Value, json};
use tessera_text::{ChatTemplate, Kind, Message, RenderOptions, Source, Tokenizer};

const SECRET: &str = "\u{2603}secret\u{2603}";

static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(|| {
    let file = include_bytes!("../../crates/text/tests/fixtures/byte_level.json");
    let mut file: Value = serde_json::from_slice(file).expect("a fixture");
    let vocab = file["model"]["vocab"].as_object().expect("a vocabulary").len();
    let added = file["added_tokens"].as_array_mut().expect("a list");
    let used = added.iter().filter_map(|token| token["id"].as_u64()).max();
    let id = used.map_or(0, |id| id + 1).max(vocab as u64);
    added.push(json!({"id": id, "content": SECRET, "special": true, "normalized": false,
                      "single_word": false, "lstrip": false, "rstrip": false}));
    Tokenizer::from_json(file.to_string().as_bytes(), "byte_level.json").expect("a tokenizer")
});

/// Templates of real models' kinds, and how many control tokens each writes for a conversation of one
/// message, and for each more.
const REAL: [(&str, usize, usize); 3] = [
    (
        "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + \
         '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
        3,
        2,
    ),
    (
        "{{ '<|im_start|>' }}{% for m in messages %}{{ m.role ~ ':' ~ m['content'] | trim }}{% endfor %}",
        1,
        0,
    ),
    (
        "{%- for m in messages -%}{{- '<|im_' -}}start|>{{- m.content -}}<|im_end{{ '|>' }}\
         {%- endfor -%}",
        2,
        2,
    ),
];

/// Pieces of a message, with which control tokens are easily spelt.
#[derive(Arbitrary, Debug)]
enum Piece {
    Secret,
    Edge,
    Middle,
    Start,
    End,
    Open,
    Close,
    Space,
    Text(String),
}

impl Piece {
    fn text(&self) -> &str {
        match self {
            Self::Secret => SECRET,
            Self::Edge => "\u{2603}",
            Self::Middle => "secret",
            Self::Start => "<|im_start|>",
            Self::End => "<|im_end|>",
            Self::Open => "<|im_",
            Self::Close => "|>",
            Self::Space => " \n",
            Self::Text(text) => text,
        }
    }
}

#[derive(Arbitrary, Debug)]
struct Input {
    real: Option<u8>,
    messages: Vec<(u8, Vec<Piece>)>,
    source: String,
}

fn message(role: u8, pieces: &[Piece]) -> Message {
    let text: String = pieces.iter().map(Piece::text).collect();
    match role % 3 {
        0 => Message::system(text),
        1 => Message::user(text),
        _ => Message::assistant(text),
    }
}

/// Ids of control tokens in the rendered conversation; `None` when it is refused.
fn controls(source: &str, messages: &[Message]) -> Option<Vec<u32>> {
    let template =
        ChatTemplate::new(vec![Source::new("default", source, "fuzz.jinja")], &TOKENIZER).ok()?;
    let prompt = template.apply(messages, &RenderOptions::default()).ok()?;
    let ids = TOKENIZER.encode_prompt(&prompt).ok()?;
    Some(ids.into_iter().filter(|id| TOKENIZER.kind(*id) == Kind::Special).collect())
}

fuzz_target!(|input: Input| {
    let messages: Vec<Message> =
        input.messages.iter().map(|(role, pieces)| message(*role, pieces)).collect();
    if let (Some(real), 1..) = (input.real, messages.len()) {
        let (source, first, more) = REAL[usize::from(real) % REAL.len()];
        let found = controls(source, &messages).expect("a template that refuses nothing");
        assert_eq!(found.len(), first + more * (messages.len() - 1), "{messages:?}");
        return;
    }
    let Some(found) = controls(&input.source, &messages) else { return };
    // What a source could spell it with: itself, escapes, and formatting by code point.
    let spelt = ["\u{2603}", "\\", "format", "%"].iter().any(|way| input.source.contains(way));
    let secret = TOKENIZER.id(SECRET).expect("it is in the vocabulary");
    assert!(spelt || !found.contains(&secret), "{:?} {messages:?}", input.source);
});
