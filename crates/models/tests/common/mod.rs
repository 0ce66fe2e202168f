//! Fixtures: tiny random checkpoints with the logits that the reference implementation gives.
#![allow(dead_code)] // each test uses its part

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tessera_formats::{Checkpoint, Config, Tensor, safetensors};
use tessera_graph::{Backend, Graph, KvType, Limits, Weights, oracle::Oracle, testing};
use tessera_models::{Bound, BuildOptions, open};

/// The folder of all fixtures.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// All `family/case` folders with a golden.
pub fn cases() -> Vec<String> {
    let mut cases = Vec::new();
    for family in std::fs::read_dir(fixtures()).unwrap() {
        let family = family.unwrap();
        for case in std::fs::read_dir(family.path()).unwrap() {
            let case = case.unwrap();
            if case.path().join("golden.safetensors").exists() {
                let [family, case] = [&family, &case].map(|f| f.file_name().into_string().unwrap());
                cases.push(format!("{family}/{case}"));
            }
        }
    }
    cases.sort();
    assert!(cases.len() > 30, "fixtures are missing: {cases:?}");
    cases
}

/// A configuration; some have Python's `Infinity`, which is tagged here.
pub fn json(path: &Path) -> serde_json::Value {
    Config::open(path).unwrap().raw().clone().into()
}

/// A checkpoint assembled from a family's weights and a case's configuration. The folder lives as
/// long as it does.
pub struct Case {
    pub name: String,
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
        Self { name: case.into(), folder }
    }

    /// The GGUF file of a case.
    pub fn gguf(case: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let file = fixtures().join(case).join("model.gguf");
        std::fs::copy(file, folder.path().join("model.gguf")).unwrap();
        Self { name: format!("{case}, GGUF"), folder }
    }

    /// A case in every format it is there in.
    pub fn stored(case: &str) -> Vec<Self> {
        let from = fixtures().join(case);
        let mut all = Vec::new();
        if from.join("config.json").exists() {
            all.push(Self::new(case));
        }
        if from.join("model.gguf").exists() {
            all.push(Self::gguf(case));
        }
        assert!(!all.is_empty(), "{case} has no files");
        all
    }

    /// The same with fields of `config.json` set (or, to `null`, unset).
    pub fn with(self, fields: serde_json::Value) -> Self {
        let path = self.folder.path().join("config.json");
        let mut config = json(&path);
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
    /// The golden of a case.
    pub fn of(case: &str) -> Self {
        Self::read(&fixtures().join(case).join("golden.safetensors"))
    }

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
    Limits { tokens: 256, outputs: 256, runs: 4, context: 256, kv: KvType::F32 };

/// What runs a model, and how it remembers.
#[derive(Clone, Copy)]
pub struct Runner<'a> {
    pub backend: &'a dyn Backend,
    pub kv: KvType,
}

impl Runner<'_> {
    /// Logits of `sequences`, which are fed together, in chunks of `cuts`.
    pub fn logits(
        &self,
        graph: &Graph,
        weights: &Weights,
        sequences: &[Vec<u32>],
        cuts: &[usize],
    ) -> Vec<Vec<f32>> {
        let limits = Limits { kv: self.kv, ..LIMITS };
        let mut exe = self
            .backend
            .compile(graph, weights.clone(), &limits, &mut tessera_graph::unwatched)
            .unwrap();
        let sequences: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
        testing::run_logits(exe.as_mut(), graph, &sequences, cuts)
    }

    /// Logits of a golden's sequences. A long-rope model is opened for each sequence's length, as
    /// the reference chooses its frequencies by it.
    pub fn golden(&self, case: &Case, golden: &Golden) -> Vec<Vec<f32>> {
        let open = |context| case.open(context).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        if !case.name.contains("longrope") {
            let model = open(None);
            return self.logits(&model.graph, &model.weights, &golden.tokens, &[]);
        }
        let alone = |tokens: &Vec<u32>| {
            let model = open(Some(tokens.len()));
            self.logits(&model.graph, &model.weights, std::slice::from_ref(tokens), &[]).remove(0)
        };
        golden.tokens.iter().map(alone).collect()
    }
}

/// The oracle.
pub const ORACLE: Runner<'static> = Runner { backend: &Oracle, kv: KvType::F32 };

/// Logits of `sequences` on the oracle.
pub fn logits(
    graph: &Graph,
    weights: &Weights,
    sequences: &[Vec<u32>],
    cuts: &[usize],
) -> Vec<Vec<f32>> {
    ORACLE.logits(graph, weights, sequences, cuts)
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

/// Largest difference, as a part of the largest expected logit.
pub fn relative_error(found: &[Vec<f32>], expected: &[Vec<f32>]) -> f32 {
    let largest = expected.iter().flatten().fold(0.0f32, |most, x| most.max(x.abs()));
    max_error(found, expected) / largest
}

/// The largest difference in the best `part` of all rows, as a part of the largest expected logit.
pub fn row_error(found: &[Vec<f32>], expected: &[Vec<f32>], vocab: usize, part: f64) -> f32 {
    let largest = expected.iter().flatten().fold(0.0f32, |most, x| most.max(x.abs()));
    let rows = |logits: &[Vec<f32>]| -> Vec<Vec<f32>> {
        logits.iter().flat_map(|rows| rows.chunks_exact(vocab)).map(<[f32]>::to_vec).collect()
    };
    let (found, expected) = (rows(found), rows(expected));
    assert_eq!(found.len(), expected.len());
    let difference = |(a, b): (Vec<f32>, Vec<f32>)| max_error(&[a], &[b]) / largest;
    let mut errors: Vec<f32> = found.into_iter().zip(expected).map(difference).collect();
    errors.sort_by(f32::total_cmp);
    errors[((errors.len() as f64 * part).ceil() as usize).clamp(1, errors.len()) - 1]
}
