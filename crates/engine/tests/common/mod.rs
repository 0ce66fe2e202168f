//! A tiny random model, made in memory and run by the oracle.

#![allow(dead_code)] // each test file uses its part

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tessera_engine::{
    BackendChoice, CapabilitySet, Completion, GenerateError, LoadOptions, Model, Parts, Request,
    SamplingOptions, SamplingSource,
};
use tessera_graph::{Activation, Attend, Builder, Graph, GraphError, RmsNorm, RopeSpec, Weights};
use tessera_quant::{Float, Packing, RowOrder, Weight};
use tessera_text::{ChatTemplate, Source, Tokenizer};

pub const VOCAB: usize = 300;
pub const HIDDEN: usize = 32;
pub const WINDOW: usize = 100;
/// Ends an answer.
pub const END: u32 = 299;
pub const TRAINED: usize = 1024;

/// Two layers, the second with a sliding window.
pub fn graph() -> Result<Graph, GraphError> {
    let mut b = Builder::new();
    let table = b.matrix("embed", VOCAB, HIDDEN)?;
    let mut x = b.embed(table, 1.0);
    let frequencies = (0..8).map(|i| 1000f32.powf(-(i as f32) / 8.0)).collect();
    let rope = b.rope_table(RopeSpec { frequencies, scale: 1.0 });
    for (layer, window) in [None, Some(WINDOW)].into_iter().enumerate() {
        b.at(format!("layers.{layer}"));
        let state = b.kv(1, 16, window)?;
        let norm = |b: &mut Builder, name: &str, x| {
            let weight = b.vector(format!("{layer}.{name}"), HIDDEN)?;
            b.rms_norm(x, RmsNorm { weight, eps: 1e-5, offset: 1.0, heads: 1 })
        };
        let linear = |b: &mut Builder, name: &str, x, out, inner| {
            let weight = b.matrix(format!("{layer}.{name}"), out, inner)?;
            b.linear(x, weight, None)
        };
        let h = norm(&mut b, "norm1", x)?;
        let q = linear(&mut b, "q", h, HIDDEN, HIDDEN)?;
        let k = linear(&mut b, "k", h, 16, HIDDEN)?;
        let v = linear(&mut b, "v", h, 16, HIDDEN)?;
        let q = b.rope(q, rope, 2)?;
        let k = b.rope(k, rope, 1)?;
        let a =
            b.attend(q, k, v, Attend { state, heads: 2, scale: 0.25, softcap: None, sinks: None })?;
        let a = linear(&mut b, "o", a, HIDDEN, HIDDEN)?;
        x = b.add(x, a)?;
        let h = norm(&mut b, "norm2", x)?;
        let gate = linear(&mut b, "gate", h, 48, HIDDEN)?;
        let up = linear(&mut b, "up", h, 48, HIDDEN)?;
        let h = b.glu(Activation::Silu, gate, up)?;
        let h = linear(&mut b, "down", h, HIDDEN, 48)?;
        x = b.add(x, h)?;
    }
    let x = b.select(x)?;
    let head = b.matrix("head", VOCAB, HIDDEN)?;
    let logits = b.linear(x, head, None)?;
    b.sample(logits)
}

/// Pseudo-random weights, the same every time.
pub fn weights(graph: &Graph) -> Weights {
    let mut seed = 0x5eed_u64;
    let mut next = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    let weight = |decl: &tessera_graph::WeightDecl| {
        let [rows, cols] = decl.shape;
        let bytes: Vec<u8> = (0..rows * cols).flat_map(|_| (next() * 0.8).to_le_bytes()).collect();
        Weight {
            packing: Packing::Dense(Float::F32),
            rows,
            cols,
            codes: bytes.into(),
            scales: None,
            biases: None,
            order: RowOrder::Plain,
        }
    };
    Weights(graph.weights.iter().map(weight).collect())
}

/// One token for each byte, and a few control tokens at the end.
pub fn tokenizer() -> Tokenizer {
    Tokenizer::from_json(tokenizer_json(VOCAB).to_string().as_bytes(), "test").unwrap()
}

