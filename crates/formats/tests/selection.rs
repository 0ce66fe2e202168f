//! Tensors that nobody wants are not mapped, and need not be there.

mod common;

use std::{fs, path::Path};

use common::tensor;
use tessera_formats::{Checkpoint, Dtype, Error, Tensor, gguf::Writer, safetensors};

/// A tensor of a mebibyte.
fn large(name: &str) -> Tensor {
    tensor(name, Dtype::F32, &[512, 512])
}

fn text(name: &str) -> bool {
    !name.starts_with("vision.")
}

fn names(checkpoint: &Checkpoint) -> Vec<&str> {
    checkpoint.tensors().map(|tensor| tensor.name.as_str()).collect()
}

/// Bytes of the file that this process has mapped.
#[cfg(target_os = "linux")]
fn mapped(file: &Path) -> usize {
    let file = fs::canonicalize(file).unwrap();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let lines = maps.lines().filter(|line| line.ends_with(file.to_str().unwrap()));
    lines
        .map(|line| {
            let (start, end) = line.split_whitespace().next().unwrap().split_once('-').unwrap();
            let address = |text| usize::from_str_radix(text, 16).unwrap();
            address(end) - address(start)
        })
        .sum()
}

fn config(folder: &Path) {
    fs::write(folder.join("config.json"), "{}").unwrap();
}

/// The tensors that stay have their bytes, and little more than they is mapped.
fn check(checkpoint: &Checkpoint, file: &Path) {
    assert_eq!(names(checkpoint), ["a", "b"]);
    assert_eq!(checkpoint.left_out(), ["vision.x", "vision.y"]);
    for name in ["a", "b"] {
        assert_eq!(*checkpoint.require(name).unwrap().bytes, *large(name).bytes, "{name}");
    }
    #[cfg(target_os = "linux")]
    {
        let bytes = mapped(file);
        assert!((2 << 20..(2 << 20) + 3 * 65_536).contains(&bytes), "{bytes} bytes are mapped");
    }
    checkpoint.verify().unwrap();
}

#[test]
fn a_part_of_a_file_is_mapped() {
    let folder = tempfile::tempdir().unwrap();
    config(folder.path());
    let file = folder.path().join("model.safetensors");
    let all = ["vision.x", "a", "b", "vision.y"].map(large);
    safetensors::write(&file, &all, &[]).unwrap();
    check(&Checkpoint::open_selected(folder.path(), &text).unwrap(), &file);
    let whole = Checkpoint::open(folder.path()).unwrap();
    assert_eq!((whole.tensors().len(), whole.left_out().len()), (4, 0));

    let file = folder.path().join("model.gguf");
    let writer = all.into_iter().fold(Writer::new(), |writer, t| writer.tensor(t).unwrap());
    writer.write_file(&file).unwrap();
    check(&Checkpoint::open_selected(&file, &text).unwrap(), &file);
    let nothing = Checkpoint::open_selected(&file, &|_| false).unwrap();
    assert_eq!((nothing.tensors().len(), nothing.left_out().len()), (0, 4));
}

#[test]
fn a_shard_without_wanted_tensors_need_not_be_there() {
    let folder = tempfile::tempdir().unwrap();
    config(folder.path());
    let map = r#"{"weight_map": {"a": "1.safetensors", "b": "2.safetensors",
        "vision.x": "2.safetensors", "vision.y": "3.safetensors"}}"#;
    fs::write(folder.path().join("model.safetensors.index.json"), map).unwrap();
    let write = |name: &str, tensors: &[Tensor]| {
        safetensors::write(&folder.path().join(name), tensors, &[]).unwrap();
    };
    write("1.safetensors", &[large("a")]);
    write("2.safetensors", &[large("b"), large("vision.x")]);
    assert!(matches!(Checkpoint::open(folder.path()), Err(Error::MissingShard { .. })));
    let checkpoint = Checkpoint::open_selected(folder.path(), &text).unwrap();
    assert_eq!(names(&checkpoint), ["a", "b"]);
    assert_eq!(checkpoint.left_out(), ["vision.x", "vision.y"]);
    assert_eq!(checkpoint.files().len(), 2);
    assert_eq!(*checkpoint.require("b").unwrap().bytes, *large("b").bytes);
    // What is wanted must still be there.
    fs::remove_file(folder.path().join("1.safetensors")).unwrap();
    let error = Checkpoint::open_selected(folder.path(), &text).unwrap_err();
    assert!(matches!(error, Error::MissingShard { .. }), "{error}");
}
