//! The GPU backends: a graph is lowered once to a list of launches, which any device runs.
//!
//! What differs between devices is behind [`device::Device`]; what a kernel does is in `tessera-kernels`. A step is one
//! list of commands, handed over once and awaited once; only what was drawn comes back.

mod adopt;
mod ahead;
mod caches;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod device;
mod draws;
mod exec;
mod expand;
mod held;
mod lower;
mod memory;
#[cfg(target_os = "macos")]
pub mod metal;
pub mod queue;
pub mod replay;
mod room;
pub mod sim;
mod state;
pub mod stream;
mod tables;
pub mod tune;
mod weights;

use std::{any::Any, sync::Mutex, time::Duration};

use tessera_graph::{
    Backend, BackendError, DeviceMemory, Executable, Footprint, Graph, Limits, Progress, Weights,
};

use device::{Device, DeviceError};
pub use exec::Model;
pub use queue::Counters;
use tessera_tile::ir::Elem;
pub use tessera_tile::sim::Checks;

/// What is chosen for a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuning {
    /// Type of operands of matrix tiles.
    pub stage: Elem,
    /// Geometries of kernels.
    pub choices: tune::Table,
    /// Whether lowering remembers what could have another geometry.
    probe: bool,
}

impl Tuning {
    /// Geometries as they are without a search.
    pub const fn new(stage: Elem) -> Self {
        Self { stage, choices: tune::Table::new(), probe: false }
    }
}

/// A backend over one kind of device.
pub struct Gpu<F> {
    name: &'static str,
    tuning: Tuning,
    tables: Option<tune::Folder>,
    open: F,
    /// A device that was opened to be looked at, for the next model: opening one takes a while.
    opened: Mutex<Option<Box<dyn Any + Send>>>,
}

impl<D: Device, F: Fn() -> Result<D, DeviceError>> Gpu<F> {
    /// `open` gives a device for each model.
    pub fn new(name: &'static str, tuning: Tuning, open: F) -> Self {
        Self { name, tuning, tables: None, open, opened: Mutex::default() }
    }

    /// A device that nobody has yet.
    fn device(&self) -> Result<D, DeviceError> {
        match self.opened().take().map(|opened| opened.downcast()) {
            Some(Ok(device)) => Ok(*device),
            _ => (self.open)(),
        }
    }

    fn opened(&self) -> std::sync::MutexGuard<'_, Option<Box<dyn Any + Send>>> {
        self.opened.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The same with the geometries that searches have found, each device's in this folder.
    pub fn with_tables(self, tables: Option<tune::Folder>) -> Self {
        Self { tables, ..self }
    }

    /// Measures the geometries of a model's kernels. Choices are saved where this backend's tables are, if it has any and that
    /// is asked for; also those of a search that was stopped, or that failed on its way.
    ///
    /// # Errors
    /// When the model cannot be compiled or a step fails, and when the table cannot be written.
    pub fn tune(
        &self,
        graph: &Graph,
        weights: &Weights,
        search: &tune::Search,
        watch: &mut tune::search::Watch<'_>,
    ) -> Result<tune::Report, BackendError> {
        let tune::Search { kv, rows, save, limit } = search;
        if let Some(rows) = rows.iter().find(|rows| !tune::ROWS.contains(rows)) {
            let what = format!("tuning for {rows} rows: choose of {:?}", tune::ROWS);
            return Err(BackendError::Unsupported { backend: self.name, what });
        }
        weights.check(graph)?;
        let device = self.device()?;
        let identity = device.identity();
        let (mut table, note) =
            self.tables.as_ref().map_or_else(Default::default, |tables| tables.load(&identity));
        let tuning = Tuning { probe: true, ..self.tuning.clone() };
        let graph = expand::expand(graph, weights);
        let limits = tune::search::limits(rows, *kv);
        let unwatched = &mut tessera_graph::unwatched;
        let mut model = Model::new(graph, weights, &limits, &tuning, device, unwatched)?;
        let mut outcomes = Vec::new();
        let ended = tune::search::search(&mut model, (rows, *limit), watch, &mut outcomes);
        tune::search::record(&mut table, &outcomes);
        let tables = self.tables.as_ref().filter(|_| *save && !outcomes.is_empty());
        let saved = tables.map(|tables| {
            let path = tables.path(&identity);
            tables.save(&identity, &table).map_err(|error| {
                BackendError::Device(format!("cannot save {}: {error}", path.display()))
            })
        });
        let ((ended, missed), saved) = (ended?, saved.transpose()?);
        Ok(tune::Report { device: identity, outcomes, missed, ended, table, saved, note })
    }

    /// The kernels of a model without any tuning, to be compiled beforehand; no device is needed.
    ///
    /// # Errors
    /// When the device's kernels do not do what the graph asks for.
    pub fn programs(
        &self,
        graph: &Graph,
        weights: &Weights,
        limits: &Limits,
    ) -> Result<Vec<tessera_tile::Program>, BackendError> {
        weights.check(graph)?;
        let graph = expand::expand(graph, weights);
        Ok(lower::lower(&graph, weights, limits, &self.tuning)?.stream.programs)
    }

