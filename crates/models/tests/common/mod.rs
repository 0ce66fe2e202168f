//! Fixtures: tiny random checkpoints with the logits that the reference implementation gives.
#![allow(dead_code)] // each test uses its part

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tessera_formats::{Checkpoint, Tensor, safetensors};
use tessera_graph::{Backend, Graph, KvType, Limits, Weights, oracle::Oracle, testing};
use tessera_models::{Bound, BuildOptions, open};

/// The folder of all fixtures.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// A checkpoint assembled from a family's weights and a case's configuration. The folder lives as
/// long as it does.
pub struct Case {
    pub folder: TempDir,
}

impl Case {
    /// `case` is `family/case`, or a folder that holds everything.
    pub fn new(case: &str) -> Self {
        let (folder, from) = (TempDir::new().unwrap(), fixtures().join(case));
        for source in [from.parent().unwrap(), &from] {
            for entry in std::fs::read_dir(source).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap();
                if path.is_file() && !name.starts_with("golden") && !name.ends_with(".gguf") {
                    std::fs::copy(&path, folder.path().join(name)).unwrap();
                }
            }
        }
        Self { folder }
    }

    /// The same with fields of `config.json` set (or, to `null`, unset).
    pub fn with(self, fields: serde_json::Value) -> Self {
        let path = self.folder.path().join("config.json");
        let mut config: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        for (key, value) in fields.as_object().unwrap() {
            config[key] = value.clone();
        }
        std::fs::write(&path, config.to_string()).unwrap();
        self
    }

    /// The same with its tensors changed.
    pub fn with_tensors(self, edit: impl FnOnce(&mut Vec<Tensor>)) -> Self {
        let path = self.folder.path().join("model.safetensors");
        let mut tensors = safetensors::File::open(&path).unwrap().tensors;
        edit(&mut tensors);
        // To another file first: the tensors are mapped from this one.
        let new = path.with_extension("new");
        safetensors::write(&new, &tensors, &[("format", "pt")]).unwrap();
        std::fs::rename(new, path).unwrap();
        self
    }

    pub fn open(&self, context: Option<usize>) -> tessera_models::Result<Bound> {
        open(&Checkpoint::open(self.folder.path()).unwrap(), &BuildOptions { context })
    }
}

/// A golden's sequences and their logits.
pub struct Golden {
    pub tokens: Vec<Vec<u32>>,
    pub logits: Vec<Vec<f32>>,
}

impl Golden {
    pub fn read(path: &Path) -> Self {
        let file = safetensors::File::open(path).unwrap();
        let find = |name: &str| file.tensors.iter().find(|t| t.name == name).cloned();
        let words = |t: Tensor| -> Vec<[u8; 4]> {
            t.bytes.chunks_exact(4).map(|b| b.try_into().unwrap()).collect()
        };
        let (mut tokens, mut logits) = (Vec::new(), Vec::new());
        for i in 0.. {
            let Some(ids) = find(&format!("tokens.{i}")) else { break };
            tokens.push(words(ids).into_iter().map(u32::from_le_bytes).collect());
            let rows = find(&format!("logits.{i}")).unwrap();
            logits.push(words(rows).into_iter().map(f32::from_le_bytes).collect());
        }
        assert!(!tokens.is_empty());
        Self { tokens, logits }
    }
}

/// Limits that fit every fixture.
pub const LIMITS: Limits =
    Limits { tokens: 128, outputs: 128, runs: 4, context: 128, kv: KvType::F32 };

/// Logits of `sequences` on the oracle.
pub fn logits(
    graph: &Graph,
    weights: &Weights,
    sequences: &[Vec<u32>],
    cuts: &[usize],
) -> Vec<Vec<f32>> {
    let mut exe = Oracle.compile(graph, weights.clone(), &LIMITS, &mut |_, _| {}).unwrap();
    let sequences: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
    testing::run_logits(exe.as_mut(), graph, &sequences, cuts)
}

/// Largest difference of two lists of logits.
pub fn max_error(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    assert_eq!(a.len(), b.len());
    let pairs = a.iter().zip(b).flat_map(|(a, b)| {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b)
    });
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, |m, d| if d.is_nan() { f32::NAN } else { m.max(d) })
}
