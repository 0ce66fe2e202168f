//! From a name to a path.

use std::{pin::pin, time::Duration};

use tessera_hub::{Event, Hub, HubOptions, Resolved};

use crate::{Lifecycle, LoadError, scheduler::Watch, work::Cancel};

/// How often a download looks whether anyone still waits for it.
const PATIENCE: Duration = Duration::from_millis(50);

/// Finds `name`, fetching what is not on this machine.
///
/// The Hub's client is asynchronous; the model's thread drives it with a small runtime of its own, so that
/// loading works under any executor and under none.
pub(crate) fn resolve(
    name: &str,
    options: Option<HubOptions>,
    watch: &Watch,
    cancel: &Cancel,
) -> Result<Resolved, LoadError> {
    let options = options.map_or_else(HubOptions::from_environment, Ok)?;
    let hub = Hub::new(options);
    let name = hub.parse(name)?;
    let system = |source| LoadError::System { what: "start the download's runtime", source };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system)?;
    let listener = |event| watch.lifecycle.set(state(event));
    runtime.block_on(async {
        let mut resolving = pin!(hub.resolve(&name, &listener));
        loop {
            match tokio::time::timeout(PATIENCE, &mut resolving).await {
                Ok(resolved) => return Ok(resolved?),
                Err(_) if cancel.is_set() => return Err(LoadError::Cancelled),
                Err(_) => {}
            }
        }
    })
}

/// The state of life that a hub's event means.
fn state(event: Event) -> Lifecycle {
    match event {
        Event::Resolving { name } => Lifecycle::Resolving { name },
        Event::Downloading { file, done, total, bytes_per_second } => {
            Lifecycle::Downloading { file, done, total, bytes_per_second }
        }
        other => Lifecycle::Fetching(other),
    }
}
