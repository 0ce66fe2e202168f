//! `tessera tokenize`: text to token ids.

use anyhow::Result;
use serde_json::json;

use crate::{
    args::{Specials, TokenizeArgs},
    commands::model_and_text,
    context::Context,
    errors::Exit,
    input, output,
    table::Table,
    units, vocabulary,
};

impl From<Specials> for tessera_text::Specials {
    fn from(specials: Specials) -> Self {
        match specials {
            Specials::Parse => Self::Parse,
            Specials::Text => Self::AsText,
        }
    }
}

/// Prints ids and the text each stands for.
///
/// # Errors
/// When the model or its tokenizer cannot be used, or there is no text.
pub fn run(context: &Context, args: TokenizeArgs) -> Result<Exit> {
    let (model, text) = model_and_text(args.model, args.text);
    let text = match text {
        Some(text) => text,
        None => input::read()?,
    };
    let tokenizer = vocabulary::open(context, &model)?;
    let mut ids = tokenizer.encode(&text, args.special.into())?;
    if args.frame {
        ids = tokenizer.frame(&ids);
    }
    if context.json() {
        let pieces: Vec<String> =
            ids.iter().map(|&id| vocabulary::spelling(&tokenizer, id)).collect();
        output::json(&json!({ "ids": ids, "tokens": pieces, "count": ids.len() }))?;
    } else if args.ids {
        output::line(ids.iter().map(u32::to_string).collect::<Vec<_>>().join(" "))?;
    } else {
        let mut table = Table::new(&["ID", "TEXT"]).right(0);
        for &id in &ids {
            table.row([id.to_string(), format!("\"{}\"", vocabulary::spelling(&tokenizer, id))]);
        }
        output::write(table)?;
        context.note(&units::plural(ids.len(), "token"));
    }
    Ok(Exit::Success)
}
