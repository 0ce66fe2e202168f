//! Kernels are compiled once, beforehand if they could be, and again when what was kept cannot be used.

mod common;

use std::{fs, path::Path};

use common::{INDIRECT, clean, programs};
use fake_metal::{
    METALLIB, Settings, World,
    metal::{Embedded, Metal, user_cache},
};
use tessera_gpu::{MetalOptions, device::Device};
use tessera_tile::print;

/// Starts afresh: what was compiled, and what was wrong with the archive.
fn start(settings: Settings, folder: &Path) -> (u64, Option<String>) {
    start_with(settings, folder, &MetalOptions::default())
}

/// The same with options.
fn start_with(settings: Settings, folder: &Path, options: &MetalOptions) -> (u64, Option<String>) {
    let world = World::enter(settings);
    world.know(&programs());
    let mut metal = Metal::open(Some(folder), None, options).unwrap();
    let pipelines = metal.build(&programs()).unwrap();
    assert_eq!(pipelines.len(), 3);
    let told = (metal.compiled(), metal.problems().first().cloned());
    assert_eq!(world.machine(), told.0, "each kernel is compiled once");
    drop((pipelines, metal));
    clean(&world);
    told
}

fn files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_second_start_compiles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("made/when/needed");
    assert_eq!(start(Settings::default(), &folder), (3, None));
    assert_eq!(files(&folder).len(), 1);
    assert_eq!(start(Settings::default(), &folder), (0, None));
    assert_eq!(files(&folder).len(), 1);
}

#[test]
fn another_system_or_gpu_has_its_own() {
    let folder = tempfile::tempdir().unwrap();
    for (macos, family) in [(15, 7), (26, 7), (15, 9)] {
        let settings = Settings { macos, family, ..Settings::default() };
        assert_eq!(start(settings.clone(), folder.path()), (3, None));
        assert_eq!(start(settings, folder.path()), (0, None));
    }
    assert_eq!(files(folder.path()).len(), 3);
}

#[test]
fn indirect_commands_have_their_own() {
    let folder = tempfile::tempdir().unwrap();
    for options in [&MetalOptions::default(), &INDIRECT] {
        assert_eq!(start_with(Settings::default(), folder.path(), options), (3, None));
        assert_eq!(start_with(Settings::default(), folder.path(), options), (0, None));
    }
    assert_eq!(files(folder.path()).len(), 2);
}

#[test]
fn a_damaged_archive_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    start(Settings::default(), folder.path());
    let path = folder.path().join(&files(folder.path())[0]);
    let whole = fs::read(&path).unwrap();
    let lost = String::from_utf8(whole.clone()).unwrap();
    let lost = lost.lines().filter(|line| !line.starts_with("select"));
    let lost = lost.map(|line| format!("{line}\n")).collect::<String>().into_bytes();
    for (damaged, compiled) in
        [(Vec::new(), 3), (whole[..whole.len() / 2].to_vec(), 3), (vec![0xff; 100], 3), (lost, 1)]
    {
        fs::write(&path, damaged).unwrap();
        assert_eq!(start(Settings::default(), folder.path()), (compiled, None));
        assert_eq!(fs::read(&path).unwrap(), whole);
        assert_eq!(start(Settings::default(), folder.path()), (0, None));
    }
    assert_eq!(files(folder.path()).len(), 1, "nothing else is left behind");
}

#[test]
fn a_folder_that_cannot_be_used_costs_only_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a file");
    fs::write(&file, "").unwrap();
    let (compiled, problem) = start(Settings::default(), &file.join("below"));
    assert_eq!(compiled, 3);
    assert!(problem.as_deref().is_some_and(|problem| problem.contains("a file")), "{problem:?}");
}

#[test]
fn the_users_folder_is_the_systems() {
    let world = World::enter(Settings { caches: "/Users/me/Caches".into(), ..Settings::default() });
    assert_eq!(user_cache().unwrap(), Path::new("/Users/me/Caches/tessera/metal"));
    clean(&world);
}

/// Builds the kernels, some of which are embedded: texts compiled at run time, and what was wrong.
fn build(embedded: Embedded) -> (u64, Vec<String>) {
    let world = World::enter(Settings::default());
    world.know(&programs());
    let mut metal = Metal::open(None, Some(embedded), &MetalOptions::default()).unwrap();
    let pipelines = metal.build(&programs()).unwrap();
    assert_eq!(pipelines.len(), 3);
    let told = (world.texts(), metal.problems().to_vec());
    drop((pipelines, metal));
    clean(&world);
    told
}

#[test]
fn embedded_kernels_are_not_compiled_again() {
    let text = |count: usize| -> &'static str {
        let kernels: String = programs()[..count].iter().map(print::metal).collect();
        format!("{}{kernels}", print::metal_prelude()).leak()
    };
    let library = |text: &str| -> &'static [u8] { format!("{METALLIB}{text}").leak().as_bytes() };
    let all = Embedded { text: text(3), library: library(text(3)) };
    assert_eq!(build(all), (0, vec![]));
    let some = Embedded { text: text(2), library: library(text(2)) };
    assert_eq!(build(some), (1, vec![]));
    // of an older version of the kernels
    let old = text(3).replace("const", "const ").leak();
    assert_eq!(build(Embedded { text: old, library: library(text(3)) }), (1, vec![]));
    let (texts, problems) = build(Embedded { text: text(3), library: b"damaged" });
    assert_eq!(texts, 1);
    assert!(problems.len() == 1 && problems[0].contains("not a library"), "{problems:?}");
}
