//! Ids are those of the reference libraries, string by string.

mod common;

use tessera_text::{Specials, Tokenizer};

/// Hashes of all the awkward strings' ids, control tokens left as text.
fn hashes(tokenizer: &Tokenizer, texts: &[String]) -> Vec<String> {
    let encode = |text: &String| tokenizer.encode(text, Specials::AsText).unwrap();
    common::hashes(&texts.iter().map(encode).collect::<Vec<_>>())
}

#[test]
fn byte_level_under_every_pre_tokenizer() {
    let reference = common::json("byte_level.ids.json");
    for (pre, expected) in reference["hashes"].as_object().unwrap() {
        let tokenizer = Tokenizer::from_gguf(&common::byte_level_metadata(pre)).unwrap();
        let found = hashes(&tokenizer, &common::awkward());
        assert_eq!(found, common::strings(expected), "{pre}");
    }
}

#[test]
fn byte_level_from_tokenizer_json() {
    let reference = common::json("byte_level.ids.json");
    let tokenizer = common::byte_level();
    let found = hashes(&tokenizer, &common::awkward());
    assert_eq!(found, common::strings(&reference["hashes"]["smollm"]));
    for case in reference["parsed"].as_array().unwrap() {
        let text = case[0].as_str().unwrap();
        assert_eq!(
            tokenizer.encode(text, Specials::Parse).unwrap(),
            common::ids(&case[1]),
            "{text}"
        );
    }
    assert_eq!(tokenizer.frame(&[7]), [1, 7]);
}

#[test]
fn sentencepiece_by_scores() {
    let reference = common::json("sentencepiece.json");
    let texts: Vec<String> = common::awkward().into_iter().filter(|s| !s.is_empty()).collect();
    for (space_prefix, field) in [(true, "prefix"), (false, "plain")] {
        let found = hashes(&common::sentencepiece(space_prefix), &texts);
        assert_eq!(found, common::strings(&reference["hashes"][field]), "{field}");
    }
}

#[test]
fn unigram() {
    let more = vec![("tokenizer.ggml.remove_extra_whitespaces", true.into())];
    let tokenizer = Tokenizer::from_gguf(&common::metadata("unigram.json", "t5", more)).unwrap();
    for case in common::json("unigram.json")["cases"].as_array().unwrap() {
        let text = case[0].as_str().unwrap();
        assert_eq!(
            tokenizer.encode(text, Specials::AsText).unwrap(),
            common::ids(&case[1]),
            "{text:?}"
        );
    }
    assert_eq!(tokenizer.frame(&[7]), [7, 1]);
}

#[test]
fn llama_shaped_tokenizer_json_in_all_its_ways_of_spacing() {
    let reference = common::json("llama.ids.json");
    for scheme in ["normalizer", "always", "first", "never"] {
        let mut file = common::json("llama.json");
        if scheme != "normalizer" {
            file["normalizer"] = serde_json::Value::Null;
            file["pre_tokenizer"] = serde_json::json!({"type": "Metaspace", "replacement": "▁",
                "prepend_scheme": scheme, "split": false});
        }
        let tokenizer = Tokenizer::from_json(file.to_string().as_bytes(), "llama.json").unwrap();
        let found = hashes(&tokenizer, &common::awkward());
        assert_eq!(found, common::strings(&reference[scheme]["text"]), "{scheme}");
        for case in reference[scheme]["parsed"].as_array().unwrap() {
            let (text, ids) = (case[0].as_str().unwrap(), common::ids(&case[1]));
            assert_eq!(tokenizer.encode(text, Specials::Parse).unwrap(), ids, "{scheme} {text}");
            assert_eq!(tokenizer.decode(&ids), case[2].as_str().unwrap(), "{scheme} {text}");
        }
    }
}

#[test]
fn control_tokens_in_text_stay_text_and_added_ones_count() {
    for tokenizer in
        [common::byte_level(), Tokenizer::from_gguf(&common::byte_level_metadata("qwen2")).unwrap()]
    {
        let id = tokenizer.id("<|im_start|>").unwrap();
        let text = tokenizer.encode("<|im_start|>", Specials::AsText).unwrap();
        assert!(text.len() > 1 && !text.contains(&id), "{text:?}");
        assert_eq!(tokenizer.encode("<|im_start|>", Specials::Parse).unwrap(), [id]);
        let tool = tokenizer.id("<tool>").unwrap();
        assert_eq!(tokenizer.encode("<tool>", Specials::AsText).unwrap(), [tool]);
    }
    let tokenizer = common::sentencepiece(true);
    let turn = tokenizer.id("<turn>").unwrap();
    assert!(!tokenizer.encode("<turn>", Specials::AsText).unwrap().contains(&turn));
    assert_eq!(tokenizer.encode("<turn>", Specials::Parse).unwrap(), [turn]);
}
