//! From files to an answer.

mod common;

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tessera_engine::{
    BackendChoice, Capability, CapabilitySet, ContextReason, CpuChoice, FinishReason, HubOptions,
    Lifecycle, LoadError, LoadOptions, Model, Request, Resolved, SamplingOptions, SamplingSource,
    Stage,
};
use tessera_formats::safetensors;
use tessera_hub::{Recommended, Source};

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
    match load(CapabilitySet::EMPTY.with(Capability::TextIn)) {
        Err(LoadError::Option { option: "capabilities", value, .. }) => {
            assert_eq!(value, "text input");
        }
        other => panic!("{other:?}"),
    }
}

/// Gemma 3 with a vision tower, of which the index says that it is in a file that is not there.
fn multimodal() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/fixtures/gemma3");
    let mut tensors = safetensors::File::open(&fixture.join("model.safetensors")).unwrap().tensors;
    let mut map = serde_json::Map::new();
    for tensor in &mut tensors {
        tensor.name = tensor.name.replacen("model.", "language_model.model.", 1);
        map.insert(tensor.name.clone(), "text.safetensors".into());
    }
    map.insert("vision_tower.x.weight".into(), "vision.safetensors".into());
    safetensors::write(&folder.path().join("text.safetensors"), &tensors, &[]).unwrap();
    let text = fs::read(fixture.join("default/config.json")).unwrap();
    let text: Value = serde_json::from_slice(&text).unwrap();
    let vocab = text["vocab_size"].as_u64().unwrap() as usize;
    let write = |name: &str, value: &Value| {
        fs::write(folder.path().join(name), value.to_string()).unwrap();
    };
    write("model.safetensors.index.json", &json!({ "weight_map": map }));
    write("config.json", &json!({ "model_type": "gemma3", "text_config": text }));
    write("tokenizer.json", &common::tokenizer_json(vocab));
    folder
}

#[test]
fn only_weights_for_what_is_wanted_are_mapped() {
    let folder = multimodal();
    let name = folder.path().to_str().unwrap();
    let load = |capabilities| Model::load(name, LoadOptions { capabilities, ..options() }).wait();
    // The tower's file is missing, and nobody misses it.
    let model = load(CapabilitySet::TEXT).unwrap();
    assert_eq!(model.info().capabilities, CapabilitySet::TEXT);
    assert_eq!(model.score(vec![1, 2, 3], 1).wait().unwrap().logprobs.len(), 2);
    // The model offers it, but there is nothing here to run it with.
    let error = load(CapabilitySet::TEXT.with(Capability::ImageIn)).unwrap_err();
    match &error {
        LoadError::CapabilityUnsupported { unsupported, .. } => {
            assert_eq!(unsupported.to_string(), "image input");
        }
        other => panic!("{other:?}"),
    }
    assert!(error.to_string().contains("offers image input"), "{error}");
    // The model does not offer it.
    match load(CapabilitySet::TEXT.with(Capability::AudioIn)) {
        Err(LoadError::Capability { missing, offered, .. }) => {
            assert_eq!(missing.to_string(), "audio input");
            assert_eq!(offered, CapabilitySet::TEXT.with(Capability::ImageIn));
        }
        other => panic!("{other:?}"),
    }
}

fn found(folder: &Path, sampling: Option<Recommended>) -> Resolved {
    let (path, source) = (folder.to_owned(), Source::Path);
    Resolved { path, files: Vec::new(), source, bytes: 0, licence: None, sampling }
}

#[test]
fn the_catalogue_recommends_where_the_checkpoint_is_silent() {
    let card = Recommended { temperature: Some(0.2), top_p: Some(0.9), ..Recommended::default() };
    let preview = |generation, card| {
        let folder = folder(generation);
        let preview = Model::preview(&found(folder.path(), card), &options()).unwrap();
        let all = preview.sampling;
        (preview.sampling_source, all.temperature, all.top_p, all.top_k, all.min_p)
    };
    let (silent, says) = (json!({ "eos_token_id": 2 }), json!({ "temperature": 0.6 }));
    assert_eq!(
        preview(silent.clone(), Some(card.clone())),
        (SamplingSource::Catalogue, Some(0.2), Some(0.9), Some(0), Some(0.0))
    );
    assert_eq!(
        preview(says, Some(card)),
        (SamplingSource::Checkpoint, Some(0.6), Some(1.0), Some(0), Some(0.0))
    );
    let ours = SamplingOptions::FALLBACK;
    assert_eq!(
        preview(silent, None),
        (SamplingSource::Fallback, ours.temperature, ours.top_p, ours.top_k, ours.min_p)
    );
}

#[test]
fn a_preview_reckons_what_loading_takes() {
    let folder = folder(json!({}));
    let config = folder.path().join("config.json");
    let mut longer: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    longer["max_position_embeddings"] = 4096.into();
    fs::write(config, longer.to_string()).unwrap();
    let name = folder.path().to_str().unwrap();
    let preview =
        |options: &LoadOptions| Model::preview(&found(folder.path(), None), options).unwrap();
    let all = preview(&options());
    assert_eq!(all.positions, 4096);
    // Room for everything, for a part of the context, for a given context.
    let half = all.weights + all.arena + all.context_bytes / 2;
    let shorter = preview(&LoadOptions { memory: Some(half), ..options() });
    assert_eq!(shorter.context.unwrap().reason, ContextReason::Memory { trained: 4096 });
    assert!(shorter.arena < all.arena && shorter.weights == all.weights);
    for options in [
        options(),
        LoadOptions { memory: Some(half), ..options() },
        LoadOptions { context: Some(100), ..options() },
        LoadOptions { context: Some(200), max_sequences: 1, ..options() },
    ] {
        let told = preview(&options);
        let model = Model::load(name, options).wait().unwrap();
        let (held, info) = (model.status().memory, model.info());
        assert_eq!((told.weights, told.arena), (held.weights, held.arena));
        assert_eq!((told.context.unwrap(), told.context_bytes), (info.context, info.context_bytes));
        assert_eq!(told.positions, info.context.tokens);
    }
    // Room for nothing: the same figures in the report and in the refusal.
    let tight = all.weights + 1000;
    let options = LoadOptions { memory: Some(tight), ..options() };
    let told = preview(&options);
    match (told.context, Model::load(name, options).wait()) {
        (
            Err(LoadError::TooLarge { weights, arena, kv, budget, .. }),
            Err(LoadError::TooLarge { weights: w, arena: a, kv: k, .. }),
        ) => {
            assert_eq!((weights, arena, kv, budget), (w, a, k, tight));
            assert_eq!((told.weights, told.arena, told.context_bytes), (w, a, k));
        }
        other => panic!("{other:?}"),
    }
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
