//! `tessera list`: the models on this machine.

use anyhow::Result;
use serde_json::{Value, json};
use tessera_hub::{Entry, LocalModel, Store};

use crate::{args::ListArgs, context::Context, errors::Exit, output, table::Table, units};

/// Prints one line a model.
///
/// # Errors
/// When a cache cannot be read.
pub fn run(context: &Context, args: ListArgs) -> Result<Exit> {
    let hub = context.hub()?;
    let models: Vec<LocalModel> =
        hub.list()?.into_iter().filter(|it| args.all || it.usable || it.unfinished > 0).collect();
    let here = |entry: &&Entry| {
        hub.parse(&entry.name).is_ok_and(|name| !matches!(hub.find_local(&name), Ok(Some(_))))
    };
    let absent: Vec<&Entry> = match args.all {
        true => hub.options().catalogue.entries().iter().filter(here).collect(),
        false => Vec::new(),
    };
    if context.json() {
        let rows: Vec<Value> =
            models.iter().map(local_json).chain(absent.into_iter().map(absent_json)).collect();
        output::json(&rows)?;
        return Ok(Exit::Success);
    }
    if models.is_empty() && absent.is_empty() {
        context.note(
            "no models yet; `tessera run` downloads a small one, `tessera list --all` shows more",
        );
        return Ok(Exit::Success);
    }
    let mut table = Table::new(&["NAME", "SIZE", "WHERE", "STATE"]).right(1);
    for model in &models {
        table.row([
            model.name.clone(),
            units::bytes(model.bytes),
            store(model.store).into(),
            state(model),
        ]);
    }
    for entry in absent {
        let size = units::bytes(entry.bytes);
        table.row([
            entry.name.clone(),
            size,
            "-".into(),
            format!("not downloaded: {}", entry.title),
        ]);
    }
    output::write(table)?;
    Ok(Exit::Success)
}

fn store(store: Store) -> &'static str {
    match store {
        Store::Packages => "packages",
        Store::Hub => "hub",
    }
}

fn state(model: &LocalModel) -> String {
    match (model.usable, model.unfinished) {
        (true, 0) => "ready".into(),
        (_, 0) => "not a model this program runs".into(),
        (_, bytes) => format!("unfinished: {} so far", units::bytes(bytes)),
    }
}

fn local_json(model: &LocalModel) -> Value {
    json!({
        "name": model.name,
        "store": store(model.store),
        "path": model.path,
        "files": model.files,
        "bytes": model.bytes,
        "unfinished_bytes": model.unfinished,
        "usable": model.usable,
        "present": true,
    })
}

fn absent_json(entry: &Entry) -> Value {
    json!({
        "name": entry.name,
        "title": entry.title,
        "bytes": entry.bytes,
        "licence": entry.licence,
        "note": entry.note,
        "present": false,
    })
}
