//! `tessera inspect`: the compiled graph, or what the model sees in a prompt.

mod graph;
mod logits;

use anyhow::Result;

use crate::{args::InspectArgs, commands::model_and_text, context::Context, errors::Exit};

/// Lists the graph, or the logits if there is a prompt.
///
/// # Errors
/// When the model cannot be had, or refuses the prompt.
pub fn run(context: &Context, args: InspectArgs) -> Result<Exit> {
    let (model, prompt) = model_and_text(args.model.clone(), args.prompt.clone());
    match (prompt, &args.ids) {
        (None, None) => graph::list(context, &model, &args),
        (prompt, _) => logits::list(context, &model, prompt.as_deref(), &args),
    }
}
