//! The command line as clap sees it.

mod bench;
mod generation;
mod load;
mod tools;
mod tune;
pub mod values;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use bench::BenchArgs;
pub use generation::{GenerationArgs, RunArgs};
pub use load::LoadArgs;
pub use tools::{
    CompletionsArgs, DetokenizeArgs, InspectArgs, ListArgs, PerplexityArgs, PullArgs, RmArgs,
    ShowArgs, Specials, TokenizeArgs,
};
pub use tune::TuneArgs;

use crate::style::Color;

/// Runs language models on your own machine.
#[derive(Debug, Parser)]
#[command(name = "tessera", version, about, propagate_version = true, max_term_width = 100)]
#[command(after_help = AFTER_HELP)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
A MODEL is a short name (smollm2), a Hub id (org/repo, org/repo@revision, org/repo:Q4_K_M), a \
folder with config.json and safetensors, or a .gguf file.

Exit status: 0 done, 1 failed, 2 the command line is wrong, 130 interrupted by Ctrl-C.";

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Common options")]
pub struct GlobalArgs {
    /// Print the result as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Print no progress and no notes, only results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say what is done and why; twice for details of each step
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Keep models below this folder instead of the caches shared with Python
    #[arg(long, global = true, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
    /// Never touch the network
    #[arg(long, global = true)]
    pub offline: bool,
    /// When to colour text
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t)]
    pub color: Color,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answer a prompt, or chat
    Run(RunArgs),
    /// Download a model
    Pull(PullArgs),
    /// List the models on this machine
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Remove a model from this machine
    Rm(RmArgs),
    /// Show what a model is, and whether it fits this machine
    Show(ShowArgs),
    /// Show the compiled graph, or what the model sees in a prompt
    Inspect(InspectArgs),
    /// Turn text into token ids
    Tokenize(TokenizeArgs),
    /// Turn token ids into text
    Detokenize(DetokenizeArgs),
    /// Measure the speed of prefill and decode
    Bench(BenchArgs),
    /// Find the fastest kernels for a model on a GPU
    Tune(TuneArgs),
    /// Measure how well a model predicts a text
    Perplexity(PerplexityArgs),
    /// Check this machine
    Doctor,
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}

#[cfg(test)]
mod tests;
