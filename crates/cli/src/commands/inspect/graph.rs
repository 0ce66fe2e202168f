//! The compiled graph with the cost of each operation. Nothing is compiled or loaded for it.

use anyhow::Result;
use serde_json::json;
use tessera_graph::{
    KvType,
    cost::{self, Step},
    fuse,
    print::{self, Table},
};
use tessera_models::{BuildOptions, CapabilitySet};

use crate::{args::InspectArgs, context::Context, errors::Exit, output, units};

/// Prints one line an operation, as a backend runs them.
///
/// # Errors
/// When the model cannot be had, or is not one.
pub fn list(context: &Context, model: &str, args: &InspectArgs) -> Result<Exit> {
    let found = context.fetch(model)?;
    let checkpoint = tessera_models::checkpoint(&found.path, CapabilitySet::TEXT)?;
    let bound = tessera_models::open(&checkpoint, &BuildOptions { context: args.load.context })?;
    let graph = fuse(&bound.graph);
    let step = Step {
        tokens: args.tokens,
        outputs: 1,
        context: args.depth.unwrap_or(args.tokens).max(args.tokens),
        kv: KvType::F16,
    };
    let rows = print::rows(&graph, &bound.weights, &step);
    let total = cost::total(&graph, &bound.weights, &step);
    if context.json() {
        output::json(&json!({
            "model": model,
            "step": { "tokens": step.tokens, "outputs": step.outputs, "context": step.context },
            "operations": rows,
            "total": total,
        }))?;
        return Ok(Exit::Success);
    }
    output::write(Table(&rows))?;
    context.note(&format!(
        "{} operations; a step of {} at a context of {}: {} moved, {}flop",
        rows.len(),
        units::plural(step.tokens, "token"),
        units::thousands(step.context as u64),
        units::bytes(total.bytes() as u64),
        units::count(total.flops as u64),
    ));
    Ok(Exit::Success)
}
