//! How tokens are drawn, and the arguments of `run`.

use clap::Args;

use super::{LoadArgs, values};

/// Settings of an answer. What is not given is taken from the checkpoint, then from the engine.
#[derive(Debug, Clone, Default, PartialEq, Args)]
#[command(next_help_heading = "Generation")]
pub struct GenerationArgs {
    /// Divides the logits, 0 to 100; 0 always takes the most likely token
    #[arg(long, value_name = "T", value_parser = values::temperature, allow_negative_numbers = true)]
    pub temperature: Option<f32>,
    /// Keep the K most likely tokens; 0 keeps all
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    pub top_k: Option<u32>,
    /// Keep the fewest most likely tokens whose probabilities reach P
    #[arg(long, value_name = "P", value_parser = values::top_p, allow_negative_numbers = true)]
    pub top_p: Option<f32>,
    /// Drop tokens less likely than P times the most likely one
    #[arg(long, value_name = "P", value_parser = values::min_p, allow_negative_numbers = true)]
    pub min_p: Option<f32>,
    /// Makes tokens that occurred less likely when above 1
    #[arg(long, value_name = "R", value_parser = values::repetition_penalty, allow_negative_numbers = true)]
    pub repetition_penalty: Option<f32>,
    /// Subtracted from the logits of tokens in the answer, -100 to 100
    #[arg(long, value_name = "R", value_parser = values::penalty, allow_negative_numbers = true)]
    pub presence_penalty: Option<f32>,
    /// Subtracted for each occurrence in the answer, -100 to 100
    #[arg(long, value_name = "R", value_parser = values::penalty, allow_negative_numbers = true)]
    pub frequency_penalty: Option<f32>,
    /// Seed of the draws: the same seed gives the same answer [default: random]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub seed: Option<u64>,
    /// Tokens of the answer at most [default: until the model ends or the context is full]
    #[arg(short = 'n', long, value_name = "N", value_parser = values::positive, allow_negative_numbers = true)]
    pub max_tokens: Option<usize>,
    /// Text that ends the answer; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub stop: Vec<String>,
    /// Continue past the model's own end of an answer
    #[arg(long)]
    pub ignore_eos: bool,
}

/// Arguments of `tessera run`.
#[derive(Debug, Clone, Args)]
#[command(after_help = RUN_HELP)]
pub struct RunArgs {
    /// The model [default: smollm2]
    pub model: Option<String>,
    /// The prompt; without one, and with a terminal, a chat begins
    #[arg(value_name = "PROMPT")]
    pub prompt: Option<String>,
    /// Put before the conversation as a system message
    #[arg(short, long, value_name = "TEXT")]
    pub system: Option<String>,
    /// Continue the text as it is, without the model's chat template
    #[arg(long, conflicts_with = "system")]
    pub no_template: bool,
    /// Do not show what the model thinks before it answers
    #[arg(long)]
    pub hide_thinking: bool,
    /// Print timings after each answer
    #[arg(long)]
    pub stats: bool,
    /// Print the log probability of each token, and of the K most likely ones beside it
    #[arg(long, value_name = "K", num_args = 0..=1, default_missing_value = "0", require_equals = true)]
    pub logprobs: Option<u16>,
    /// Neither read nor write the history of what was typed
    #[arg(long)]
    pub no_history: bool,
    /// How tokens are drawn.
    #[command(flatten)]
    pub generation: GenerationArgs,
    /// How the model is loaded.
    #[command(flatten)]
    pub load: LoadArgs,
}

const RUN_HELP: &str = "\
A prompt that is piped in is the prompt, or follows the one on the command line after an empty line. \
A single argument that holds a space is a prompt for the default model.

  tessera run smollm2 \"Why is the sky blue?\"
  tessera run smollm2 \"Summarise this:\" < notes.txt
  tessera run --system \"Answer in one word.\" --temperature 0";
