//! Families, and what has a name and no more.
//!
//! Lists that are closed enumerations are matched, and settings taken apart, without a catch-all, so that
//! a new one does not compile before it is told here.

use tessera_cpu::Level;
use tessera_graph::{KvType, Sampling};
use tessera_models::{families as supported, rope_types};

use super::Table;

fn code(name: &str) -> String {
    format!("`{name}`")
}

fn codes(names: &[&str]) -> String {
    names.iter().map(|name| code(name)).collect::<Vec<_>>().join(", ")
}

/// A row for each family.
pub fn families() -> Table {
    let mut table = Table::new(["family", "`model_type`", "GGUF architecture"]);
    for family in supported() {
        let gguf = family.gguf.map_or("—".into(), code);
        table.row([family.family.into(), codes(family.model_types), gguf]);
    }
    table
}

/// Everything else, a row a kind.
pub fn rest() -> Table {
    let mut table = Table::new(["", "supported"]);
    let mut row = |what: &str, list: String| table.row([what.into(), list]);
    row("rope types", codes(rope_types()));
    row("keys and values", KV.map(|kv| kv_name(kv).to_owned()).join(", "));
    row(
        "instruction sets",
        Level::ALL.map(|level| format!("{level} ({})", needs(level))).join("; "),
    );
    row("sampling", sampling().join(", "));
    table
}

/// What a processor must have.
fn needs(level: Level) -> &'static str {
    match level {
        Level::Portable => "any processor",
        Level::Avx2 => "AVX2, FMA, F16C",
        Level::AvxVnni => "AVX2 and AVX-VNNI",
        Level::Avx512 => "AVX-512 F, BW, VL, DQ, VNNI",
        Level::Avx512Bf16 => "the same with AVX512-BF16",
        Level::Neon => "AArch64 Advanced SIMD",
        Level::NeonDot => "the same with FEAT_DotProd",
        Level::NeonI8mm => "the same with FEAT_I8MM",
        Level::NeonBf16 => "the same with FEAT_BF16",
    }
}

const KV: [KvType; 3] = [KvType::F16, KvType::BF16, KvType::F32];

fn kv_name(kv: KvType) -> &'static str {
    match kv {
        KvType::F16 => "f16",
        KvType::BF16 => "bf16",
        KvType::F32 => "f32",
    }
}

/// Names of the settings, in the order in which they apply.
fn sampling() -> [&'static str; 11] {
    let Sampling {
        bias: _,
        repetition_penalty: _,
        presence_penalty: _,
        frequency_penalty: _,
        temperature: _,
        top_k: _,
        top_p: _,
        min_p: _,
        seed: _,
        logprobs: _,
        top_logprobs: _,
    } = Sampling::default();
    [
        "bias",
        "repetition penalty",
        "presence penalty",
        "frequency penalty",
        "temperature",
        "top-k",
        "top-p",
        "min-p",
        "seed",
        "log probabilities",
        "of the most likely tokens too",
    ]
}