    /// As [`Backend::compile`], with the device's own type.
    pub fn model(
        &self,
        graph: &Graph,
        weights: &Weights,
        limits: &Limits,
        progress: &mut Progress<'_>,
    ) -> Result<Model<D>, BackendError> {
        weights.check(graph)?;
        let device = self.device()?;
        let mut tuning = self.tuning.clone();
        if let Some(tables) = &self.tables {
            let (choices, note) = tables.load(&device.identity());
            tuning.choices = choices;
            if let Some(note) = note {
                tracing::warn!("{note}");
            }
        }
        Model::new(expand::expand(graph, weights), weights, limits, &tuning, device, progress)
    }
}

/// Tiles of f32, which multiply as fast as others on Apple's GPUs.
const EXACT: Tuning = Tuning::new(Elem::F32);

/// The backend over simulated devices.
pub fn sim(checks: Checks) -> Gpu<impl Fn() -> Result<sim::Sim, DeviceError>> {
    Gpu::new("sim", EXACT, move || Ok(sim::Sim::new(checks)))
}

/// The backend over an NVIDIA GPU. Whether there is one shows when the first model is compiled.
#[cfg(feature = "cuda")]
pub fn cuda(options: cuda::Options) -> Gpu<impl Fn() -> Result<cuda::Cuda, DeviceError>> {
    Gpu::new("cuda", Tuning::new(Elem::F16), move || cuda::Cuda::open(options.clone()))
}

/// As [`cuda()`], and absent as well where kernels can neither be compiled nor were embedded: to choose a device that will do.
#[cfg(feature = "cuda")]
pub fn cuda_ready(options: cuda::Options) -> Gpu<impl Fn() -> Result<cuda::Cuda, DeviceError>> {
    Gpu::new("cuda", Tuning::new(Elem::F16), move || {
        let device = cuda::Cuda::open(options.clone())?;
        device.ready().map(|()| device)
    })
}

/// What stands for Metal's device where there is none.
#[cfg(not(target_os = "macos"))]
pub type MetalDevice = sim::Sim;
/// Metal's device.
#[cfg(target_os = "macos")]
pub type MetalDevice = metal::Metal;

/// What may be chosen about Metal's device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetalOptions {
    /// Whether a step's launches that come again are encoded only once, as indirect commands.
    pub indirect: bool,
    /// How long a step may take. One that takes longer is given up with [`DeviceError::Hung`].
    pub patience: Duration,
}

impl Default for MetalOptions {
    /// No indirect commands, two minutes.
    fn default() -> Self {
        Self { indirect: false, patience: Duration::from_secs(120) }
    }
}

/// The backend over this Mac's GPU; machine code of kernels is kept in the user's folder for caches. Elsewhere, and on
/// Macs that are too old, every use is [`DeviceError::Absent`].
pub fn metal(options: MetalOptions) -> Gpu<impl Fn() -> Result<MetalDevice, DeviceError>> {
    Gpu::new("metal", EXACT, move || {
        #[cfg(target_os = "macos")]
        return metal::Metal::open(metal::user_cache().as_deref(), metal::Embedded::OWN, &options);
        #[cfg(not(target_os = "macos"))]
        let _ = &options;
        #[cfg(not(target_os = "macos"))]
        return Err(DeviceError::Absent {
            device: "metal",
            why: format!("Metal is Apple's, this is {}", std::env::consts::OS),
        });
    })
}

impl<D: Device, F: Fn() -> Result<D, DeviceError>> Backend for Gpu<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn memory(&self) -> Result<Option<DeviceMemory>, BackendError> {
        let device = self.device()?;
        let memory = device.memory()?;
        *self.opened() = Some(Box::new(device));
        Ok(memory)
    }

    fn footprint(
        &self,
        graph: &Graph,
        weights: &Weights,
        limits: &Limits,
    ) -> Result<Footprint, BackendError> {
        weights.check(graph)?;
        let graph = expand::expand(graph, weights);
        room::footprint(&graph, weights, limits, &self.tuning, D::ADOPTS)
    }

    fn compile(
        &self,
        graph: &Graph,
        weights: Weights,
        limits: &Limits,
        progress: &mut Progress<'_>,
    ) -> Result<Box<dyn Executable>, BackendError> {
        Ok(Box::new(self.model(graph, &weights, limits, progress)?))
    }
}

#[cfg(all(test, not(target_os = "macos")))]
mod tests {
    use super::{DeviceError, MetalOptions, metal};

    #[test]
    fn metal_is_absent_where_it_is_not_apples() {
        let absent = (metal(MetalOptions::default()).open)().unwrap_err();
        assert!(matches!(absent, DeviceError::Absent { device: "metal", .. }), "{absent}");
        assert!(absent.to_string().contains(std::env::consts::OS), "{absent}");
    }
}
