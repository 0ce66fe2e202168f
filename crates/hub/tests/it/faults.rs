//! Downloads that go wrong, each in its own way.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tessera_hub::{Error, FreeSpace, Token};

use crate::{
    fake_hub::sha256,
    support::{Bench, nobody, noise, start},
};

fn blob(bench: &Bench, bytes: &[u8]) -> PathBuf {
    let blobs = bench.home.path().join("huggingface/hub/models--org--gguf/blobs");
    blobs.join(sha256(bytes))
}

fn unfinished(bench: &Bench, bytes: &[u8]) -> PathBuf {
    let mut name = blob(bench, bytes).into_os_string();
    name.push(".incomplete");
    PathBuf::from(name)
}

#[tokio::test]
async fn a_cut_is_resumed_within_the_run() {
    let fake = start(|it| it.cut = Some((100_000, 2)));
    let bench = Bench::new(&fake.url);
    let model = bench.resolve("org/gguf:Q8_0").await.expect("third time lucky");
    assert_eq!(fs::read(&model.path).expect("read"), noise(2, 700_000));
    let ranges: Vec<_> = fake.storage_log().into_iter().map(|it| it.range).collect();
    let expected = [None, Some("bytes=100000-".to_owned()), Some("bytes=200000-".to_owned())];
    assert_eq!(ranges, expected);
}

#[tokio::test]
async fn a_line_that_keeps_breaking_is_an_error_and_the_next_run_resumes() {
    let fake = start(|it| it.cut = Some((50_000, 4)));
    let bench = Bench::new(&fake.url);
    let error = bench.resolve("org/gguf:Q8_0").await.expect_err("four cuts");
    let Error::Interrupted { done, total, .. } = &error else { panic!("{error}") };
    assert_eq!((*done, *total), (200_000, 700_000));
    assert_eq!(fs::metadata(unfinished(&bench, &noise(2, 700_000))).expect("kept").len(), 200_000);
    let model = bench.resolve("org/gguf:Q8_0").await.expect("resumed");
    assert_eq!(fs::read(&model.path).expect("read"), noise(2, 700_000));
    let last = fake.storage_log().pop().expect("a request");
    assert_eq!(last.range.as_deref(), Some("bytes=200000-"));
    assert!(!unfinished(&bench, &noise(2, 700_000)).exists());
}

#[tokio::test]
async fn storage_that_ignores_ranges_is_taken_from_the_start() {
    let fake = start(|it| (it.cut, it.ignore_range) = (Some((100_000, 1)), true));
    let bench = Bench::new(&fake.url);
    let model = bench.resolve("org/gguf:Q8_0").await.expect("downloaded");
    assert_eq!(fs::read(&model.path).expect("read"), noise(2, 700_000));
}

#[tokio::test]
async fn a_cancelled_download_keeps_what_came() {
    let fake = start(|it| it.delay = Duration::from_millis(20));
    let bench = Bench::new(&fake.url);
    let bytes = noise(9, 4 << 20);
    fake.behaviour().repos.get_mut("org/gguf").expect("there").insert("big.gguf".into(), bytes);
    let partial = unfinished(&bench, &noise(9, 4 << 20));
    let size = || fs::metadata(&partial).map_or(0, |it| it.len());
    bench.resolve_until("org/gguf:big.gguf", || size() > 0).await;
    // A write that was under way ends after the future is gone, still under the lock.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let kept = size();
    assert!((1 << 20..4 << 20).contains(&kept), "{kept}");
    fake.behaviour().delay = Duration::ZERO;
    let model = bench.resolve("org/gguf:big.gguf").await.expect("resumed");
    assert_eq!(fs::read(&model.path).expect("read"), noise(9, 4 << 20));
    let last = fake.storage_log().pop().expect("a request");
    assert_eq!(last.range, Some(format!("bytes={kept}-")));
}

#[tokio::test]
async fn wrong_bytes_are_deleted_and_both_digests_named() {
    let fake = start(|it| it.corrupt = true);
    let bench = Bench::new(&fake.url);
    let error = bench.resolve("org/gguf:Q4_0").await.expect_err("corrupt");
    let Error::WrongHash { expected, actual, .. } = &error else { panic!("{error}") };
    assert!(expected.ends_with(&sha256(&noise(1, 300_000))));
    assert_ne!(expected, actual);
    assert!(!blob(&bench, &noise(1, 300_000)).exists());
    assert!(!unfinished(&bench, &noise(1, 300_000)).exists());
    let refs = bench.home.path().join("huggingface/hub/models--org--gguf/refs/main");
    assert!(!refs.exists(), "no reference to what is not there");
}

#[tokio::test]
async fn a_partial_file_of_other_bytes_does_not_survive() {
    let fake = start(|_| {});
    let bench = Bench::new(&fake.url);
    let bytes = noise(1, 300_000);
    fs::create_dir_all(blob(&bench, &bytes).parent().expect("folder")).expect("created");
    fs::write(unfinished(&bench, &bytes), vec![7; 1000]).expect("written");
    let error = bench.resolve("org/gguf:Q4_0").await.expect_err("the start is wrong");
    assert!(matches!(error, Error::WrongHash { .. }), "{error}");
    bench.resolve("org/gguf:Q4_0").await.expect("the next run starts afresh");
}

