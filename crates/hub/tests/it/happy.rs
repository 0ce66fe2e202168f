//! Downloads that go well, and the cache they leave behind.

use std::fs;

use tessera_hub::{Event, Source};

use crate::{
    fake_hub::{COMMIT, sha256},
    support::{Bench, nobody, noise, options, start},
};

#[tokio::test]
async fn one_gguf_lands_in_pythons_layout() {
    let fake = start(|_| {});
    let bench = Bench::new(&fake.url);
    let model = bench.resolve("org/gguf:Q4_0").await.expect("downloaded");
    let root = bench.home.path().join("huggingface/hub/models--org--gguf");
    let snapshot = root.join("snapshots").join(COMMIT);
    assert_eq!(model.path, snapshot.join("model-Q4_0.gguf"));
    assert_eq!(model.files.as_slice(), std::slice::from_ref(&model.path));
    assert_eq!(model.bytes, 300_000);
    assert_eq!(model.licence.as_deref(), Some("apache-2.0"));
    assert_eq!(model.source, Source::Hub { repo: "org/gguf".to_owned() });
    assert_eq!(fs::read(&model.path).expect("read"), noise(1, 300_000));
    let hash = sha256(&noise(1, 300_000));
    let link = fs::read_link(&model.path).expect("a link");
    assert_eq!(link.to_str(), Some(format!("../../blobs/{hash}").as_str()));
    assert_eq!(fs::read_to_string(root.join("refs/main")).expect("a reference"), COMMIT);
    assert_eq!(fs::read_dir(root.join("blobs")).expect("blobs").count(), 1, "nothing else came");

    let events = bench.events();
    assert!(matches!(events.first(), Some(Event::Resolving { .. })));
    assert!(matches!(events.last(), Some(Event::Ready { bytes: 300_000, .. })));
    assert!(events.contains(&Event::Planned { files: 1, bytes: 300_000, present: 0 }));
    assert!(events.contains(&Event::Verifying { file: "model-Q4_0.gguf".to_owned() }));
    let ends =
        |it: &Event| matches!(it, Event::Downloading { done: 300_000, total: Some(300_000), .. });
    assert!(events.iter().any(ends), "{events:?}");
}

#[tokio::test]
async fn an_index_brings_exactly_its_shards() {
    for bare in [false, true] {
        let fake = start(|it| it.bare_listing = bare);
        let bench = Bench::new(&fake.url);
        let model = bench.resolve("org/dense@v1").await.expect("downloaded");
        assert!(model.path.is_dir());
        let names: Vec<_> = model.files.iter().map(|it| it.file_name().expect("name")).collect();
        let expected = [
            "chat_template.jinja",
            "config.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
            "tokenizer.json",
        ];
        assert_eq!(names, expected);
        assert_eq!(fs::read(&model.files[2]).expect("read"), noise(4, 200_000));
        let heads = fake.log().iter().filter(|it| it.method == "HEAD").count();
        assert_eq!(heads > 0, bare, "sizes come from the listing where it has them");
    }
}

#[tokio::test]
async fn what_is_here_is_not_fetched_again() {
    let fake = start(|_| {});
    let bench = Bench::new(&fake.url);
    bench.resolve("org/dense").await.expect("downloaded");
    let before = fake.log().len();
    bench.resolve("org/dense").await.expect("present");
    assert_eq!(fake.log().len(), before + 1, "only the listing is asked for");
    bench.resolve(&format!("org/dense@{COMMIT}")).await.expect("present");
    assert_eq!(fake.log().len(), before + 1, "a commit cannot change: nothing is asked");
    bench.resolve("org/dense@refs/pr/1").await.expect("the same commit");
    let path = fake.log().last().expect("one more").path.clone();
    assert!(path.contains("/revision/refs%2Fpr%2F1"), "{path}");
}

#[tokio::test]
async fn the_token_goes_to_the_hub_and_not_to_storage() {
    let fake = start(|it| it.token = Some("secret"));
    let bench = Bench::with(&fake.url, |it| it.token = tessera_hub::Token::new("secret"));
    bench.resolve("org/gguf:Q8_0").await.expect("downloaded");
    assert!(fake.log().iter().filter(|it| !it.storage).all(|it| it.authorised));
    assert!(!fake.storage_log().is_empty());
    assert!(fake.storage_log().iter().all(|it| !it.authorised), "storage must not see the token");
}

#[tokio::test]
async fn a_cached_model_serves_without_the_hub() {
    let fake = start(|_| {});
    let bench = Bench::new(&fake.url);
    let first = bench.resolve("org/dense").await.expect("downloaded");
    let cut_off = |offline| {
        let mut options = options(bench.home.path(), &nobody());
        options.offline = offline;
        tessera_hub::Hub::new(options)
    };
    let name = tessera_hub::Name::parse("org/dense").expect("a Hub id");
    for offline in [false, true] {
        let events = std::sync::Mutex::new(Vec::new());
        let listener = |event| events.lock().expect("sound").push(event);
        let model = cut_off(offline).resolve(&name, &listener).await.expect("cached");
        assert_eq!(model.files, first.files);
        assert_eq!(model.source, Source::HubCache { repo: "org/dense".to_owned() });
        let told =
            events.lock().expect("sound").iter().any(|it| matches!(it, Event::SourceFailed { .. }));
        assert_eq!(told, !offline, "an unreachable Hub is reported, offline mode does not ask");
    }
    // A snapshot that lacks a shard is not a model.
    fs::remove_file(&first.files[2]).expect("removed");
    let error = cut_off(true).resolve(&name, &|_| {}).await.expect_err("incomplete");
    assert!(matches!(error, tessera_hub::Error::Offline { .. }), "{error}");
}

#[tokio::test]
async fn a_local_path_is_itself() {
    let bench = Bench::new(&nobody());
    let file = bench.home.path().join("model.gguf");
    fs::write(&file, b"1234").expect("written");
    let model = bench.resolve(file.to_str().expect("text")).await.expect("there");
    assert_eq!((model.path, model.bytes, model.source), (file, 4, Source::Path));
    let error = bench.resolve("./no-such.gguf").await.expect_err("not there");
    assert!(matches!(error, tessera_hub::Error::PathMissing { .. }), "{error}");
}

#[test]
fn the_future_can_move_between_threads() {
    fn sendable<T: Send>(_: T) {}
    let bench = Bench::new(&nobody());
    let name = tessera_hub::Name::parse("smollm2").expect("a short name");
    sendable(bench.hub.resolve(&name, &|_| {}));
}
