//! Two at once: tasks of one process, and two processes.

use std::{
    fs::{self, File},
    process::{Command, Stdio},
    time::Duration,
};

use tessera_hub::{Error, Event, Hub, Name};

use crate::support::{Bench, noise, options, start};

const CHILD: &str = "TESSERA_HUB_TEST_CHILD";

#[tokio::test]
async fn two_tasks_fetch_once() {
    let fake = start(|it| it.delay = Duration::from_millis(100));
    let bench = Bench::new(&fake.url);
    let both = tokio::join!(bench.resolve("org/gguf:Q8_0"), bench.resolve("org/gguf:Q8_0"));
    let (first, second) = (both.0.expect("one"), both.1.expect("two"));
    assert_eq!(first, second);
    assert_eq!(fake.storage_log().len(), 1, "the second waited for the first");
    let waiting = Event::Waiting { file: "model-Q8_0.gguf".to_owned() };
    assert!(bench.events().contains(&waiting));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_fetch_once() {
    let fake = start(|it| it.delay = Duration::from_millis(20));
    let bench = Bench::new(&fake.url);
    let child = || {
        Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "processes::child_process", "--nocapture"])
            .env(CHILD, format!("{}\n{}", bench.home.path().display(), fake.url))
            .stdout(Stdio::null())
            .spawn()
            .expect("started")
    };
    let mut children = [child(), child()];
    for child in &mut children {
        let status = tokio::task::block_in_place(|| child.wait()).expect("ended");
        assert!(status.success(), "{status}");
    }
    assert_eq!(fake.storage_log().len(), 1, "one process fetched, the other waited");
    let model = bench.resolve("org/gguf:Q8_0").await.expect("there");
    assert_eq!(fs::read(&model.path).expect("read"), noise(2, 700_000));
}

/// Run by [`two_processes_fetch_once`] in a process of its own; on its own it does nothing.
#[tokio::test]
async fn child_process() {
    let Ok(order) = std::env::var(CHILD) else { return };
    let (home, endpoint) = order.split_once('\n').expect("two lines");
    let hub = Hub::new(options(home.as_ref(), endpoint));
    let name = Name::parse("org/gguf:Q8_0").expect("a Hub id");
    let model = hub.resolve(&name, &|_| {}).await.expect("downloaded");
    assert_eq!(fs::read(&model.path).expect("read"), noise(2, 700_000));
}

#[tokio::test]
async fn a_lock_that_is_never_freed_is_an_error() {
    let fake = start(|_| {});
    let bench = Bench::with(&fake.url, |it| it.lock_wait = Duration::from_millis(200));
    let locks = bench.home.path().join("huggingface/hub/.locks/models--org--gguf");
    fs::create_dir_all(&locks).expect("created");
    let hash = crate::fake_hub::sha256(&noise(1, 300_000));
    let lock = File::create(locks.join(format!("{hash}.lock"))).expect("created");
    lock.lock().expect("locked");
    let error = bench.resolve("org/gguf:Q4_0").await.expect_err("held");
    assert!(
        matches!(&error, Error::Locked { waited, .. } if *waited >= Duration::from_millis(200))
    );
    assert!(error.to_string().contains(&hash), "{error}");
    drop(lock);
    bench.resolve("org/gguf:Q4_0").await.expect("free again");
}