#[tokio::test]
async fn permission_is_asked_for() {
    let fake = start(|it| it.token = Some("secret"));
    let error = Bench::new(&fake.url).resolve("org/gguf:Q4_0").await.expect_err("no token");
    assert!(matches!(error, Error::Unauthorized { status: 401, had_token: false, .. }));
    assert!(error.to_string().contains("HF_TOKEN"), "{error}");
    let bench = Bench::with(&fake.url, |it| it.token = Token::new("wrong"));
    let error = bench.resolve("org/gguf:Q4_0").await.expect_err("a wrong token");
    assert!(matches!(error, Error::Unauthorized { status: 403, had_token: true, .. }));
    assert!(!error.to_string().contains("wrong"), "the token is not printed: {error}");
}

#[tokio::test]
async fn a_hidden_repository_may_be_missing_or_private() {
    let fake = start(|it| it.hide_missing = true);
    let error = Bench::new(&fake.url).resolve("org/nothing").await.expect_err("hidden");
    assert!(matches!(error, Error::Unauthorized { maybe_missing: true, .. }), "{error}");
    assert!(error.to_string().contains("does not exist or is private"), "{error}");
    let bench = Bench::with(&fake.url, |it| it.token = Token::new("good"));
    let error = bench.resolve("org/nothing").await.expect_err("missing");
    assert!(matches!(error, Error::NotFound { .. }), "with a token it is plain: {error}");
}

#[tokio::test]
async fn what_does_not_exist_is_named() {
    let fake = start(|_| {});
    let bench = Bench::new(&fake.url);
    for (name, part) in [("org/nothing", "org/nothing@main"), ("org/gguf@v9", "org/gguf@v9")] {
        let error = bench.resolve(name).await.expect_err("missing");
        let Error::NotFound { what } = &error else { panic!("{error}") };
        assert_eq!(what, part);
    }
    let error = bench.resolve("org/gguf").await.expect_err("two packings");
    assert!(
        matches!(&error, Error::Ambiguous { choices, .. } if *choices == ["Q4_0", "Q8_0"]),
        "{error}"
    );
    let error = bench.resolve("org/gguf:Q2_K").await.expect_err("no such packing");
    assert!(error.to_string().contains("Q4_0, Q8_0"), "{error}");
}

#[tokio::test]
async fn an_unreachable_hub_is_told_fast() {
    let bench = Bench::new(&nobody());
    let start = Instant::now();
    let error = bench.resolve("org/gguf:Q4_0").await.expect_err("nobody there");
    assert!(matches!(error, Error::Unreachable { .. }) && error.is_connectivity(), "{error}");
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    let bench = Bench::with(&nobody(), |it| it.offline = true);
    let error = bench.resolve("org/gguf:Q4_0").await.expect_err("offline");
    assert!(matches!(error, Error::Offline { .. }), "{error}");
}

#[tokio::test]
async fn redirects_must_end() {
    let fake = start(|it| it.redirect_loop = true);
    let error = Bench::new(&fake.url).resolve("org/gguf:Q4_0").await.expect_err("a loop");
    assert!(matches!(error, Error::RedirectLoop { .. }), "{error}");
    assert!(fake.storage_log().len() <= 11);
}

#[tokio::test]
async fn server_errors_are_typed() {
    let fake = start(|it| it.status = Some(503));
    let error = Bench::new(&fake.url).resolve("org/gguf:Q4_0").await.expect_err("busy");
    assert!(matches!(error, Error::Status { status: 503, .. }) && error.is_connectivity());
}

#[tokio::test]
async fn hostile_listings_write_nothing() {
    let fake = start(|it| {
        let files = it.repos.get_mut("org/gguf").expect("there");
        files.insert("../../../../escape.gguf".to_owned(), noise(8, 2000));
    });
    let bench = Bench::new(&fake.url);
    let error = bench.resolve("org/gguf:Q4_0").await.expect_err("unsafe");
    assert!(
        matches!(&error, Error::BadReply { reason, .. } if reason.contains("escape")),
        "{error}"
    );
    assert_eq!(fs::read_dir(bench.home.path()).expect("listed").count(), 0);
}

/// A disk with little room.
#[derive(Debug)]
struct Tiny(u64);

impl FreeSpace for Tiny {
    fn available(&self, _: &Path) -> io::Result<u64> {
        Ok(self.0)
    }
}

#[tokio::test]
async fn a_full_disk_is_found_out_before_the_first_byte() {
    let fake = start(|_| {});
    let bench = Bench::with(&fake.url, |it| it.free_space = Arc::new(Tiny(299_999)));
    let error = bench.resolve("org/gguf:Q4_0").await.expect_err("one byte short");
    let Error::DiskFull { needed, available, .. } = &error else { panic!("{error}") };
    assert_eq!((*needed, *available), (300_000, 299_999));
    assert!(fake.storage_log().is_empty());
    let bench = Bench::with(&fake.url, |it| it.free_space = Arc::new(Tiny(300_000)));
    bench.resolve("org/gguf:Q4_0").await.expect("it just fits");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_disk_that_fills_up_meanwhile_is_the_same_error() {
    let fake = start(|_| {});
    let bench = Bench::new(&fake.url);
    let bytes = noise(1, 300_000);
    fs::create_dir_all(blob(&bench, &bytes).parent().expect("folder")).expect("created");
    // Every write to this device answers "no space left".
    std::os::unix::fs::symlink("/dev/full", unfinished(&bench, &bytes)).expect("linked");
    let error = bench.resolve("org/gguf:Q4_0").await.expect_err("full");
    assert!(matches!(error, Error::DiskFull { needed: 300_000, .. }), "{error}");
}
