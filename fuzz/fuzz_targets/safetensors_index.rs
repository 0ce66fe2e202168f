//! Any bytes as a shard index: no panic, and no shard outside the folder.
#![no_main]

use std::path::{Component, Path};

use libfuzzer_sys::fuzz_target;
use tessera_formats::safetensors::Index;

fuzz_target!(|data: &[u8]| {
    let path = Path::new("model.safetensors.index.json");
    let Ok(index) = Index::parse(data, path) else { return };
    for shard in &index.shards {
        assert!(shard.components().all(|part| matches!(part, Component::Normal(_))));
    }
    assert!(index.tensors.values().all(|&shard| shard < index.shards.len()));
});
