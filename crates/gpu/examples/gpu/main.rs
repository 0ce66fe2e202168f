//! For a machine with a GPU: whether kernels give there what they give in the simulator, and how fast they are.

mod bench;
mod case;
mod cases;
mod selftest;
mod steps;

use std::{path::PathBuf, process::ExitCode};

use tessera_gpu::cuda::{Cache, Cuda, Options};

const USAGE: &str = "\
usage: gpu [options] <job>

  info             opens the device, compiles a kernel and runs it
  selftest quick   a few kernels of each kind, and steps of several launches
  selftest         all kernels and packings
  simulate         all of them in the simulator alone; needs no GPU
  bench matvec     4-bit products of decoding, beside a plain copy

  --device N       which device, 0 unless told
  --nvrtc PATH     NVRTC's library
  --cache FOLDER   where compiled kernels are kept, the user's cache unless told";

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
    let job: fn(&mut Cuda) -> Result<(), String> =
        match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["info"] => selftest::info,
            ["selftest", "quick"] => |device| selftest::run(device, true),
            ["selftest"] => |device| selftest::run(device, false),
            ["simulate"] => return selftest::simulated(),
            ["bench", "matvec"] => bench::matvec,
            _ => return Err(USAGE.into()),
        };
    let mut device = Cuda::open(options).map_err(|error| error.to_string())?;
    let (major, minor) = device.capability();
    println!("{}, compute capability {major}.{minor}", device.device_name());
    job(&mut device)
}
