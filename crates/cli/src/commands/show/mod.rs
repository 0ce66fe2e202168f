//! `tessera show`: what a model is, and whether it fits this machine.

mod config;
mod memory;
mod sampling;
mod tensors;

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;
use tessera_engine::{CapabilitySet, Model};
use tessera_formats::{Checkpoint, Kind};
use tessera_models::Info;
use tessera_text::{ChatTemplate, Tokenizer};

use crate::{
    args::ShowArgs,
    context::{Context, DEFAULT_MODEL},
    errors::Exit,
    loading, output, units, vocabulary,
};

use memory::Memory;
use sampling::Sampling;
use tensors::TensorRow;

/// Everything that is shown; the JSON is this.
#[derive(Debug, Serialize)]
struct Report {
    model: String,
    path: String,
    format: &'static str,
    file_bytes: u64,
    licence: Option<String>,
    #[serde(flatten)]
    info: Info,
    bits_per_weight: f64,
    tokenizer: Vocabulary,
    chat_template: bool,
    capabilities: Vec<String>,
    /// What the model offers and this version does not run.
    unsupported: Vec<String>,
    sampling: Sampling,
    /// What would compute it, and what would not.
    device: &'static str,
    passed_over: Vec<String>,
    memory: Memory,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tensors: Option<Vec<TensorRow>>,
}

#[derive(Debug, Serialize)]
struct Vocabulary {
    tokens: usize,
    bos: Option<u32>,
    eos: Option<u32>,
    end_of_turn: Option<u32>,
}

/// Prints the report; nothing is downloaded and no weights are read.
///
/// # Errors
/// When the model is not here, or a file of it is broken or not supported.
pub fn run(context: &Context, args: ShowArgs) -> Result<Exit> {
    let name = args.model.clone().unwrap_or_else(|| DEFAULT_MODEL.to_owned());
    let found = context.find(&name)?;
    let checkpoint = Checkpoint::open(&found.path)?;
    let tokenizer = Tokenizer::from_checkpoint(&checkpoint)?;
    let template = ChatTemplate::from_checkpoint(&checkpoint, &tokenizer)?;
    let (options, _) = loading::options(context, &args.load)?;
    let preview = Model::preview(&found, &options)?;
    let words = |set: CapabilitySet| set.iter().map(|it| it.to_string()).collect();
    let roles = tokenizer.roles();
    let report = Report {
        model: name,
        path: found.path.display().to_string(),
        format: match checkpoint.kind() {
            Kind::Gguf => "gguf",
            Kind::SafeTensors => "safetensors",
        },
        file_bytes: found.bytes,
        licence: found.licence.or_else(|| config::licence(&checkpoint)),
        capabilities: words(preview.capabilities),
        unsupported: words(preview.unsupported),
        sampling: Sampling::from(&preview),
        device: preview.backend,
        passed_over: loading::passed_over(&preview.passed_over).collect(),
        memory: Memory::from(&preview),
        bits_per_weight: preview.details.bits_per_weight(),
        info: preview.details,
        tokenizer: Vocabulary {
            tokens: tokenizer.vocab_size(),
            bos: roles.bos,
            eos: roles.eos,
            end_of_turn: roles.eot,
        },
        chat_template: template.is_some(),
        config: args.config.then(|| config::json(&checkpoint)),
        template: template.filter(|_| args.template).map(|it| text(&it)),
        tensors: args.tensors.then(|| tensors::rows(&checkpoint)),
    };
    match context.json() {
        true => output::json(&report)?,
        false => output::write(render(&report, &tokenizer))?,
    }
    Ok(Exit::Success)
}

fn text(template: &ChatTemplate) -> String {
    match template.sources() {
        [single] => single.text.clone(),
        several => several.iter().map(|it| format!("{{# {} #}}\n{}\n", it.name, it.text)).collect(),
    }
}

fn render(report: &Report, tokenizer: &Tokenizer) -> String {
    let info = &report.info;
    let number = |n: usize| units::thousands(n as u64);
    let id = |name: &str, id: Option<u32>| {
        id.map(|id| format!(", {name} {id} \"{}\"", vocabulary::spelling(tokenizer, id)))
            .unwrap_or_default()
    };
    let mut lines = vec![
        ("model", report.model.clone()),
        ("path", report.path.clone()),
        ("format", format!("{}, {}", report.format, units::bytes(report.file_bytes))),
        ("licence", report.licence.clone().unwrap_or_else(|| "not stated".into())),
        ("family", info.family.clone()),
        ("parameters", units::count(info.parameters as u64)),
        (
            "shape",
            format!(
                "{} layers of width {}, {} heads ({} for keys and values) of {}",
                info.layers,
                number(info.hidden),
                info.heads,
                info.kv_heads,
                info.head_dim
            ),
        ),
        ("context", format!("{} tokens", number(info.context))),
        (
            "tokens",
            format!(
                "{}{}{}{}",
                number(report.tokenizer.tokens),
                id("begin", report.tokenizer.bos),
                id("end", report.tokenizer.eos),
                id("end of turn", report.tokenizer.end_of_turn)
            ),
        ),
        (
            "template",
            if report.chat_template { "yes, made for chat" } else { "none, a base model" }.into(),
        ),
        ("packing", format!("{:.2} bits a weight", report.bits_per_weight)),
    ];
    lines.extend(info.packings.iter().map(|it| {
        let weights = if it.weights == 1 { "tensor" } else { "tensors" };
        (
            "",
            format!(
                "{:<10} {:>4} {weights:<7} {:>10}",
                it.packing,
                it.weights,
                units::bytes(it.bytes as u64)
            ),
        )
    }));
    let mut can = report.capabilities.join(", ");
    if !report.unsupported.is_empty() {
        can += &format!("; not yet here: {}", report.unsupported.join(", "));
    }
    lines.push(("can do", can));
    if info.guessing_tensors > 0 {
        let unused = format!("{} tensors that guess further tokens", number(info.guessing_tensors));
        lines.push(("not used", unused));
    }
    lines.push(("sampling", report.sampling.line()));
    lines.push(("device", report.device.to_owned()));
    lines.extend(report.passed_over.iter().map(|line| ("", line.clone())));
    lines.extend(report.memory.lines());
    let mut text: String =
        lines.iter().map(|(name, value)| format!("{name:<12}{value}\n")).collect();
    if let Some(config) = &report.config {
        text += &format!("\nconfiguration\n{}", config::lines(config));
    }
    if let Some(template) = &report.template {
        text += &format!("\nchat template\n{}\n", template.trim_end());
    }
    if let Some(rows) = &report.tensors {
        text += &format!("\n{}", tensors::table(rows));
    }
    text
}
