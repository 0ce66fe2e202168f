//! A model on its way.

use std::{
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, mpsc},
    task::{Context, Poll},
};

use crate::{
    Canceller, Lifecycle, LifecycleStream, LoadError, LoadOptions, Model, Status,
    command::Command,
    errors::panic_message,
    lifecycle::Broadcast,
    queue::{Reader, queue},
    scheduler::{Scheduler, Watch},
    work::Cancel,
};

/// A model being loaded: await it under any executor, or [`wait`](Self::wait) for it. Dropping it gives
/// the loading up, wherever it is: between two stages, in a download, or while weights are laid out.
pub struct Loading {
    answer: Reader<Result<Model, LoadError>>,
    watch: Arc<Watch>,
    cancel: Cancel,
}

/// What a loading thread makes: the model, and what then serves it.
pub(crate) type Loaded = (Model, Scheduler, mpsc::Receiver<Command>);

impl Loading {
    /// Runs `load` on the model's own thread, which then serves the model.
    pub(crate) fn spawn(
        name: String,
        options: &LoadOptions,
        load: impl FnOnce(&Arc<Watch>, &Cancel) -> Result<Loaded, LoadError> + Send + 'static,
    ) -> Self {
        let lifecycle = Broadcast::new(options.on_event.clone());
        let watch = Arc::new(Watch { lifecycle, status: Mutex::new(Status::default()) });
        let cancel = Cancel::default();
        let (writer, answer) = queue(1);
        let writer = Arc::new(writer);
        let loading = Self { answer, watch: watch.clone(), cancel: cancel.clone() };
        let thread = std::thread::Builder::new().name("tessera-model".into());
        let spawned = thread.spawn({
            let writer = writer.clone();
            move || {
                let loaded = catch_unwind(AssertUnwindSafe(|| load(&watch, &cancel)));
                let loaded = loaded.unwrap_or_else(|panic| {
                    let (path, message) = (PathBuf::from(name), panic_message(panic));
                    Err(LoadError::Panicked { path, message })
                });
                match loaded {
                    Ok((model, scheduler, commands)) => {
                        watch.lifecycle.set(Lifecycle::Ready);
                        writer.push(Ok(model));
                        drop(writer);
                        scheduler.run(&commands);
                    }
                    Err(error) => {
                        watch.lifecycle.set(Lifecycle::Failed { message: error.to_string() });
                        writer.push(Err(error));
                    }
                }
            }
        });
        if let Err(source) = spawned {
            writer.push(Err(LoadError::System { what: "start the model's thread", source }));
        }
        loading
    }

    /// A handle that gives the loading up from elsewhere (a signal handler's thread, say); what waits for it
    /// then gets [`LoadError::Cancelled`].
    pub fn canceller(&self) -> Canceller {
        Canceller::new(self.cancel.clone())
    }

    /// What happens while the model loads, and afterwards.
    pub fn lifecycle(&self) -> LifecycleStream {
        self.watch.lifecycle.subscribe()
    }

    /// Waits for the model, blocking the thread.
    pub fn wait(mut self) -> Result<Model, LoadError> {
        self.answer.next_blocking().unwrap_or(Err(LoadError::Cancelled))
    }
}

impl Future for Loading {
    type Output = Result<Model, LoadError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.answer.poll_next(cx).map(|answer| answer.unwrap_or(Err(LoadError::Cancelled)))
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        self.cancel.set();
    }
}

impl fmt::Debug for Loading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Loading")
    }
}
