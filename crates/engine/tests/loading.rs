//! From files to an answer.

mod common;

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tessera_engine::{
    BackendChoice, Capability, CapabilitySet, CpuChoice, FinishReason, HubOptions, Lifecycle,
    LoadError, LoadOptions, Model, Request, SamplingOptions, Stage,
};

/// A folder as the Hub has them: the llama fixture of the models' tests, with a small tokenizer.
fn folder(generation: Value) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/fixtures/llama");
    let copy = |from: &str, to: &str| fs::copy(fixture.join(from), folder.path().join(to)).unwrap();
    copy("model.safetensors", "model.safetensors");
    copy("default/config.json", "config.json");
    let write = |name: &str, value: &Value| {
        fs::write(folder.path().join(name), value.to_string()).unwrap();
    };
    write("tokenizer.json", &common::tokenizer_json(96));
    write("generation_config.json", &generation);
    write(
        "tokenizer_config.json",
        &json!({"chat_template":
        "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}>{% endif %}"}),
    );
    folder
}

fn options() -> LoadOptions {
    LoadOptions {
        backend: BackendChoice::Cpu(CpuChoice { threads: Some(1), precise: true }),
        memory: Some(64 << 20),
        hub: Some(HubOptions::new(std::env::temp_dir())),
        ..LoadOptions::default()
    }
}

#[test]
fn a_folder_loads_and_answers() {
    let folder = folder(json!({"temperature": 0.6, "top_p": 0.9, "eos_token_id": [2, 94]}));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let on_event = {
        let seen = seen.clone();
        Some(Arc::new(move |state: &Lifecycle| seen.lock().unwrap().push(state.clone())) as _)
    };
    let name = folder.path().to_str().unwrap();
    let model = Model::load(name, LoadOptions { on_event, ..options() }).wait().unwrap();
    let info = model.info();
    assert_eq!((info.context.tokens, info.vocabulary), (256, 96));
    assert_eq!(info.stop_tokens, [2, 94]);
    assert_eq!((info.sampling.temperature, info.sampling.top_p), (Some(0.6), Some(0.9)));
    // What a generation_config leaves out is neutral, not ours.
    assert_eq!((info.sampling.top_k, info.sampling.min_p), (Some(0), Some(0.0)));
    assert_eq!(info.details.as_ref().unwrap().family, "llama");
    assert!(info.path.is_some() && info.context_bytes > 0);

    let request = Request {
        max_tokens: Some(10),
        ignore_eos: true,
        sampling: SamplingOptions::greedy(),
        ..Request::text("!!")
    };
    let completion = model.generate(request).collect().unwrap();
    assert_eq!(completion.finished.reason, FinishReason::Length);
    assert_eq!(completion.started.prompt_tokens, 3, "the template was applied");

    let seen = seen.lock().unwrap();
    assert!(matches!(&seen[0], Lifecycle::Resolving { .. }));
    let stage = |wanted| {
        seen.iter().any(|s| matches!(s, Lifecycle::Loading { stage, .. } if *stage == wanted))
    };
    assert!([Stage::Open, Stage::Text, Stage::Plan, Stage::Weights].into_iter().all(stage));
    assert_eq!(seen.last(), Some(&Lifecycle::Ready));
}

#[test]
fn do_sample_false_is_greedy() {
    let folder = folder(json!({"do_sample": false, "temperature": 0.6}));
    let model = Model::load(folder.path().to_str().unwrap(), options()).wait().unwrap();
    assert_eq!(model.info().sampling.temperature, Some(0.0));
}

#[test]
fn what_a_model_does_not_offer_is_named() {
    let folder = folder(json!({}));
    let name = folder.path().to_str().unwrap();
    let load = |capabilities| Model::load(name, LoadOptions { capabilities, ..options() }).wait();
    let wanted = CapabilitySet::TEXT.with(Capability::ImageIn).with(Capability::ToolCalling);
    match load(wanted) {
        Err(LoadError::Capability { missing, offered, .. }) => {
            assert_eq!(missing.to_string(), "image input, tool calling");
            assert_eq!(offered, CapabilitySet::TEXT);
        }
        other => panic!("{other:?}"),
    }
    assert!(load(CapabilitySet::TEXT).is_ok());
}

#[test]
fn nothing_is_found_where_nothing_is() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing").to_str().unwrap().to_owned();
    let loading = Model::load(missing, options());
    let mut stream = loading.lifecycle();
    assert!(matches!(loading.wait(), Err(LoadError::Hub(_))));
    let last = std::iter::from_fn(|| stream.next_blocking()).last();
    assert!(matches!(last, Some(Lifecycle::Failed { .. })), "{last:?}");
    // An empty folder, and one with a broken file.
    let name = folder.path().to_str().unwrap().to_owned();
    assert!(Model::load(name.clone(), options()).wait().is_err());
    fs::write(folder.path().join("config.json"), "{").unwrap();
    fs::write(folder.path().join("model.safetensors"), "x").unwrap();
    assert!(Model::load(name, options()).wait().is_err());
}

#[test]
fn loading_can_be_awaited() {
    let folder = folder(json!({}));
    let name = folder.path().to_str().unwrap().to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let tokens = runtime.block_on(async {
        let model = Model::load(name, options()).await.unwrap();
        model.score(vec![1, 2, 3], 1).await.unwrap().logprobs.len()
    });
    assert_eq!(tokens, 2);
}
