//! The other commands, on a tiny model.

mod common;

use common::{Tiny, World};
use serde_json::json;

#[test]
fn show_says_what_the_model_is() {
    let world = World::new();
    let model = world.model();
    let text = world.run(&["show", &model]).success();
    for part in
        ["llama", "mit", "1 layers of width 64", "256 tokens", "made for chat", "f32", "fits"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let value =
        world.run(&["show", &model, "--json", "--tensors", "--config", "--template"]).json();
    assert_eq!(value["family"], "llama");
    assert_eq!(value["format"], "gguf");
    assert_eq!(value["layers"], 1);
    assert_eq!(value["context"], 256);
    assert_eq!(value["chat_template"], true);
    assert_eq!(value["tokenizer"]["tokens"], 260);
    assert_eq!(value["capabilities"], json!(["text input", "text output"]));
    assert_eq!(value["sampling"]["source"], "default");
    assert_eq!(value["memory"]["fits"], true);
    assert_eq!(value["memory"]["context"], 256);
    assert_eq!(value["config"]["llama.block_count"], 1);
    assert_eq!(value["config"]["tokenizer.ggml.tokens"], "list of 260");
    assert!(value["template"].as_str().is_some_and(|it| it.contains("im_start")));
    let tensors = value["tensors"].as_array().expect("tensors");
    assert_eq!(tensors.len(), 12);
    assert!(tensors.contains(&json!({
        "name": "token_embd.weight", "dtype": "f32", "shape": [260, 64], "bytes": 260 * 64 * 4
    })));
    let text = world.run(&["show", &model, "--tensors", "--config", "--template"]).success();
    for part in ["token_embd.weight", "260 x 64", "llama.block_count = 1", "im_start"] {
        assert!(text.contains(part), "{part}");
    }
}

/// By default a GPU is asked for first, if there is one; where the processor computes, it is told why.
#[test]
fn what_computes_is_told() {
    let world = World::new();
    let model = world.model();
    let gpu = if cfg!(target_os = "macos") { "metal" } else { "cuda" };
    let shown = world.run(&["show", &model, "--json"]).json();
    let told = world.run(&["run", &model, "?", "--verbose"]).err;
    if shown["device"] == "cpu" {
        let why = shown["passed_over"][0].as_str().expect("a reason");
        assert!(why.starts_with(&format!("not {gpu}: ")), "{why}");
        assert!(told.contains(why), "{why}: {told}");
        assert!(world.run(&["show", &model]).success().contains(why));
    } else {
        assert_eq!(shown["device"], gpu);
    }
    for flags in [&["--threads", "1"][..], &["--precise"], &["--device", "cpu"]] {
        let shown = world.run(&[&["show", model.as_str(), "--json"][..], flags].concat()).json();
        assert_eq!((&shown["device"], &shown["passed_over"]), (&json!("cpu"), &json!([])));
    }
}

/// What `show` reckons is what `run` says it holds, and what it refuses is refused.
#[test]
fn show_reckons_what_run_takes() {
    let world = World::new();
    let model = world.model();
    for flags in [&[][..], &["--context", "100"], &["--precise"], &["--kv", "bf16"]] {
        let with = |first: &[&str], last: &[&str]| {
            let all = [first, &[model.as_str()], flags, last].concat();
            world.run(&all)
        };
        let text = with(&["show"], &[]).success();
        let said = with(&["run"], &["?", "--verbose"]).err;
        let line = said.lines().find(|line| line.contains("memory: ")).expect("a memory line");
        // `memory: W of weights, C to compute in, up to K for a full context, …`
        for part in line.split("memory: ").nth(1).expect("it").split(", ").take(2) {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    let refused = world.run(&["show", &model, "--memory", "100K", "--json"]).json();
    assert_eq!(refused["memory"]["fits"], false);
    let refusal = refused["memory"]["refusal"].as_str().expect("a reason").to_owned();
    let error = world.run(&["run", &model, "?", "--memory", "100K"]).failure(1);
    assert!(error.contains(&refusal), "{error}: {refusal}");
    let needs = |part: &str| refused["memory"][part].as_u64().expect("a number");
    assert_eq!(needs("total"), needs("weights") + needs("compute") + needs("remembered"));
    assert!(needs("total") > needs("allowed"));
}

#[test]
fn inspect_lists_the_graph() {
    let world = World::new();
    let model = world.model();
    let text = world.run(&["inspect", &model]).success();
    for part in ["attend", "linear", "embed", "sample", "total", "flop"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let value = world.run(&["inspect", &model, "--json", "--tokens", "4", "--depth", "100"]).json();
    assert_eq!(value["step"], json!({ "tokens": 4, "outputs": 1, "context": 100 }));
    let operations = value["operations"].as_array().expect("operations");
    assert!(operations.iter().all(|it| it["cost"]["flops"].is_u64() && it["label"].is_string()));
    let flops: u64 = operations.iter().filter_map(|it| it["cost"]["flops"].as_u64()).sum();
    assert_eq!(value["total"]["flops"], flops);
}

#[test]
fn inspect_shows_logits_and_the_greedy_continuation() {
    let world = World::new();
    let model = world.model();
    let value = world.run(&["inspect", &model, "bl", "--json", "--top", "3", "--precise"]).json();
    assert_eq!(value["ids"], json!([b'b', b'l']));
    let positions = value["positions"].as_array().expect("positions");
    assert_eq!(positions[0]["top"][0]["id"], b'l');
    assert_eq!(positions[0]["top"].as_array().map(Vec::len), Some(3));
    assert_eq!(positions[1]["top"][0]["text"], "u");
    assert_eq!(value["continuation_text"], "ue!");
    let by_ids =
        world.run(&["inspect", &model, "--ids", "98,108", "--json", "--top", "3", "--precise"]);
    assert_eq!(by_ids.json(), value);
    let text = world.run(&["inspect", &model, "bl", "-n", "2"]).success();
    assert!(
        text.contains("POSITION") && text.contains("\"u\"") && text.contains("MARGIN"),
        "{text}"
    );
    let templated = world.run(&["inspect", &model, "x", "--template", "--json"]).json();
    assert_eq!(templated["continuation_text"], "Ok, blue!");
}

#[test]
fn text_to_ids_and_back() {
    let world = World::new();
    let model = world.model();
    let value = world.run(&["tokenize", &model, "aé", "--json"]).json();
    assert_eq!(value["ids"], json!([97, 0xc3, 0xa9]));
    assert_eq!(value["tokens"], json!(["a", "\\xc3", "\\xa9"]));
    assert_eq!(world.run(&["detokenize", &model, "97", "195", "169"]).success(), "aé\n");
    assert_eq!(world.pipe(&["detokenize", &model, "--json"], "[97, 195,169]").json()["text"], "aé");
    assert_eq!(world.pipe(&["tokenize", &model, "--ids"], "ab").success(), "97 98\n");

    let control = "<|im_end|>";
    let parsed = world.run(&["tokenize", &model, control, "--special", "parse", "--ids"]).success();
    assert_eq!(parsed, "257\n");
    let text = world.run(&["tokenize", &model, control, "--ids"]).success();
    assert_eq!(text.split_whitespace().count(), control.len());
    assert_eq!(
        world.run(&["detokenize", &model, "257", "--special", "parse"]).success(),
        "<|im_end|>\n"
    );
    assert_eq!(world.run(&["detokenize", &model, "257"]).success(), "\n");
    let error = world.run(&["detokenize", &model, "9999"]).failure(1);
    assert!(error.contains("9999") && error.contains("260"), "{error}");
    assert!(world.run(&["detokenize", &model, "x"]).failure(2).contains("`x`"));
}

#[test]
fn bench_prints_the_known_table() {
    let world = World::new();
    let model = world.model();
    let args = ["bench", &model, "-p", "16", "-n", "4", "-d", "0,8", "-r", "2", "-t", "1"];
    let table = world.run(&args).success();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 6, "{table}");
    assert!(lines[0].starts_with("| model ") && lines[0].ends_with("|                  t/s |"));
    assert!(lines.iter().all(|line| line.matches('|').count() == 8), "{table}");
    for test in ["pp16 |", "tg4 |", "pp16 @ d8 |", "tg4 @ d8 |"] {
        assert!(table.contains(test), "{test}: {table}");
    }
    let rows = world.run(&[&args[..], &["--json"]].concat()).json();
    let rows = rows.as_array().expect("list");
    assert_eq!(rows.len(), 4);
    assert_eq!(
        (&rows[0]["n_prompt"], &rows[0]["n_gen"], &rows[0]["n_depth"]),
        (&16.into(), &0.into(), &0.into())
    );
    assert_eq!(rows[0]["samples_ts"].as_array().map(Vec::len), Some(2));
    assert!(rows.iter().all(|row| row["avg_ts"].as_f64().is_some_and(|it| it > 0.0)));
    assert_eq!(rows[0]["n_threads"], 1);
    assert!(
        world
            .run(&["bench", &model, "-p", "0", "-n", "0"])
            .failure(2)
            .contains("nothing to measure")
    );
    assert!(world.run(&["bench", &model, "-p", "100000"]).failure(1).contains("256"));
}

#[test]
fn tune_keeps_what_it_finds() {
    let world = World::new();
    let model = world.model();
    let args = ["tune", &model, "--device", "sim", "--rows", "1"];
    let dry = world.run(&[&args[..], &["--dry-run"]].concat()).success();
    assert!(dry.starts_with("KERNEL") && dry.contains("matvec") && dry.contains("GAIN"), "{dry}");
    assert!(!world.path(".cache/tessera/tuning").exists());
    let found = world.run(&[&args[..], &["--json"]].concat()).json();
    let saved = found["saved"].as_str().expect("a file").to_owned();
    let text = std::fs::read_to_string(&saved).expect("readable");
    let table: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(table["device"], found["device"]);
    let kernels = found["kernels"].as_array().expect("a list");
    for kernel in kernels {
        let choice = &table["choices"][kernel["key"].as_str().expect("a key")];
        let chosen = kernel["chosen"] != kernel["kernel"];
        assert_eq!(choice.is_object(), chosen, "{kernel}");
        assert!(!chosen || choice["kernel"] == kernel["chosen"], "{kernel}");
    }
    // later runs use it: the answer is the model's
    let answer = world.run(&["run", &model, "Hi", "--device", "sim", "--max-tokens", "2"]);
    assert_eq!(answer.success(), "Ok\n");
    for (device, rows) in [("cpu", "1"), ("auto", "1"), ("sim", "3")] {
        let error = world.run(&["tune", &model, "--device", device, "--rows", rows]).failure(2);
        assert!(error.contains("--device") || error.contains("must be of"), "{error}");
    }
}

#[test]
fn perplexity_of_a_text_it_knows_is_near_one() {
    let world = World::with(&Tiny::endless("abcd"));
    let model = world.model();
    let text = world.write("text.txt", "abcd".repeat(50));
    let args = ["perplexity", &model, &text, "--window", "32", "--stride", "16", "--json"];
    let value = world.run(&args).json();
    assert!(value["perplexity"].as_f64().is_some_and(|it| (1.0..1.01).contains(&it)), "{value}");
    assert_eq!((&value["tokens"], &value["scored"]), (&200.into(), &199.into()));
    assert_eq!(value["windows"].as_array().map(Vec::len), Some(12));
    let ended = world.run(&["perplexity", &model, &text, "--window", "32", "--stride", "32"]);
    assert!(ended.success().starts_with("perplexity 1.0"), "near one");
    let ended = world.pipe(&["perplexity", &model], "ac".repeat(20).as_str());
    let unlikely: f64 =
        ended.success().split(' ').nth(1).and_then(|it| it.parse().ok()).expect("figure");
    assert!(unlikely > 100.0, "{unlikely}");
    assert!(world.pipe(&["perplexity", &model], "a").failure(2).contains("too short"));
}

#[test]
fn doctor_and_completions() {
    let world = World::new();
    let checks = world.run(&["doctor", "--json"]).json();
    let names: Vec<&str> =
        checks.as_array().expect("list").iter().filter_map(|it| it["name"].as_str()).collect();
    for name in ["processor", "memory", "hub cache", "hub", "python and pip", "default model"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    assert!(world.run(&["doctor"]).success().contains("offline"));
    for shell in ["bash", "zsh", "fish"] {
        assert!(world.run(&["completions", shell]).success().contains("perplexity"), "{shell}");
    }
}
