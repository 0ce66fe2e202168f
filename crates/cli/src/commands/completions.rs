//! `tessera completions`: what a shell needs to complete our commands.

use anyhow::Result;
use clap::CommandFactory;

use crate::{
    args::{Cli, CompletionsArgs},
    errors::Exit,
    output,
};

/// Prints the script.
///
/// # Errors
/// When standard output refuses it.
pub fn run(args: CompletionsArgs) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tessera", &mut script);
    output::write(String::from_utf8_lossy(&script))?;
    Ok(Exit::Success)
}
