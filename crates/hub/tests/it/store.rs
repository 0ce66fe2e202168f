//! Listing and removing.

use std::fs::{self, File};

use tessera_hub::{Error, Store};

use crate::support::{Bench, nobody, start};

#[tokio::test]
async fn lists_what_was_fetched_and_removes_it() {
    let fake = start(|_| {});
    let bench = Bench::new(&fake.url);
    assert_eq!(bench.hub.list().expect("no cache yet"), []);
    for name in ["org/gguf:Q4_0", "org/gguf:Q8_0", "org/dense"] {
        bench.resolve(name).await.expect("downloaded");
    }
    let models = bench.hub.list().expect("listed");
    let names: Vec<&str> = models.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["org/dense", "org/gguf"]);
    assert!(models.iter().all(|it| it.usable && it.store == Store::Hub && it.unfinished == 0));
    assert_eq!(models[1].files, ["model-Q4_0.gguf", "model-Q8_0.gguf"]);
    // Two files and the 40 characters of the reference.
    assert_eq!(models[1].bytes, 1_000_040);

    let remove = |name: &str| bench.hub.remove(&bench.hub.parse(name).expect("a name"));
    assert_eq!(remove("org/gguf:Q4_0").expect("removed"), 300_000);
    assert!(matches!(remove("org/gguf:Q4_0"), Err(Error::NotRemovable { .. })));
    assert_eq!(bench.hub.list().expect("listed")[1].files, ["model-Q8_0.gguf"]);
    assert_eq!(remove("org/gguf").expect("removed"), 700_040);
    assert!(matches!(remove("org/gguf"), Err(Error::NotRemovable { .. })));
    remove("org/dense@main").expect("removed");
    assert_eq!(bench.hub.list().expect("listed"), []);
}

#[tokio::test]
async fn unfinished_downloads_are_shown() {
    let fake = start(|it| it.cut = Some((50_000, 4)));
    let bench = Bench::new(&fake.url);
    bench.resolve("org/gguf:Q8_0").await.expect_err("cut");
    let models = bench.hub.list().expect("listed");
    assert_eq!((models[0].unfinished, models[0].usable), (200_000, false));
}

#[tokio::test]
async fn what_is_in_use_or_not_ours_stays() {
    let fake = start(|_| {});
    let bench = Bench::new(&fake.url);
    bench.resolve("org/gguf:Q4_0").await.expect("downloaded");
    let locks = bench.home.path().join("huggingface/hub/.locks/models--org--gguf");
    let lock = fs::read_dir(&locks).expect("locks").flatten().next().expect("one").path();
    let held = File::open(lock).expect("opened");
    held.lock().expect("locked");
    let name = bench.hub.parse("org/gguf").expect("a name");
    assert!(matches!(bench.hub.remove(&name), Err(Error::Locked { .. })));
    drop(held);
    bench.hub.remove(&name).expect("free again");

    let bench = Bench::new(&nobody());
    let path = bench.home.path().join("x.gguf");
    fs::write(&path, b"x").expect("written");
    let name = bench.hub.parse(path.to_str().expect("text")).expect("a path");
    assert!(matches!(bench.hub.remove(&name), Err(Error::NotRemovable { .. })));
    assert!(path.exists());
}
