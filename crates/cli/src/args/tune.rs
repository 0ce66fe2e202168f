//! Arguments of `tessera tune`.

use clap::Args;
use tessera_graph::KvType;

use super::values;
use crate::device::Device;

/// Arguments of `tessera tune`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "What is found is kept for the device, and used by every later run on it. Kernels give \
                  the same results in all their geometries, but for rounding."
)]
pub struct TuneArgs {
    /// The model [default: smollm2]
    pub model: Option<String>,
    /// What to tune for: metal, cuda or sim (by a cost model, for tests)
    #[arg(long, value_enum, value_name = "DEVICE", required = true, hide_possible_values = true)]
    pub device: Device,
    /// Rows of the steps to measure in: up to 16 sequences side by side, 64 and 512 tokens of a prompt
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = values::tuned_rows, default_values_t = tessera_gpu::tune::ROWS)]
    pub rows: Vec<u32>,
    /// Type of remembered keys and values: f16, bf16 or f32
    #[arg(long, value_name = "TYPE", value_parser = values::kv, default_value = "f16")]
    pub kv: KvType,
    /// Minutes it may take, about; what takes most of a step's time is measured first
    #[arg(long, value_name = "N", default_value_t = 5.0, value_parser = values::minutes)]
    pub minutes: f64,
    /// Measure and print, but keep nothing
    #[arg(long)]
    pub dry_run: bool,
}
