//! `tessera pull`: brings a model onto this machine.

use anyhow::Result;
use serde_json::json;

use crate::{
    args::PullArgs,
    context::{Context, DEFAULT_MODEL},
    errors::Exit,
    output, units,
};

/// Downloads what is missing and prints where the model is.
///
/// # Errors
/// Whatever the hub says.
pub fn run(context: &Context, args: PullArgs) -> Result<Exit> {
    let name = args.model.as_deref().unwrap_or(DEFAULT_MODEL);
    let model = context.fetch(name)?;
    if context.json() {
        output::json(&json!({
            "model": name,
            "path": model.path,
            "files": model.files,
            "bytes": model.bytes,
            "source": model.source.to_string(),
            "licence": model.licence,
        }))?;
    } else {
        output::line(model.path.display())?;
        let licence = model.licence.map(|it| format!(", licence {it}")).unwrap_or_default();
        context.note(&format!("{name}: {}{licence}", units::bytes(model.bytes)));
    }
    Ok(Exit::Success)
}
