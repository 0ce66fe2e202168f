//! One file a family.
//!
//! A family is a function from a configuration to a graph. To add one, write it and list it here.

mod falcon_h1;
mod gemma2;
mod gemma3;
mod gpt_oss;
mod granite;
mod lfm2;
mod lfm2_moe;
mod llama;
mod mamba2;
mod mixtral;
mod nemotron_h;
mod olmo2;
mod phi3;
mod phimoe;
mod qwen2;
mod qwen3;
mod qwen3_moe;
mod qwen3_next;

use tessera_formats::{Checkpoint, Config};
use tessera_graph::{Graph, GraphError};

use crate::{Error, Result, blocks::Sizes, names::Spelling, source::Source};

/// A family of models.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    /// `model_type` of its configurations.
    pub(crate) model_types: &'static [&'static str],
    /// `general.architecture` of its GGUF files; `None` where those call themselves another family's.
    pub(crate) gguf: Option<&'static str>,
    /// Writes the graph.
    pub(crate) build: fn(&Source) -> Result<(Graph, Sizes)>,
}

pub(crate) const FAMILIES: [Family; 23] = [
    Family { name: "llama", model_types: &["llama"], gguf: Some("llama"), build: llama::llama },
    Family { name: "mistral", model_types: &["mistral"], gguf: None, build: llama::mistral },
    Family { name: "qwen2", model_types: &["qwen2"], gguf: Some("qwen2"), build: qwen2::build },
    Family { name: "qwen3", model_types: &["qwen3"], gguf: Some("qwen3"), build: qwen3::build },
    Family {
        name: "qwen3_moe",
        model_types: &["qwen3_moe"],
        gguf: Some("qwen3moe"),
        build: qwen3_moe::build,
    },
    Family {
        name: "qwen3_next",
        model_types: &["qwen3_next"],
        gguf: Some("qwen3next"),
        build: qwen3_next::qwen3_next,
    },
    Family {
        name: "qwen3_5",
        model_types: &["qwen3_5_text", "qwen3_5"],
        gguf: Some("qwen35"),
        build: qwen3_next::qwen3_5,
    },
    Family {
        name: "qwen3_5_moe",
        model_types: &["qwen3_5_moe_text", "qwen3_5_moe"],
        gguf: Some("qwen35moe"),
        build: qwen3_next::qwen3_5_moe,
    },
    Family { name: "mixtral", model_types: &["mixtral"], gguf: None, build: mixtral::build },
    Family {
        name: "gpt_oss",
        model_types: &["gpt_oss"],
        gguf: Some("gpt-oss"),
        build: gpt_oss::build,
    },
    Family { name: "phimoe", model_types: &["phimoe"], gguf: None, build: phimoe::build },
    Family { name: "olmo2", model_types: &["olmo2"], gguf: Some("olmo2"), build: olmo2::build },
    Family { name: "gemma2", model_types: &["gemma2"], gguf: Some("gemma2"), build: gemma2::build },
    Family {
        name: "gemma3",
        model_types: &["gemma3_text", "gemma3"],
        gguf: Some("gemma3"),
        build: gemma3::build,
    },
    Family { name: "mamba2", model_types: &["mamba2"], gguf: Some("mamba2"), build: mamba2::build },
    Family {
        name: "falcon_h1",
        model_types: &["falcon_h1"],
        gguf: Some("falcon-h1"),
        build: falcon_h1::build,
    },
    Family { name: "lfm2", model_types: &["lfm2"], gguf: Some("lfm2"), build: lfm2::build },
    Family {
        name: "lfm2_moe",
        model_types: &["lfm2_moe"],
        gguf: Some("lfm2moe"),
        build: lfm2_moe::build,
    },
    Family {
        name: "granite",
        model_types: &["granite"],
        gguf: Some("granite"),
        build: granite::granite,
    },
    Family {
        name: "granitemoe",
        model_types: &["granitemoe", "granitemoeshared"],
        gguf: Some("granitemoe"),
        build: granite::granitemoe,
    },
    Family {
        name: "granitemoehybrid",
        model_types: &["granitemoehybrid"],
        gguf: Some("granitehybrid"),
        build: granite::granitemoehybrid,
    },
    Family {
        name: "nemotron_h",
        model_types: &["nemotron_h"],
        gguf: Some("nemotron_h"),
        build: nemotron_h::build,
    },
    Family { name: "phi3", model_types: &["phi3"], gguf: Some("phi3"), build: phi3::build },
];

/// The family a configuration belongs to.
pub(crate) fn find(config: &Config) -> Result<&'static Family> {
    let model_type = config.str("model_type")?;
    let architectures = config.opt_strs("architectures")?.unwrap_or_default();
    let text = |a: &&str| a.ends_with("ForCausalLM") || a.ends_with("ForConditionalGeneration");
    let writes = architectures.is_empty() || architectures.iter().any(text);
    match FAMILIES.iter().find(|family| family.model_types.contains(&model_type)) {
        Some(family) if writes => Ok(family),
        family => {
            let found = match architectures.first() {
                Some(architecture) if family.is_some() => architecture,
                _ => model_type,
            };
            Err(Error::UnknownFamily {
                origin: config.origin().into(),
                found: format!("{found:?}"),
                supported: FAMILIES.map(|family| family.name).join(", "),
            })
        }
    }
}

/// How a checkpoint's files spell modules, by their family (and where converters rename, by the tensors).
pub(crate) fn spelling(checkpoint: &Checkpoint) -> Result<Spelling> {
    Ok(match checkpoint.config().opt_str("model_type")? {
        Some("mamba2") => mamba2::SPELLING,
        Some("falcon_h1") => falcon_h1::SPELLING,
        Some("lfm2_moe") if lfm2_moe::renamed(checkpoint) => lfm2_moe::RENAMED,
        Some("lfm2" | "lfm2_moe") => lfm2::SPELLING,
        Some("nemotron_h") => nemotron_h::SPELLING,
        _ => &[],
    })
}

/// Refuses a GGUF file whose architecture no family's files have. The converter writes some families as
/// another's (Mistral as Llama, with paired rows); a file that says otherwise was made by something else, and
/// how its rows are ordered is anybody's guess.
pub(crate) fn check_gguf(arch: &str, origin: &str) -> Result<()> {
    let known = || FAMILIES.iter().filter_map(|family| family.gguf);
    if known().any(|it| it == arch) {
        return Ok(());
    }
    let ours = FAMILIES.iter().any(|family| family.model_types.contains(&arch));
    let hint = if ours { ", which llama.cpp's converter never writes" } else { "" };
    Err(Error::UnknownFamily {
        origin: origin.into(),
        found: format!("{arch:?}{hint}"),
        supported: known().collect::<Vec<_>>().join(", "),
    })
}

/// A graph error with the file whose configuration led to it.
fn in_file(source: &Source) -> impl Fn(GraphError) -> Error {
    let origin = source.config.origin().to_string();
    move |error| Error::Graph { origin: origin.clone(), source: error }
}