/// A `tokenizer.json` with as many ids as `vocab`: the first of them bytes, control tokens after 256, of
/// which the last three have names.
pub fn tokenizer_json(vocab: usize) -> Value {
    // The byte-level alphabet of GPT-2: printable bytes stand for themselves, others are moved up.
    let mut model = Map::new();
    let mut moved = 256..;
    let mut spellings = (0..256u32).map(|byte| {
        let printable = matches!(byte, 33..=126 | 161..=172 | 174..=255);
        let c = if printable { byte } else { moved.next().unwrap() };
        char::from_u32(c).unwrap().to_string()
    });
    let names = ["<|user|>", "<|assistant|>", "<|end|>"];
    let mut added = Vec::new();
    for id in 0..vocab {
        let name = (id + 3).checked_sub(vocab).filter(|_| vocab > 256).map(|i| names[i].to_owned());
        let content = match spellings.next() {
            Some(spelling) => spelling,
            None => {
                let content = name.unwrap_or_else(|| format!("<|{id}|>"));
                added.push(json!({"id": id, "content": content, "single_word": false,
                    "lstrip": false, "rstrip": false, "normalized": false, "special": true}));
                content
            }
        };
        model.insert(content, id.into());
    }
    json!({
        "version": "1.0",
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
        "post_processor": null,
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": model, "merges": []},
    })
}

const TEMPLATE: &str = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}\
                        {% if add_generation_prompt %}<|assistant|>{% endif %}";

pub fn parts(chat: bool) -> Parts {
    let graph = graph().unwrap();
    let tokenizer = tokenizer();
    let source = Source { name: "default".into(), text: TEMPLATE.into(), origin: "test".into() };
    let template = chat.then(|| ChatTemplate::new(vec![source], &tokenizer).unwrap());
    Parts {
        name: "tiny".into(),
        path: None,
        weights: weights(&graph),
        graph,
        tokenizer,
        template,
        stop_tokens: vec![END],
        sampling: SamplingOptions::default(),
        sampling_source: SamplingSource::Parts,
        trained_context: TRAINED,
        capabilities: CapabilitySet::TEXT,
        details: None,
    }
}

pub fn options() -> LoadOptions {
    LoadOptions {
        backend: BackendChoice::Oracle,
        memory: Some(64 << 20),
        prefill_chunk: 48,
        ..LoadOptions::default()
    }
}

pub fn load(options: LoadOptions) -> Model {
    Model::from_parts(parts(false), options).wait().unwrap()
}

/// Tokens that look like nothing in particular.
pub fn prompt(len: usize, seed: u32) -> Vec<u32> {
    (0..len as u32).map(|i| (i * 7919 + seed * 104_729 + i * i * 31) % 256).collect()
}

/// A request that does not stop by itself.
pub fn request(prompt: Vec<u32>, max_tokens: usize, seed: u64) -> Request {
    Request {
        max_tokens: Some(max_tokens),
        seed: Some(seed),
        ignore_eos: true,
        sampling: SamplingOptions {
            temperature: Some(1.0),
            top_k: Some(0),
            top_p: Some(1.0),
            min_p: Some(0.0),
            repetition_penalty: Some(1.1),
            ..SamplingOptions::default()
        },
        ..Request::tokens(prompt)
    }
}

pub fn ids(completion: &Completion) -> Vec<u32> {
    completion.tokens.iter().map(|token| token.id).collect()
}

/// Waits until nothing runs and checks that nothing is left behind.
pub fn assert_empty(model: &Model) {
    let begun = std::time::Instant::now();
    loop {
        let status = model.status();
        if (status.running, status.waiting, status.live_blocks, status.sessions) == (0, 0, 0, 0) {
            break;
        }
        assert!(begun.elapsed().as_secs() < 20, "left behind: {status:?}");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    model.check_integrity().wait().unwrap();
}

/// A backend that wraps the oracle's and fails when told to.
pub fn custom(
    make: impl Fn() -> Box<dyn tessera_graph::Backend> + Send + Sync + 'static,
) -> BackendChoice {
    BackendChoice::Custom(Arc::new(move || Ok(make())))
}

pub type Outcome = Result<Completion, GenerateError>;
