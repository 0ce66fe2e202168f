//! Hostile tokenizer files: each a typed error, soon, and never a panic.

mod common;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tessera_formats::gguf::{Metadata, Strings, Value as Stored};
use tessera_text::{Error, Specials, Tokenizer};

/// The byte-level fixture after a change.
fn changed(change: impl FnOnce(&mut Value)) -> Result<Tokenizer, Error> {
    let mut file = common::json("byte_level.json");
    change(&mut file);
    Tokenizer::from_json(file.to_string().as_bytes(), "hostile.json")
}

#[test]
fn merge_rules_that_overrun() {
    for rule in
        [json!("Ġ Ġ Ġ"), json!(["a", "zzzz"]), json!(["a"]), json!(["a", "b", "c"]), json!(7)]
    {
        let error = changed(|file| file["model"]["merges"] = json!([rule])).unwrap_err();
        assert!(error.to_string().contains("hostile.json"), "{error}");
    }
    // A prefix longer than the right half made the reference implementation index out of bounds.
    let error = changed(|file| file["model"]["continuing_subword_prefix"] = "#".repeat(99).into());
    assert!(matches!(error, Err(Error::Invalid { what: "merge rule", .. })));
    let long = json!({"type": "BPE", "vocab": {"aa": 0, "bb": 1}, "merges": ["aa bb"]});
    assert!(changed(|file| file["model"] = long).is_err());
}

#[test]
fn decoders_that_are_no_rule_or_would_panic() {
    for decoder in [
        json!({"type": "CTC", "pad_token": "", "word_delimiter_token": "", "cleanup": true}),
        json!({"type": "Strip", "content": " ", "start": u64::MAX, "stop": u64::MAX}),
        json!({"type": "Replace", "pattern": {"String": ""}, "content": "x"}),
        json!({"type": "Sequence", "decoders": vec![json!({"type": "Nothing"}); 3]}),
        Value::Null,
    ] {
        assert!(changed(|file| file["decoder"] = decoder).is_err());
    }
}

