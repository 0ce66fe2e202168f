//! What the crate says it supports is what it was tested with.

mod common;

use common::{Case, cases};
use serde_json::{Value, json};
use tessera_formats::Checkpoint;
use tessera_models::{families, rope_types};

#[test]
fn every_family_has_goldens() {
    let (mut model_types, mut architectures) = (Vec::new(), Vec::new());
    for case in cases() {
        for stored in Case::stored(&case) {
            let family = stored.open(Some(1)).unwrap().info.family;
            let checkpoint = Checkpoint::open(stored.folder.path()).unwrap();
            match checkpoint.gguf() {
                Some(file) => {
                    let architecture = file.metadata.str("general.architecture").unwrap();
                    architectures.push((family, architecture.to_string()));
                }
                None => model_types.push((family, config(&stored)["model_type"].clone())),
            }
        }
    }
    for supported in families() {
        let tested = |(family, _): &(String, _)| family == supported.family;
        let types: Vec<_> = model_types.iter().filter(|&t| tested(t)).map(|t| &t.1).collect();
        assert!(!types.is_empty(), "{supported:?}");
        assert!(types.iter().all(|t| supported.model_types.contains(&t.as_str().unwrap())));
        if let Some(architecture) = supported.gguf {
            let tested = (supported.family.to_string(), architecture.to_string());
            assert!(architectures.contains(&tested), "{supported:?}");
        }
    }
}

#[test]
fn every_rope_type_is_understood() {
    let refusal = |kind: &str| {
        let case = Case::new("llama/default").with(json!({"rope_scaling": {"rope_type": kind}}));
        case.open(None).err().map(|error| error.to_string()).unwrap_or_default()
    };
    for kind in rope_types() {
        assert!(!refusal(kind).contains("not supported"), "{kind}");
    }
    let other = refusal("spiral");
    assert!(rope_types().iter().all(|kind| other.contains(kind)), "{other}");
}

fn config(case: &Case) -> Value {
    common::json(&case.folder.path().join("config.json"))
}
