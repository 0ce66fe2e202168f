use super::*;

fn choose(files: &[&str], filter: Option<&str>) -> Result<Selection> {
    let files: Vec<String> = files.iter().map(|it| (*it).to_owned()).collect();
    select("org/repo", &files, filter)
}

fn gguf(file: &str) -> Selection {
    Selection::Gguf(file.to_owned())
}

const GGUF: [&str; 5] =
    ["README.md", "m-Q4_K.gguf", "m-Q4_K_M.gguf", "m-Q8_0.gguf", "mmproj-f16.gguf"];

#[test]
fn a_label_selects_exactly_one_gguf() {
    assert_eq!(choose(&GGUF, Some("Q4_K_M")).expect("one"), gguf("m-Q4_K_M.gguf"));
    assert_eq!(choose(&GGUF, Some("q4_k")).expect("one"), gguf("m-Q4_K.gguf"));
    assert_eq!(choose(&GGUF, Some("*8*")).expect("one"), gguf("m-Q8_0.gguf"));
    assert_eq!(choose(&GGUF, Some("m-Q8_0.gguf")).expect("one"), gguf("m-Q8_0.gguf"));
    assert_eq!(choose(&["a_q4_0.gguf", "b.txt"], Some("Q4_0")).expect("one"), gguf("a_q4_0.gguf"));
    assert_eq!(choose(&["only.gguf", "README.md"], None).expect("one"), gguf("only.gguf"));
}

#[test]
fn several_or_none_are_named() {
    let Err(Error::Ambiguous { choices, .. }) = choose(&GGUF, None) else { panic!("ambiguous") };
    assert_eq!(choices, ["Q4_K", "Q4_K_M", "Q8_0"]);
    let Err(Error::Ambiguous { choices, .. }) = choose(&["x/a.gguf", "y/a.gguf"], None) else {
        panic!("ambiguous")
    };
    assert_eq!(choices, ["x/a.gguf", "y/a.gguf"]);
    let error = choose(&GGUF, Some("Q2_K")).expect_err("no such label").to_string();
    assert!(error.contains("Q2_K") && error.contains("Q8_0"), "{error}");
    assert!(matches!(choose(&["README.md"], None), Err(Error::NoModel { .. })));
    assert!(matches!(choose(&["model.safetensors"], None), Err(Error::NoModel { .. })));
    assert!(matches!(choose(&["m-00001-of-00002.gguf"], None), Err(Error::NoModel { .. })));
}

#[test]
fn safetensors_bring_their_companions_and_nothing_else() {
    let files = [
        "config.json",
        "tokenizer.json",
        "tokenizer.model",
        "chat_template.jinja",
        "model.safetensors",
        "consolidated.safetensors",
        "adapter_model.safetensors",
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
        "onnx/config.json",
        "trainer_state.json",
        "README.md",
        "m-Q8_0.gguf",
    ];
    let Selection::Folder(mut chosen) = choose(&files, None).expect("a folder") else {
        panic!("folder")
    };
    chosen.sort();
    let expected = [
        "chat_template.jinja",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer.model",
    ];
    assert_eq!(chosen, expected);
    assert_eq!(choose(&files, Some("Q8_0")).expect("the GGUF beside them"), gguf("m-Q8_0.gguf"));
}

#[test]
fn an_index_decides_the_shards() {
    let files = ["config.json", INDEX, "a.safetensors", "b.safetensors", "old.safetensors"];
    let selection = choose(&files, None).expect("indexed");
    assert!(selection.is_indexed());
    assert_eq!(selection.files(), ["config.json", INDEX]);
    let index = br#"{"metadata":{},"weight_map":{"x":"b.safetensors","y":"a.safetensors","z":"b.safetensors"}}"#;
    assert_eq!(shards("org/repo", index).expect("sound"), ["a.safetensors", "b.safetensors"]);
    for bad in [&br#"{"weight_map":{"x":"../../etc/passwd"}}"#[..], b"{", br#"{"weight_map":{}}"#] {
        assert!(matches!(shards("org/repo", bad), Err(Error::NoModel { .. })));
    }
}
