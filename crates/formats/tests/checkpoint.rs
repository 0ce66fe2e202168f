//! Checkpoints on disk.

mod common;

use std::{
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
};

use common::{gguf_writer, tensor};
use tempfile::TempDir;
use tessera_formats::{Bytes, Checkpoint, Dtype, Error, Kind, Tensor, safetensors};

/// A folder with those tensors in files, and `config.json`.
fn folder(files: &[(&str, &[Tensor])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), r#"{"model_type": "llama"}"#).unwrap();
    for (name, tensors) in files {
        safetensors::write(&folder.path().join(name), tensors, &[("format", "pt")]).unwrap();
    }
    folder
}

fn index(folder: &Path, pairs: &[(&str, &str)]) {
    let map: serde_json::Map<_, _> =
        pairs.iter().map(|&(tensor, shard)| (tensor.to_owned(), shard.into())).collect();
    let text = serde_json::json!({"metadata": {}, "weight_map": map}).to_string();
    fs::write(folder.join("model.safetensors.index.json"), text).unwrap();
}

fn f32s(name: &str) -> Tensor {
    tensor(name, Dtype::F32, &[2, 3])
}

fn names(checkpoint: &Checkpoint) -> Vec<&str> {
    checkpoint.tensors().map(|tensor| tensor.name.as_str()).collect()
}

#[test]
fn a_single_file_opens() {
    let folder = folder(&[("model.safetensors", &[f32s("b"), f32s("a")])]);
    fs::write(folder.path().join("generation_config.json"), r#"{"temperature": 0.5}"#).unwrap();
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert_eq!(checkpoint.kind(), Kind::SafeTensors);
    assert_eq!(checkpoint.path(), folder.path());
    assert_eq!(checkpoint.files(), [folder.path().join("model.safetensors")]);
    assert_eq!(checkpoint.config().str("model_type").unwrap(), "llama");
    assert_eq!(checkpoint.generation_config().unwrap().f32("temperature").unwrap(), 0.5);
    assert_eq!(checkpoint.writer(), Some("pt"));
    assert!(checkpoint.quantization().is_none() && checkpoint.gguf().is_none());
    assert_eq!(names(&checkpoint), ["a", "b"]);
    assert_eq!(checkpoint.bytes(), 48);
    assert_eq!(*checkpoint.require("a").unwrap().bytes, *f32s("a").bytes);
    assert!(checkpoint.tensor("c").is_none());
    let error = checkpoint.require("c").unwrap_err();
    assert!(error.to_string().ends_with("tensor \"c\" is missing"), "{error}");
}

#[test]
fn shards_open_as_one() {
    let folder = folder(&[
        ("1.safetensors", &[f32s("a"), f32s("unlisted")]),
        ("2.safetensors", &[f32s("b"), f32s("a")]),
    ]);
    index(folder.path(), &[("b", "2.safetensors"), ("a", "1.safetensors")]);
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert_eq!(names(&checkpoint), ["a", "b", "unlisted"]);
    assert_eq!(checkpoint.files().len(), 2);
}

#[test]
fn an_index_must_tell_the_truth() {
    let folder = folder(&[
        ("1.safetensors", &[f32s("a"), f32s("x")]),
        ("2.safetensors", &[f32s("b"), f32s("x")]),
    ]);
    let open = |pairs: &[(&str, &str)]| {
        index(folder.path(), pairs);
        Checkpoint::open(folder.path()).unwrap_err()
    };
    let (one, two) = ("1.safetensors", "2.safetensors");
    assert!(matches!(open(&[("a", one), ("b", "3.safetensors")]), Error::MissingShard { .. }));
    assert!(matches!(open(&[("a", one), ("c", two), ("x", one)]), Error::MissingTensor { .. }));
    assert!(matches!(open(&[("a", two), ("x", one)]), Error::MissingTensor { .. }));
    assert!(matches!(open(&[("a", one), ("b", two)]), Error::Duplicate { .. }));
    let outside = format!("../{}/1.safetensors", folder.path().file_name().unwrap().display());
    assert!(matches!(open(&[("a", &outside)]), Error::UnsafeShard { .. }));
}

#[cfg(unix)]
#[test]
fn the_hub_cache_layout_opens() {
    use std::os::unix::fs::symlink;
    let source = folder(&[("1.safetensors", &[f32s("a")]), ("2.safetensors", &[f32s("b")])]);
    index(source.path(), &[("a", "1.safetensors"), ("b", "2.safetensors")]);
    let cache = tempfile::tempdir().unwrap();
    let (blobs, snapshot) = (cache.path().join("blobs"), cache.path().join("snapshots/0123"));
    fs::create_dir_all(&blobs).unwrap();
    fs::create_dir_all(&snapshot).unwrap();
    for (hash, entry) in fs::read_dir(source.path()).unwrap().enumerate() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), blobs.join(hash.to_string())).unwrap();
        let target = PathBuf::from("../../blobs").join(hash.to_string());
        symlink(target, snapshot.join(entry.file_name())).unwrap();
    }
    assert_eq!(names(&Checkpoint::open(&snapshot).unwrap()), ["a", "b"]);
    // A link to nowhere is a missing shard, a link to a device is no weight file.
    let shard = snapshot.join("1.safetensors");
    fs::remove_file(&shard).unwrap();
    symlink("../../blobs/none", &shard).unwrap();
    assert!(matches!(Checkpoint::open(&snapshot), Err(Error::MissingShard { .. })));
    fs::remove_file(&shard).unwrap();
    symlink("/dev/zero", &shard).unwrap();
    assert!(matches!(Checkpoint::open(&snapshot), Err(Error::NotRegularFile { .. })));
}

