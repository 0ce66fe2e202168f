//! Arguments of `tessera bench`, named as llama-bench names them.

use clap::Args;

use super::values;
use crate::device::Device;

/// Arguments of `tessera bench`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Lists are set apart by commas: `tessera bench smollm2 -p 128,512 -n 128 -t 1,2`."
)]
pub struct BenchArgs {
    /// The model [default: smollm2]
    pub model: Option<String>,
    /// Prompt tokens of each prefill test; 0 for none
    #[arg(short = 'p', long, value_name = "LIST", allow_negative_numbers = true, value_delimiter = ',', default_values_t = [512])]
    pub n_prompt: Vec<usize>,
    /// Tokens of each decode test; 0 for none
    #[arg(short = 'n', long, value_name = "LIST", allow_negative_numbers = true, value_delimiter = ',', default_values_t = [128])]
    pub n_gen: Vec<usize>,
    /// Tokens in the context before each test
    #[arg(short = 'd', long, value_name = "LIST", allow_negative_numbers = true, value_delimiter = ',', default_values_t = [0])]
    pub n_depth: Vec<usize>,
    /// Threads [default: one for each core]
    #[arg(short, long, value_name = "LIST", allow_negative_numbers = true, value_delimiter = ',', value_parser = values::positive)]
    pub threads: Vec<usize>,
    /// Measured repeats of each test
    #[arg(short, long, value_name = "N", allow_negative_numbers = true, value_parser = values::positive, default_value_t = 5)]
    pub repetitions: usize,
    /// Sequences side by side, each with all the tokens of a test
    #[arg(short = 's', long, value_name = "LIST", allow_negative_numbers = true, value_delimiter = ',', value_parser = values::positive, default_values_t = [1])]
    pub streams: Vec<usize>,
    /// Measure the machine instead: how fast it reads as many bytes as the weights, and multiplies integers
    #[arg(long)]
    pub limits: bool,
    /// Compute with f32 activations instead of int8
    #[arg(long)]
    pub precise: bool,
    /// Instruction set: portable, avx2, avx-vnni, avx512 or avx512-bf16 [default: the best of this machine]
    #[arg(long, value_name = "ISA", value_parser = values::isa)]
    pub isa: Option<tessera_cpu::Level>,
    /// What computes: auto, cpu, metal, cuda or sim
    #[arg(long, value_enum, value_name = "DEVICE", default_value_t, hide_possible_values = true)]
    pub device: Device,
    /// Type of remembered keys and values: f16, bf16 or f32 [default: what the processor multiplies best]
    #[arg(long, value_name = "TYPE", value_parser = values::kv)]
    pub kv: Option<tessera_graph::KvType>,
}
