//! How a model is loaded.

use clap::Args;
use tessera_graph::KvType;

use super::values;
use crate::device::Device;

/// Options of every command that runs a model.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Loading")]
pub struct LoadArgs {
    /// Positions of the context [default: as many as the model and the memory allow]
    #[arg(short, long, value_name = "N", allow_negative_numbers = true, value_parser = values::positive)]
    pub context: Option<usize>,
    /// What computes: auto, cpu, metal, cuda or sim [default: auto: a GPU that is here and has room for the model, unless --threads, --precise or --isa is given; else the processor]
    #[arg(
        long,
        value_enum,
        value_name = "DEVICE",
        default_value_t,
        hide_possible_values = true,
        hide_default_value = true
    )]
    pub device: Device,
    /// Threads of the processor [default: one for each core]
    #[arg(short, long, value_name = "N", allow_negative_numbers = true, value_parser = values::positive)]
    pub threads: Option<usize>,
    /// Compute with f32 activations instead of int8: slower, for comparison
    #[arg(long)]
    pub precise: bool,
    /// Instruction set: portable, avx2, avx-vnni, avx512 or avx512-bf16 [default: the best of this machine]
    #[arg(long, value_name = "ISA", value_parser = values::isa)]
    pub isa: Option<tessera_cpu::Level>,
    /// Type of remembered keys and values: f16, bf16 or f32 [default: what the processor multiplies best; f32 with --precise]
    #[arg(long, value_name = "TYPE", value_parser = values::kv)]
    pub kv: Option<KvType>,
    /// Memory the model may use, such as 800M or 4G [default: what is free on what computes, less a reserve]
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, value_parser = values::size)]
    pub memory: Option<u64>,
}
