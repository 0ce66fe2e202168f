//! For a machine with a GPU: whether kernels give there what they give in the simulator, and how fast they are.

mod bench;
mod selftest;
mod steps;
mod tune;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use tessera_gpu::cuda::{Cache, Cuda, Options};

const USAGE: &str = "\
usage: gpu [options] <job>

  steps            steps of several launches, and mistakes that are refused
  selftest <path>  repeats launches written down by tests, of a file or of a folder
  bench copy       a plain copy
  bench matvec     4-bit products of decoding beside it
  bench matmul     products of prompts, with weights copied ahead and without
  bench attend     attention of prompts, with keys and values copied ahead and without
  bench upload     what goes to the device's memory outside of steps, as weights do
  tune <path> [minutes]
                   all geometries of the kernels of a model in a folder

  --device N       which device, 0 unless told
  --nvrtc PATH     NVRTC's library
  --cache FOLDER   where compiled kernels are kept, the user's cache unless told

Tests write launches down when they are told where:
  TESSERA_LAUNCHES=<folder> cargo test -p tessera-kernels --release";

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let mut options = Options::default();
    let mut words = Vec::new();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} of what?\n{USAGE}"));
        match argument.as_str() {
            "--device" => {
                let value = value()?;
                options.ordinal = value.parse().map_err(|e| format!("device {value:?}: {e}"))?;
            }
            "--nvrtc" => options.nvrtc = Some(PathBuf::from(value()?)),
            "--cache" => options.cache = Some(Cache::new(value()?, 256 << 20)),
            _ => words.push(argument),
        }
    }
    let mut device = Cuda::open(options.clone()).map_err(|error| error.to_string());
    if let Ok(device) = &device {
        let (major, minor) = device.capability();
        println!("{}, compute capability {major}.{minor}", device.device_name());
    }
    let device = device.as_mut().map_err(|error| error.clone());
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["steps"] => steps::run(device?),
        ["selftest", path] => selftest::run(device?, Path::new(path)),
        ["bench", "copy"] => bench::copy(device?),
        ["bench", "matvec"] => bench::matvec(device?),
        ["bench", "matmul"] => bench::prompt::matmul(device?),
        ["bench", "attend"] => bench::prompt::attend(device?),
        ["bench", "upload"] => bench::upload(device?),
        ["tune", path] => tune::run(options, Path::new(path), None),
        ["tune", path, minutes] => {
            let minutes = minutes.parse().map_err(|e| format!("{minutes:?} minutes: {e}"))?;
            tune::run(options, Path::new(path), Some(minutes))
        }
        _ => Err(USAGE.into()),
    }
}