#[test]
fn patterns_that_do_not_compile_or_explode() {
    let split = |regex: &str| {
        json!({"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]})
    };
    let error = changed(|file| file["pre_tokenizer"] = split("(")).unwrap_err().to_string();
    assert!(error.contains("pattern"), "{error}");
    assert!(changed(|file| file["pre_tokenizer"] = split("(a{9999}){9999}")).is_err());
    let start = Instant::now();
    let explosive = changed(|file| file["pre_tokenizer"] = split(r"(?=x?)(a*)*\1b")).unwrap();
    assert!(matches!(explosive.encode(&"a".repeat(9999), Specials::AsText), Err(Error::Encode(_))));
    assert!(start.elapsed() < Duration::from_secs(20));
    for part in ["normalizer", "pre_tokenizer"] {
        let replace = json!({"type": "Replace", "pattern": {"Regex": "(("}, "content": ""});
        assert!(changed(|file| file[part] = replace).is_err());
    }
}

#[test]
fn thousands_of_added_tokens() {
    let token = |id: usize, content: String| json!({"id": id, "content": content, "special": true, "normalized": false});
    let base = 2000;
    let many = (0..20_000).map(|i| token(base + i, format!("<t{i}>"))).collect::<Vec<Value>>();
    let start = Instant::now();
    let tokenizer = changed(|file| file["added_tokens"] = many.into()).unwrap();
    let ids = tokenizer.encode(&"<t19999><t1".repeat(10_000), Specials::Parse).unwrap();
    assert_eq!(ids[0] as usize, base + 19_999);
    assert!(start.elapsed() < Duration::from_secs(20));
    for tokens in [
        (0..70_000).map(|i| token(base + i, format!("<t{i}>"))).collect::<Vec<Value>>(),
        vec![token(base, "x".repeat(5000))],
        vec![token(u32::MAX as usize, "<far>".into())],
        vec![token(0, "<other name>".into())],
        vec![json!({"id": -1, "content": ""})],
    ] {
        assert!(changed(|file| file["added_tokens"] = tokens.into()).is_err());
    }
}

#[test]
fn deep_nesting_and_nonsense() {
    let nest = |open: &str, inner: &str, close: &str, n: usize| {
        format!("{}{inner}{}", open.repeat(n), close.repeat(n))
    };
    let mut files = vec![
        String::new(),
        "null".into(),
        "[]".into(),
        "{}".into(),
        nest("[", "", "]", 100_000),
        nest("{\"model\":", "1", "}", 100_000),
        r#"{"model": {"type": "BPE", "vocab": {"a": 4294967295}, "merges": []}}"#.into(),
        r#"{"model": {"type": "Unigram", "unk_id": 9, "vocab": [["a", 0.0]]}}"#.into(),
        r#"{"model": {"type": "WordPiece"}}"#.into(),
    ];
    for n in [13, 60, 100_000] {
        let sequence = nest(r#"{"type":"Sequence","pretokenizers":["#, "", "]}", n);
        files.push(format!(r#"{{"pre_tokenizer": {sequence}, "model": {{}}}}"#));
    }
    let start = Instant::now();
    for file in files {
        assert!(Tokenizer::from_json(file.as_bytes(), "f").is_err(), "{:.80}", file);
    }
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn gguf_lists_that_disagree() {
    let tokens = || -> Stored { ["<s>", "a"].into_iter().collect::<Strings>().into() };
    let build = |pairs: Vec<(&str, Stored)>| {
        let pairs = pairs.into_iter().map(|(key, value)| (format!("tokenizer.ggml.{key}"), value));
        Tokenizer::from_gguf(&Metadata::new(pairs.collect(), "m.gguf"))
    };
    let cases: Vec<(Vec<(&str, Stored)>, &str)> = vec![
        (vec![], "tokenizer.ggml.model"),
        (vec![("model", "rwkv".into())], "rwkv"),
        (vec![("model", "llama".into())], "tokens"),
        (vec![("model", "llama".into()), ("tokens", Strings::default().into())], "tokens"),
        (vec![("model", "llama".into()), ("tokens", tokens())], "scores"),
        (
            vec![("model", "llama".into()), ("tokens", tokens()), ("scores", vec![0.0f32].into())],
            "1 scores for 2 tokens",
        ),
        (
            vec![
                ("model", "llama".into()),
                ("tokens", tokens()),
                ("token_type", vec![1i32].into()),
            ],
            "1 types for 2 tokens",
        ),
        (
            vec![("model", "llama".into()), ("tokens", tokens()), ("eos_token_id", 77u32.into())],
            "77",
        ),
        (vec![("model", "gpt2".into()), ("tokens", tokens())], "tokenizer.ggml.pre"),
        (
            vec![("model", "gpt2".into()), ("tokens", tokens()), ("pre", "made-up".into())],
            "made-up",
        ),
        (
            vec![
                ("model", "gpt2".into()),
                ("tokens", tokens()),
                ("pre", "gpt-2".into()),
                ("merges", ["nospace"].into_iter().collect::<Strings>().into()),
            ],
            "nospace",
        ),
        (
            vec![
                ("model", "t5".into()),
                ("tokens", tokens()),
                ("scores", vec![0.0f32, 0.0].into()),
                ("precompiled_charsmap", vec![255u8; 16].into()),
            ],
            "",
        ),
    ];
    for (pairs, named) in cases {
        let error = build(pairs).unwrap_err().to_string();
        assert!(error.contains("m.gguf") && error.contains(named), "{error}");
    }
}

#[test]
fn long_texts_without_a_break() {
    let start = Instant::now();
    for tokenizer in [common::byte_level(), common::sentencepiece(true)] {
        for unit in ["a", "ab", " ", "\n", "é", "<|im_start|>", "1"] {
            let text = unit.repeat(300_000 / unit.len());
            let ids = tokenizer.encode(&text, Specials::AsText).unwrap();
            assert_eq!(tokenizer.decode(&ids), text, "{unit:?}");
        }
    }
    assert!(start.elapsed() < Duration::from_secs(120), "{:?}", start.elapsed());
}
