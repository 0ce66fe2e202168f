//! What a model is, in figures.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tessera_formats::{Checkpoint, Config};
use tessera_graph::{Graph, KvType, StateDecl, Weights, print};

use crate::{Result, blocks::Sizes, source::Source};

/// What `tessera show` tells about a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Info {
    /// The family that built the graph: `llama`, `gemma3`.
    pub family: String,
    /// Weights' elements, each once.
    pub parameters: usize,
    /// Decoder layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Query heads of a layer.
    pub heads: usize,
    /// Key/value heads of a layer.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Elements of a row of logits.
    pub vocab: usize,
    /// Positions the model was trained for.
    pub context: usize,
    /// Packed bytes of all weights.
    pub bytes: usize,
    /// Elements remembered for each token by layers that see all positions.
    pub kv_elements: usize,
    /// Elements remembered for each token by layers with a window, and how many positions that
    /// window has: `(window, elements)`.
    pub kv_windows: Vec<(usize, usize)>,
    /// Elements of the recurrent states of a sequence, however long it is.
    pub recurrent_elements: usize,
    /// Tensors that guess further tokens (multi-token prediction), which the files have and nothing uses.
    pub guessing_tensors: usize,
    /// Token ids that end an answer, by the configurations' word (the tokenizer and the template may
    /// know more).
    pub stop_ids: Vec<u32>,
    /// Packings, the one with the most bytes first.
    pub packings: Vec<PackingUse>,
}

/// How much of a model is stored in one packing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackingUse {
    /// `q4_k`, `bf16`, `affine4/64`.
    pub packing: String,
    /// Weights in it.
    pub weights: usize,
    /// Their elements.
    pub elements: usize,
    /// Their bytes.
    pub bytes: usize,
}

impl Info {
    pub(crate) fn new(
        checkpoint: &Checkpoint,
        source: &Source,
        family: &str,
        sizes: &Sizes,
        graph: &Graph,
        weights: &Weights,
    ) -> Result<Self> {
        let (mut kv_elements, mut windows) = (0, BTreeMap::new());
        for state in graph.states.iter().filter_map(StateDecl::kv) {
            let elements = 2 * state.kv_heads * state.head_dim;
            match state.window {
                None => kv_elements += elements,
                Some(window) => *windows.entry(window).or_insert(0) += elements,
            }
        }
        let packings = packings(weights);
        Ok(Self {
            family: family.into(),
            parameters: packings.iter().map(|p| p.elements).sum(),
            layers: sizes.layers,
            hidden: sizes.hidden,
            heads: sizes.heads,
            kv_heads: sizes.kv_heads,
            head_dim: sizes.head_dim,
            vocab: sizes.vocab,
            context: sizes.context,
            bytes: packings.iter().map(|p| p.bytes).sum(),
            kv_elements,
            kv_windows: windows.into_iter().collect(),
            recurrent_elements: graph.states.iter().map(StateDecl::slot_len).sum(),
            guessing_tensors: guessing(checkpoint, source),
            stop_ids: stop_ids(checkpoint, &source.config)?,
            packings,
        })
    }

    /// Bytes remembered for a sequence of `tokens` tokens: keys and values in `kv`, recurrent states in f32.
    pub fn kv_bytes(&self, tokens: usize, kv: KvType) -> usize {
        let windows =
            self.kv_windows.iter().map(|&(window, elements)| tokens.min(window) * elements);
        (tokens * self.kv_elements + windows.sum::<usize>()) * kv.bytes()
            + self.recurrent_elements * size_of::<f32>()
    }

    /// Bytes each further token takes, before any window is full.
    pub fn kv_bytes_per_token(&self, kv: KvType) -> usize {
        self.kv_bytes(1, kv)
    }

    /// Packed bits an element takes on average.
    pub fn bits_per_weight(&self) -> f64 {
        8.0 * self.bytes as f64 / self.parameters.max(1) as f64
    }

    /// One line on the packing: `5.17 bits a weight: q4_1, q8_0, f32`.
    pub fn quantization(&self) -> String {
        let names: Vec<&str> = self.packings.iter().map(|p| p.packing.as_str()).collect();
        format!("{:.2} bits a weight: {}", self.bits_per_weight(), names.join(", "))
    }
}

/// How many tensors guess further tokens.
fn guessing(checkpoint: &Checkpoint, source: &Source) -> usize {
    let mapped = checkpoint.tensors().map(|tensor| tensor.name.as_str());
    let all = mapped.chain(checkpoint.left_out().iter().map(String::as_str));
    all.filter(|tensor| source.names.guesses(tensor)).count()
}

fn packings(weights: &Weights) -> Vec<PackingUse> {
    let mut uses: BTreeMap<String, PackingUse> = BTreeMap::new();
    for weight in &weights.0 {
        let packing = print::packing(&weight.packing);
        let entry = uses.entry(packing.clone());
        let entry = entry.or_insert(PackingUse { packing, weights: 0, elements: 0, bytes: 0 });
        entry.weights += 1;
        entry.elements += weight.rows * weight.cols;
        entry.bytes += weight.bytes();
    }
    let mut uses: Vec<PackingUse> = uses.into_values().collect();
    uses.sort_by_key(|u| std::cmp::Reverse(u.bytes));
    uses
}

/// The union of what the configurations say, in order.
fn stop_ids(checkpoint: &Checkpoint, config: &Config) -> Result<Vec<u32>> {
    let mut ids = BTreeSet::new();
    for config in [Some(checkpoint.config()), Some(config), checkpoint.generation_config()] {
        let Some(config) = config else { continue };
        let found = config.opt_usizes("eos_token_id", 0..=u32::MAX as usize)?;
        ids.extend(found.into_iter().flatten().map(|id| id as u32));
    }
    Ok(ids.into_iter().collect())
}
