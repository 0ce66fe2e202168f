//! `tessera detokenize`: token ids to text.

use anyhow::Result;
use serde_json::json;

use crate::{
    args::{DetokenizeArgs, values},
    context::Context,
    errors::{Exit, usage},
    input, output, vocabulary,
};

/// Prints the text of the ids, and nothing after it.
///
/// # Errors
/// When the model or its tokenizer cannot be used, or an id is none of its.
pub fn run(context: &Context, args: DetokenizeArgs) -> Result<Exit> {
    let text = match args.ids.is_empty() {
        true => input::read()?,
        false => args.ids.join(" "),
    };
    let ids = values::ids(&text).map_err(usage)?;
    let tokenizer = vocabulary::open(context, &args.model)?;
    for &id in &ids {
        tokenizer.piece(id)?;
    }
    let text = tokenizer.decode_with(&ids, args.special.into());
    match context.json() {
        true => output::json(&json!({ "text": text }))?,
        false => output::line(text)?,
    }
    Ok(Exit::Success)
}
