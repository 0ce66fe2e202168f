//! `tessera`: runs language models on your own machine.
//!
//! One file a command in `commands/`; each takes its parsed arguments and the [`Context`], prints results
//! on standard output and everything else on standard error, and returns an [`Exit`] or an error that is
//! reported here.

mod args;
mod chat;
mod commands;
mod context;
mod device;
mod errors;
mod hints;
mod input;
mod interrupt;
mod loading;
mod machine;
mod output;
mod progress;
mod style;
mod table;
mod units;
mod vocabulary;

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::Parser;

use args::{Cli, Command};
use context::Context;
use errors::Exit;
use interrupt::Interrupts;

fn main() -> ExitCode {
    let cli = Cli::parse();
    log(cli.global.verbose);
    let style = style::Style::stderr(cli.global.color);
    let exit = run(cli).unwrap_or_else(|error| {
        let _ = write!(io::stderr(), "{}", errors::report(&error, style));
        errors::exit(&error)
    });
    ExitCode::from(exit.code() as u8)
}

fn run(cli: Cli) -> Result<Exit> {
    let interrupts = Interrupts::listen().context("cannot listen for Ctrl-C")?;
    let context = &Context { global: cli.global, interrupts };
    match cli.command {
        Command::Run(args) => commands::run::run(context, args),
        Command::Pull(args) => commands::pull::run(context, args),
        Command::List(args) => commands::list::run(context, args),
        Command::Rm(args) => commands::rm::run(context, args),
        Command::Show(args) => commands::show::run(context, args),
        Command::Inspect(args) => commands::inspect::run(context, args),
        Command::Tokenize(args) => commands::tokenize::run(context, args),
        Command::Detokenize(args) => commands::detokenize::run(context, args),
        Command::Bench(args) => commands::bench::run(context, args),
        Command::Tune(args) => commands::tune::run(context, args),
        Command::Perplexity(args) => commands::perplexity::run(context, args),
        Command::Doctor => commands::doctor::run(context),
        Command::Completions(args) => commands::completions::run(args),
    }
}

/// Sends the libraries' own words to standard error: warnings always, more with `--verbose`.
fn log(verbose: u8) {
    let level = match verbose {
        0 => tracing::Level::ERROR,
        1 => tracing::Level::INFO,
        2 => tracing::Level::DEBUG,
        _ => tracing::Level::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .without_time()
        .init();
}
