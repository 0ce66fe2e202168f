//! What the tests share: a hub in a temporary folder, repositories, and recorded events.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use tempfile::TempDir;
use tessera_hub::{Event, Hub, HubOptions, Resolved, Result};

use crate::fake_hub::{Behaviour, FakeHub};

/// A hub with its own caches.
pub struct Bench {
    pub home: TempDir,
    pub hub: Hub,
    events: Mutex<Vec<Event>>,
}

impl Bench {
    pub fn new(endpoint: &str) -> Self {
        Self::with(endpoint, |_| {})
    }

    pub fn with(endpoint: &str, change: impl FnOnce(&mut HubOptions)) -> Self {
        let home = tempfile::tempdir().expect("temporary folder");
        let mut options = options(home.path(), endpoint);
        change(&mut options);
        Self { home, hub: Hub::new(options), events: Mutex::default() }
    }

    pub async fn resolve(&self, name: &str) -> Result<Resolved> {
        let name = self.hub.parse(name)?;
        self.hub.resolve(&name, &|event| self.events.lock().expect("sound").push(event)).await
    }

    /// Resolves until a condition holds, then drops the work. Panics if the work ends first.
    pub async fn resolve_until(&self, name: &str, condition: impl Fn() -> bool) {
        let watch = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            outcome = self.resolve(name) => panic!("it ended: {outcome:?}"),
            () = watch => {}
        }
    }

    /// Takes the events so far.
    pub fn events(&self) -> Vec<Event> {
        std::mem::take(&mut self.events.lock().expect("sound"))
    }
}

/// Settings that cannot reach anything but `endpoint`.
pub fn options(home: &std::path::Path, endpoint: &str) -> HubOptions {
    let mut options = HubOptions::new(home);
    options.endpoint = endpoint.to_owned();
    options.python = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fake-python.sh").into();
    options.read_timeout = Duration::from_secs(5);
    options.retry_pause = Duration::from_millis(2);
    options
}

/// An address where nobody listens.
pub fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    format!("http://{}", listener.local_addr().expect("bound"))
}

/// Bytes that differ everywhere, so that a misplaced piece is noticed.
pub fn noise(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).max(1);
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..length).map(step).collect()
}

/// A Hub with `org/gguf` (two packings), `org/dense` (two shards) and nothing wrong.
pub fn stocked() -> Behaviour {
    let gguf = [
        ("README.md", b"# model".to_vec()),
        ("model-Q4_0.gguf", noise(1, 300_000)),
        ("model-Q8_0.gguf", noise(2, 700_000)),
    ];
    let index = br#"{"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}"#;
    let dense = [
        ("config.json", b"{\"model_type\":\"llama\"}".to_vec()),
        ("tokenizer.json", noise(3, 5000)),
        ("chat_template.jinja", b"{{ messages }}".to_vec()),
        ("model.safetensors.index.json", index.to_vec()),
        ("model-00001-of-00002.safetensors", noise(4, 200_000)),
        ("model-00002-of-00002.safetensors", noise(5, 100_000)),
        ("pytorch_model.bin", noise(6, 2000)),
        ("onnx/model.onnx", noise(7, 2000)),
    ];
    let named = |files: Vec<(&str, Vec<u8>)>| -> BTreeMap<String, Vec<u8>> {
        files.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect()
    };
    let repos = [("org/gguf", named(gguf.into())), ("org/dense", named(dense.into()))];
    let repos = repos.into_iter().map(|(name, files)| (name.to_owned(), files)).collect();
    Behaviour { repos, ..Behaviour::default() }
}

pub fn start(change: impl FnOnce(&mut Behaviour)) -> FakeHub {
    let mut behaviour = stocked();
    change(&mut behaviour);
    FakeHub::start(behaviour)
}