#[test]
fn gguf_opens_by_file_folder_and_content() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.gguf");
    gguf_writer().write_file(&file).unwrap();
    fs::copy(&file, folder.path().join("0123abcd")).unwrap();
    for path in [folder.path(), &file, &folder.path().join("0123abcd")] {
        let checkpoint = Checkpoint::open(path).unwrap();
        assert_eq!(checkpoint.kind(), Kind::Gguf);
        assert_eq!(checkpoint.gguf().unwrap().metadata.u64("llama.block_count").unwrap(), 3);
        assert!(checkpoint.config().raw().is_empty());
        assert_eq!(checkpoint.tensors().len(), 3);
        assert_eq!(checkpoint.require("norm.weight").unwrap().shape, [8]);
    }
    fs::copy(&file, folder.path().join("other.gguf")).unwrap();
    let error = Checkpoint::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("several GGUF files") && error.contains("other.gguf"), "{error}");
}

#[test]
fn what_is_no_checkpoint_is_explained() {
    let empty = tempfile::tempdir().unwrap();
    let none = Checkpoint::open(empty.path()).unwrap_err();
    assert!(none.to_string().contains("no model here"), "{none}");
    let absent = Checkpoint::open(&empty.path().join("none"));
    assert!(matches!(absent, Err(Error::Io { .. })));

    let folder = folder(&[("model.safetensors", &[f32s("a")])]);
    let file = Checkpoint::open(&folder.path().join("model.safetensors")).unwrap_err();
    assert!(file.to_string().contains("give the folder"), "{file}");
    fs::remove_file(folder.path().join("config.json")).unwrap();
    let config = Checkpoint::open(folder.path()).unwrap_err();
    assert!(config.to_string().contains("config.json"), "{config}");
    fs::write(folder.path().join("config.json"), vec![b' '; 17 << 20]).unwrap();
    assert!(matches!(Checkpoint::open(folder.path()), Err(Error::Limit { .. })));
    fs::write(folder.path().join("model.safetensors"), "").unwrap();
    let empty = Checkpoint::open(folder.path()).unwrap_err();
    assert!(empty.to_string().contains("the file is empty"), "{empty}");
}

#[test]
fn scales_make_a_silent_checkpoint_quantised() {
    let packed = [tensor("m.weight", Dtype::U32, &[2, 8]), tensor("m.scales", Dtype::F16, &[2, 2])];
    let checkpoint = folder(&[("model.safetensors", &packed)]);
    let checkpoint = Checkpoint::open(checkpoint.path()).unwrap();
    assert!(checkpoint.quantization().is_some());
    let lone = folder(&[("model.safetensors", &[tensor("m.scales", Dtype::F16, &[2, 2])])]);
    assert!(Checkpoint::open(lone.path()).unwrap().quantization().is_none());
}

#[test]
fn a_file_that_changes_is_noticed() {
    let folder = folder(&[("model.safetensors", &[f32s("a")])]);
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    checkpoint.verify().unwrap();
    let path = folder.path().join("model.safetensors");
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(10).unwrap();
    assert!(matches!(checkpoint.verify(), Err(Error::Changed { now: 10, .. })));
}

#[cfg(unix)]
#[test]
fn a_file_that_is_replaced_stays() {
    let folder = folder(&[("model.safetensors", &[f32s("a")]), ("new", &[f32s("other")])]);
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    fs::rename(folder.path().join("new"), folder.path().join("model.safetensors")).unwrap();
    checkpoint.verify().unwrap();
    assert_eq!(*checkpoint.require("a").unwrap().bytes, *f32s("a").bytes);
}

#[test]
fn released_bytes_come_back() {
    let long = tensor("a", Dtype::F32, &[64, 1024]);
    let folder = folder(&[("model.safetensors", &[long.clone(), f32s("b")])]);
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let bytes = &checkpoint.require("a").unwrap().bytes;
    assert_eq!(**bytes, *long.bytes);
    bytes.release();
    bytes.prefetch();
    bytes.slice(4097, 100).unwrap().release();
    bytes.slice(bytes.len(), 0).unwrap().release();
    assert_eq!(**bytes, *long.bytes);
    assert_eq!(*checkpoint.require("b").unwrap().bytes, *f32s("b").bytes);
    let plain = Bytes::from(vec![1, 2, 3]);
    plain.release();
    assert_eq!(*plain, [1, 2, 3]);
    assert!(plain.slice(2, 2).is_none() && plain.slice(usize::MAX, 2).is_none());
}
