//! Arguments of the smaller commands.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{LoadArgs, values};

/// Arguments of `tessera pull`.
#[derive(Debug, Clone, Args)]
pub struct PullArgs {
    /// The model [default: smollm2]
    pub model: Option<String>,
}

/// Arguments of `tessera list`.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// Also what is in the shared cache but cannot be run, and short names not downloaded yet
    #[arg(short, long)]
    pub all: bool,
}

/// Arguments of `tessera rm`.
#[derive(Debug, Clone, Args)]
pub struct RmArgs {
    /// The models
    #[arg(required = true, value_name = "MODEL")]
    pub models: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// Arguments of `tessera show`.
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// The model; it is not downloaded [default: smollm2]
    pub model: Option<String>,
    /// List every tensor
    #[arg(long)]
    pub tensors: bool,
    /// Print the whole configuration, or the metadata of a GGUF file
    #[arg(long)]
    pub config: bool,
    /// Print the chat template
    #[arg(long)]
    pub template: bool,
    /// How it would be loaded: the memory it needs is reckoned for that.
    #[command(flatten)]
    pub load: LoadArgs,
}

/// Arguments of `tessera inspect`.
#[derive(Debug, Clone, Args)]
pub struct InspectArgs {
    /// The model [default: smollm2]
    pub model: Option<String>,
    /// A prompt, taken as it is; without prompt and ids the compiled graph is listed
    pub prompt: Option<String>,
    /// Token ids instead of a prompt: `1,2,3`
    #[arg(long, value_name = "LIST", allow_negative_numbers = true, conflicts_with = "prompt")]
    pub ids: Option<String>,
    /// Put the prompt into the chat template, as `run` does
    #[arg(long, requires = "prompt")]
    pub template: bool,
    /// Most likely tokens shown at each position
    #[arg(long, value_name = "K", allow_negative_numbers = true, default_value_t = 5)]
    pub top: usize,
    /// Tokens of the greedy continuation
    #[arg(
        short = 'n',
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = 16
    )]
    pub max_tokens: usize,
    /// Tokens of the step whose cost is listed
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::positive, default_value_t = 1)]
    pub tokens: usize,
    /// Positions of the context at that step, its tokens included [default: the step's tokens]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::positive)]
    pub depth: Option<usize>,
    /// How the model is loaded.
    #[command(flatten)]
    pub load: LoadArgs,
}

/// What the text of a control token (`<|im_end|>`) stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Specials {
    /// The token
    Parse,
    /// Text like any other
    #[default]
    Text,
}

/// Arguments of `tessera tokenize`.
#[derive(Debug, Clone, Args)]
pub struct TokenizeArgs {
    /// The model [default: smollm2]
    pub model: Option<String>,
    /// The text; standard input if absent
    pub text: Option<String>,
    /// What the text of control tokens stands for
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    pub special: Specials,
    /// Add the ids that begin and end a text, as the tokenizer asks
    #[arg(long)]
    pub frame: bool,
    /// Print ids only, in one line
    #[arg(long)]
    pub ids: bool,
}

/// Arguments of `tessera detokenize`.
#[derive(Debug, Clone, Args)]
pub struct DetokenizeArgs {
    /// The model
    pub model: String,
    /// Token ids, also as a JSON list; standard input if absent
    pub ids: Vec<String>,
    /// Show control tokens by their text (parse) or leave them out (text)
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    pub special: Specials,
}

/// Arguments of `tessera perplexity`.
#[derive(Debug, Clone, Args)]
pub struct PerplexityArgs {
    /// The model [default: smollm2]
    pub model: Option<String>,
    /// A text file; standard input if absent
    pub file: Option<PathBuf>,
    /// Tokens of a window
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::positive, default_value_t = 512)]
    pub window: usize,
    /// Tokens from one window to the next; the tokens they share are context only
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::positive, default_value_t = 256)]
    pub stride: usize,
    /// Stop after this many windows
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::positive)]
    pub windows: Option<usize>,
    /// How the model is loaded.
    #[command(flatten)]
    pub load: LoadArgs,
}

/// Arguments of `tessera completions`.
#[derive(Debug, Clone, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}
