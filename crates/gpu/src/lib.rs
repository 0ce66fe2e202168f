//! The GPU backends: a graph is lowered once to a list of launches, which any device runs.
//!
//! What differs between devices is behind [`device::Device`]; what a kernel does is in `tessera-kernels`. A step is one
//! list of commands, handed over once and awaited once; only what was drawn comes back.

#[cfg(feature = "cuda")]
pub mod cuda;
pub mod device;
mod draws;
mod exec;
mod expand;
mod lower;
mod memory;
#[cfg(target_os = "macos")]
pub mod metal;
pub mod queue;
pub mod sim;
mod state;
pub mod stream;
mod tables;
mod weights;

use tessera_graph::{
    Backend, BackendError, Executable, Footprint, Graph, Limits, Progress, Weights,
};

use device::{Device, DeviceError};
pub use exec::Model;
pub use queue::Counters;
use tessera_tile::ir::Elem;
pub use tessera_tile::sim::Checks;

/// What is chosen for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// Type of operands of matrix tiles.
    pub stage: Elem,
}

/// A backend over one kind of device.
pub struct Gpu<F> {
    name: &'static str,
    tuning: Tuning,
    open: F,
}

impl<D: Device, F: Fn() -> Result<D, DeviceError>> Gpu<F> {
    /// `open` gives a device for each model.
    pub fn new(name: &'static str, tuning: Tuning, open: F) -> Self {
        Self { name, tuning, open }
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
        let device = (self.open)()?;
        Model::new(expand::expand(graph, weights), weights, limits, &self.tuning, device, progress)
    }
}

/// Tiles of f32, which multiply as fast as others on Apple's GPUs.
const EXACT: Tuning = Tuning { stage: Elem::F32 };

/// The backend over simulated devices.
pub fn sim(checks: Checks) -> Gpu<impl Fn() -> Result<sim::Sim, DeviceError>> {
    Gpu::new("sim", EXACT, move || Ok(sim::Sim::new(checks)))
}

/// The backend over an NVIDIA GPU. Whether there is one shows when the first model is compiled.
#[cfg(feature = "cuda")]
pub fn cuda(options: cuda::Options) -> Gpu<impl Fn() -> Result<cuda::Cuda, DeviceError>> {
    Gpu::new("cuda", Tuning { stage: Elem::F16 }, move || cuda::Cuda::open(options.clone()))
}

/// What stands for Metal's device where there is none.
#[cfg(not(target_os = "macos"))]
type MetalDevice = sim::Sim;
#[cfg(target_os = "macos")]
type MetalDevice = metal::Metal;

/// The backend over this Mac's GPU; machine code of kernels is kept in the user's folder for caches. Elsewhere, and on
/// Macs that are too old, every use is [`DeviceError::Absent`].
pub fn metal() -> Gpu<impl Fn() -> Result<MetalDevice, DeviceError>> {
    Gpu::new("metal", EXACT, || {
        #[cfg(target_os = "macos")]
        return metal::Metal::open(metal::user_cache().as_deref(), metal::Embedded::OWN);
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

    fn footprint(
        &self,
        graph: &Graph,
        weights: &Weights,
        limits: &Limits,
    ) -> Result<Footprint, BackendError> {
        weights.check(graph)?;
        exec::footprint(&expand::expand(graph, weights), weights, limits, &self.tuning)
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
    use super::{DeviceError, metal};

    #[test]
    fn metal_is_absent_where_it_is_not_apples() {
        let absent = (metal().open)().unwrap_err();
        assert!(matches!(absent, DeviceError::Absent { device: "metal", .. }), "{absent}");
        assert!(absent.to_string().contains(std::env::consts::OS), "{absent}");
    }
}
