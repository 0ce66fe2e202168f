//! The printed text of small kernels, byte for byte, under `tests/snapshots/`.
//!
//! `cargo test -p tessera-tile --test snapshots -- --ignored rewrite` writes them anew; look at what changed.

mod kernels;

use std::{collections::BTreeMap, fs, path::PathBuf};

use tessera_tile::print;

fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "snapshots"].iter().collect()
}

/// File name and text of each snapshot.
fn printed() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for program in kernels::all() {
        files.insert(format!("{}.metal", program.name), print::metal(&program));
        files.insert(format!("{}.cu", program.name), print::cuda(&program));
    }
    files
}

#[test]
fn texts_are_as_committed() {
    let printed = printed();
    for (name, text) in &printed {
        let committed = fs::read_to_string(folder().join(name)).unwrap_or_default();
        assert!(
            *text == committed,
            "{name} is printed differently from its snapshot; it is now\n{text}"
        );
    }
    let files = fs::read_dir(folder()).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let left: Vec<_> = names.filter(|name| !printed.contains_key(name)).collect();
    assert!(left.is_empty(), "snapshots of nothing: {left:?}");
}

#[test]
fn printing_is_deterministic() {
    assert_eq!(printed(), printed());
}

#[test]
#[ignore = "writes the snapshots"]
fn rewrite() {
    for (name, text) in printed() {
        fs::write(folder().join(name), text).unwrap();
    }
}
