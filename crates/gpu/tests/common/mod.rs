//! What tests share.

use std::{fs, path::Path};

use tempfile::TempDir;
use tessera_formats::Checkpoint;
use tessera_models::{Bound, BuildOptions};

/// A tiny random checkpoint of those that `tessera-models` is tested with.
pub fn open(case: &str) -> Bound {
    let folder = TempDir::new().unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/fixtures");
    let own = fixtures.join(case);
    for source in [own.parent().unwrap(), &own] {
        for name in ["config.json", "model.safetensors"] {
            if source.join(name).exists() {
                fs::copy(source.join(name), folder.path().join(name)).unwrap();
            }
        }
    }
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    tessera_models::open(&checkpoint, &BuildOptions { context: None }).unwrap()
}
