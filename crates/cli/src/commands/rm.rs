//! `tessera rm`: gives the room of a model back.

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::{Context as _, Result};
use serde_json::json;
use tessera_hub::{Hub, Name};

use crate::{
    args::RmArgs,
    context::Context,
    errors::{Exit, usage},
    output, units,
};

/// Removes models, after asking.
///
/// # Errors
/// When a model is not here or cannot be removed; those before it are gone then.
pub fn run(context: &Context, args: RmArgs) -> Result<Exit> {
    let hub = context.hub()?;
    let names = args.models.iter().map(|it| hub.parse(it)).collect::<Result<Vec<_>, _>>()?;
    let ask = !args.yes;
    if ask && (context.json() || !io::stdin().is_terminal()) {
        return Err(usage("nobody is there to ask; say --yes to remove without asking"));
    }
    let mut removed = Vec::new();
    for name in &names {
        if ask && !confirmed(&hub, name)? {
            context.note(&format!("{name} stays"));
            continue;
        }
        let freed = hub.remove(name)?;
        removed.push(json!({ "model": name.to_string(), "freed_bytes": freed }));
        context.note(&format!("removed {name}, {} freed", units::bytes(freed)));
    }
    if context.json() {
        output::json(&removed)?;
    }
    Ok(Exit::Success)
}

fn confirmed(hub: &Hub, name: &Name) -> Result<bool> {
    let size = match hub.find_local(name) {
        Ok(Some(model)) => format!(" ({})", units::bytes(model.bytes)),
        _ => String::new(),
    };
    let mut error = io::stderr().lock();
    write!(error, "remove {name}{size}? [y/N] ")
        .and_then(|()| error.flush())
        .context("cannot ask on standard error")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
