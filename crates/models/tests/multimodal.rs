//! The text part of multimodal checkpoints: what else they hold is not mapped, and need not be there.

mod common;

use common::{Case, Golden, fixtures, logits, max_error};
use serde_json::{Value, json};
use tessera_formats::{
    Checkpoint, Tensor,
    gguf::{Gguf, Writer},
    safetensors,
};
use tessera_models::{
    Bound, BuildOptions, Capability, CapabilitySet, Error, checkpoint, offered, open,
};

const VISION: &str = "vision_tower.vision_model.post_layernorm.weight";

/// A Gemma 3 checkpoint as the multimodal ones are: the configuration inside `text_config`, names
/// below `prefix`, and a vision tower beside.
fn multimodal(prefix: &str) -> Case {
    let case = Case::new("gemma3/default").with_tensors(|tensors| {
        for tensor in tensors.iter_mut() {
            tensor.name = tensor.name.replacen("model.", prefix, 1);
        }
        let mut vision = tensors[0].clone();
        vision.name = VISION.into();
        tensors.push(vision);
    });
    let config = case.folder.path().join("config.json");
    let text: Value = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
    let outer = json!({
        "model_type": "gemma3",
        "architectures": ["Gemma3ForConditionalGeneration"],
        "eos_token_id": [1, 106],
        "text_config": text,
    });
    std::fs::write(&config, outer.to_string()).unwrap();
    case
}

fn check(bound: &Bound) {
    let golden = Golden::read(&fixtures().join("gemma3/default/golden.safetensors"));
    let found = logits(&bound.graph, &bound.weights, &golden.tokens, &[]);
    assert!(max_error(&found, &golden.logits) <= 2e-4);
}

fn text_of(path: &std::path::Path) -> (Checkpoint, Bound) {
    let text = checkpoint(path, CapabilitySet::TEXT).unwrap();
    let bound = open(&text, &BuildOptions::default()).unwrap();
    (text, bound)
}

#[test]
fn names_below_either_prefix_are_found() {
    for prefix in ["language_model.model.", "model.language_model."] {
        let bound = multimodal(prefix).open(None).unwrap();
        assert_eq!(bound.info.stop_ids, [1, 106]);
        check(&bound);
    }
}

#[test]
fn vision_is_left_out_unless_it_is_wanted() {
    let case = multimodal("language_model.model.");
    let (text, bound) = text_of(case.folder.path());
    assert_eq!(text.left_out(), [VISION]);
    assert_eq!(offered(&text), CapabilitySet::TEXT.with(Capability::ImageIn));
    check(&bound);
    let wanted = CapabilitySet::TEXT.with(Capability::ImageIn);
    let all = checkpoint(case.folder.path(), wanted).unwrap();
    assert!(all.left_out().is_empty() && all.tensor(VISION).is_some());
    assert_eq!(offered(&all), wanted);
    let plain = Case::new("gemma3/default");
    let plain = checkpoint(plain.folder.path(), CapabilitySet::TEXT).unwrap();
    assert_eq!(offered(&plain), CapabilitySet::TEXT);
}

#[test]
fn shards_with_vision_alone_need_not_be_there() {
    let case = multimodal("language_model.model.");
    let folder = case.folder.path();
    let from = folder.join("model.safetensors");
    let tensors = safetensors::File::open(&from).unwrap().tensors;
    let text: Vec<Tensor> = tensors.iter().filter(|t| t.name != VISION).cloned().collect();
    safetensors::write(&folder.join("text.safetensors"), &text, &[("format", "pt")]).unwrap();
    let shard = |name: &str| if name == VISION { "gone.safetensors" } else { "text.safetensors" };
    let map: serde_json::Map<String, Value> =
        tensors.iter().map(|t| (t.name.clone(), shard(&t.name).into())).collect();
    let index = json!({ "weight_map": map }).to_string();
    std::fs::write(folder.join("model.safetensors.index.json"), index).unwrap();
    std::fs::remove_file(from).unwrap();
    let (text, bound) = text_of(folder);
    assert_eq!(text.files(), [folder.join("text.safetensors")]);
    check(&bound);
    let wanted = CapabilitySet::TEXT.with(Capability::ImageIn);
    let error = checkpoint(folder, wanted).unwrap_err();
    assert!(error.to_string().contains("gone.safetensors"), "{error}");
}

/// Some programs write vision towers into the language model's own GGUF file.
#[test]
fn vision_in_a_gguf_file_is_left_out() {
    let case = Case::gguf("gemma3_deep/default");
    let path = case.folder.path().join("model.gguf");
    let old = Gguf::open(&path).unwrap();
    let mut writer = Writer::new();
    for (key, value) in old.metadata.iter() {
        writer = writer.pair(key, value.clone());
    }
    for name in ["v.patch_embd.weight", "mm.input_projection.weight"] {
        let tensor = Tensor { name: name.into(), ..old.tensors[0].clone() };
        writer = writer.tensor(tensor).unwrap();
    }
    for tensor in &old.tensors {
        writer = writer.tensor(tensor.clone()).unwrap();
    }
    let new = case.folder.path().join("new.gguf");
    writer.write_file(&new).unwrap();
    let (text, bound) = text_of(&new);
    assert_eq!(text.left_out().len(), 2);
    assert_eq!(offered(&text), CapabilitySet::TEXT.with(Capability::ImageIn));
    let (_, same) = text_of(&path);
    assert_eq!((bound.graph.weights, bound.info), (same.graph.weights, same.info));
}

/// A text model has no vision tower: if there is one, it is another model than its configuration says,
/// even if the tower is not mapped.
#[test]
fn what_the_configuration_has_no_place_for_is_an_error() {
    for name in [VISION, "v.patch_embd.weight", "audio_tower.x"] {
        let case = Case::new("llama/default").with_tensors(|tensors| {
            let tensor = Tensor { name: name.into(), ..tensors[0].clone() };
            tensors.push(tensor);
        });
        let text = checkpoint(case.folder.path(), CapabilitySet::TEXT).unwrap();
        match open(&text, &BuildOptions::default()) {
            Err(Error::UnusedTensors { tensor, count: 1, .. }) => assert_eq!(tensor, name),
            other => panic!("{name}: {:?}", other.err()),
        }
    }
}
