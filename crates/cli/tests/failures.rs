//! What goes wrong goes wrong with one clear line, the right status and no panic.

mod common;

use common::World;

#[test]
fn models_that_are_not_there() {
    let world = World::new();
    let error = world.run(&["run", "./nope.gguf", "hi"]).failure(1);
    assert!(error.contains("nope.gguf does not exist") && error.contains("hint: "), "{error}");
    let error = world.run(&["run", "smolm2", "hi"]).failure(1);
    assert!(error.contains("did you mean smollm2"), "{error}");
    let error = world.run(&["run", "org/repo", "hi"]).failure(1);
    assert!(error.contains("offline"), "{error}");
    let error = world.run(&["show", "smollm2"]).failure(1);
    assert!(
        error.contains("not on this machine") && error.contains("tessera pull smollm2"),
        "{error}"
    );
    let error = world.run(&["rm", "smollm2", "--yes"]).failure(1);
    assert!(error.contains("not on this machine"), "{error}");
}

#[test]
fn files_that_are_broken() {
    let world = World::new();
    let whole = std::fs::read(world.path("tiny.gguf")).expect("written");
    let mut files = vec![
        world.write("empty.gguf", b""),
        world.write("text.gguf", b"this is no model"),
        world.write("magic.gguf", b"GGUF\x03\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"),
    ];
    for part in [10, 100, 2000, whole.len() / 2, whole.len() - 1] {
        files.push(world.write(&format!("cut{part}.gguf"), &whole[..part]));
    }
    for file in files {
        for args in [
            &["run", &file, "hi"][..],
            &["show", &file],
            &["inspect", &file],
            &["tokenize", &file, "hi"],
            &["bench", &file],
        ] {
            let error = world.run(args).failure(1);
            assert!(error.contains(&file), "{args:?}: {error}");
        }
    }
    let error = world.run(&["run", ".", "hi"]);
    assert_eq!(error.code, Some(1), "a folder with several models: {error:?}");
}

#[test]
fn command_lines_that_are_wrong() {
    let world = World::new();
    let model = world.model();
    for args in [
        &["run", &model, "hi", "--temperature", "hot"][..],
        &["run", &model, "hi", "--top-p", "2"],
        &["run", &model, "hi", "--isa", "mmx"],
        &["run", &model, "hi", "--no-template", "--system", "x"],
        &["fly"],
        &[],
        &["rm", "smollm2"],
        &["rm"],
        &["list", "--quiet", "--verbose"],
        &["inspect", &model, "--ids", "1,x"],
        &["perplexity", &model, "--stride", "9", "--window", "8"],
        &["bench", "two words"],
    ] {
        let ended = world.run(args);
        assert_eq!(ended.code, Some(2), "{args:?}: {ended:?}");
        assert!(ended.out.is_empty() && !ended.err.is_empty(), "{args:?}: {ended:?}");
    }
}

#[test]
fn texts_that_are_none() {
    let world = World::new();
    let model = world.model();
    let file = world.write("latin1.txt", b"caf\xe9");
    let error = world.run(&["perplexity", &model, &file]).failure(1);
    assert!(error.contains("not UTF-8") && error.contains("byte 3"), "{error}");
    let error = world.run(&["perplexity", &model, "none.txt"]).failure(1);
    assert!(error.contains("none.txt"), "{error}");
    let error = world.run(&["inspect", &model, "--ids", "99999"]).failure(1);
    assert!(error.contains("99999") && error.contains("260"), "{error}");
}

#[test]
fn an_empty_cache_is_an_empty_list() {
    let world = World::new();
    let ended = world.run(&["list"]);
    assert!(ended.err.contains("no models yet"), "{ended:?}");
    assert_eq!(ended.success(), "");
    assert_eq!(world.run(&["list", "--json"]).json(), serde_json::json!([]));
    let all = world.run(&["list", "--all", "--json"]).json();
    assert!(all.as_array().expect("list").iter().any(|it| it["name"] == "smollm2"), "{all}");
    assert!(world.run(&["list", "--all"]).success().contains("not downloaded"));
}
