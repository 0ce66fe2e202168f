//! What every command is given.

use anyhow::Result;
use tessera_hub::{Hub, HubOptions, Name, Resolved};

use crate::{
    args::GlobalArgs, errors, interrupt::Interrupts, output, progress::Progress, style::Style,
};

/// The model of commands that are given none.
pub use tessera_hub::DEFAULT_MODEL;

/// Options of every command, and what they lead to.
#[derive(Debug, Clone)]
pub struct Context {
    /// As given.
    pub global: GlobalArgs,
    /// Ctrl-C.
    pub interrupts: Interrupts,
}

impl Context {
    /// Whether results are printed as JSON.
    pub fn json(&self) -> bool {
        self.global.json
    }

    /// Style of standard output.
    pub fn style(&self) -> Style {
        Style::stdout(self.global.color)
    }

    /// Style of standard error.
    pub fn note_style(&self) -> Style {
        Style::stderr(self.global.color)
    }

    /// Says something on standard error, dimmed, unless asked to be quiet.
    pub fn note(&self, text: &str) {
        if !self.global.quiet {
            output::note(self.note_style().dim(text));
        }
    }

    /// Says something that is only of interest with `--verbose`.
    pub fn detail(&self, text: &str) {
        if self.global.verbose > 0 {
            output::note(self.note_style().dim(text));
        }
    }

    /// Where models come from.
    ///
    /// # Errors
    /// When there is no place for a cache.
    pub fn hub(&self) -> Result<Hub> {
        let mut options = match &self.global.cache_dir {
            Some(folder) => {
                // Everything below one folder; endpoint and token are still those of the environment.
                let at = HubOptions::new(folder);
                match HubOptions::from_environment() {
                    Ok(env) => HubOptions {
                        hub_cache: at.hub_cache,
                        package_cache: at.package_cache,
                        ..env
                    },
                    Err(_) => at,
                }
            }
            None => HubOptions::from_environment()?,
        };
        options.offline |= self.global.offline;
        Ok(Hub::new(options))
    }

    /// Finds a model, fetching it if it is not here, with progress on standard error.
    ///
    /// # Errors
    /// Whatever the hub says.
    pub fn fetch(&self, text: &str) -> Result<Resolved> {
        let hub = self.hub()?;
        let name = hub.parse(text)?;
        let progress = Progress::new(self);
        let found = block_on(hub.resolve(&name, &|event| progress.hub(event)));
        progress.finish();
        Ok(found??)
    }

    /// Finds a model that must be here already.
    ///
    /// # Errors
    /// When it is not; the hint says how to get it.
    pub fn find(&self, text: &str) -> Result<Resolved> {
        let hub = self.hub()?;
        let name: Name = hub.parse(text)?;
        hub.find_local(&name)?.ok_or_else(|| errors::NotHere(name.to_string()).into())
    }
}

/// Runs a future of the hub to its end.
///
/// # Errors
/// When the system gives no event loop.
pub fn block_on<T>(future: impl Future<Output = T>) -> Result<T> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future))
}
