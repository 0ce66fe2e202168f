//! Launches that the simulator wrote down, repeated on the GPU and compared.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use tessera_gpu::{
    cuda::{Cuda, Pipeline, Text},
    device::{Bound, Device, DeviceError},
};
use tessera_tile::{
    ir::Elem,
    sim::trace::{self, TracedKernel, TracedLaunch},
};

/// How far a result may lie from the simulator's, relative to the largest of its buffer: where there is nothing but
/// sums and products they are the same bits, but exponentials and their like have last bits of their own.
const LIMIT: f32 = 2e-5;

/// As [`LIMIT`], of kernels that multiply tiles, whose sums are in another order.
const TILES_LIMIT: f32 = 1e-3;

/// All launches of a file, or of the files in a folder.
pub fn run(device: &mut Cuda, path: &Path) -> Result<(), String> {
    let mut failed = 0;
    for file in files(path)? {
        let (kernels, launches) =
            trace::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        println!("{}", file.file_stem().unwrap_or_default().to_string_lossy());
        failed += compare(device, &kernels, &launches).map_err(|error| error.to_string())?;
    }
    match failed {
        0 => Ok(()),
        _ => Err(format!("{failed} launches gave something else")),
    }
}

fn files(path: &Path) -> Result<Vec<PathBuf>, String> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut files: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| file.extension().is_some_and(|extension| extension == "launches"))
        .collect();
    files.sort();
    match files.is_empty() {
        true => Err(format!("{}: no files of launches", path.display())),
        false => Ok(files),
    }
}

/// Repeats launches; how many gave something else.
fn compare(
    device: &mut Cuda,
    kernels: &[TracedKernel],
    launches: &[TracedLaunch],
) -> Result<usize, DeviceError> {
    let start = Instant::now();
    let before = device.compiled();
    let texts: Vec<Text> = kernels.iter().map(Text::from).collect();
    let pipelines = device.build_texts(&texts)?;
    println!(
        "  {} kernels, {} of them compiled, ready in {:.2?}",
        pipelines.len(),
        device.compiled() - before,
        start.elapsed()
    );
    let (mut exact, mut failed, mut farthest) = (0, 0, (0.0, "none"));
    for launch in launches {
        let kernel = &kernels[launch.kernel as usize];
        let got = repeat(device, &pipelines[launch.kernel as usize], launch).map_err(|error| {
            DeviceError::Run(format!(
                "{} {:?} {:?}: {error}",
                kernel.name, launch.grid, launch.args
            ))
        })?;
        let mut same = true;
        let mut error = 0.0f32;
        for (i, got) in got.iter().enumerate() {
            let wanted = [&launch.before[i], &launch.after[i]];
            let wanted = wanted[usize::from(!launch.after[i].is_empty())];
            if got != wanted {
                same = false;
                let binding = launch.bindings.iter().position(|it| it.memory as usize == i);
                let elem = binding.map_or(Elem::U8, |binding| kernel.buffers[binding]);
                error = error.max(difference(got, wanted, elem));
            }
        }
        let limit = if kernel.tiles { TILES_LIMIT } else { LIMIT };
        exact += usize::from(same);
        if error > farthest.0 {
            farthest = (error, &kernel.name);
        }
        if error > limit {
            failed += 1;
            let TracedLaunch { grid, args, .. } = launch;
            println!(
                "  FAILED {}, grid {grid:?}, arguments {args:?}: off by {error:e}",
                kernel.name
            );
        }
    }
    println!(
        "  {} launches: {exact} the same bits, {} nearly, {failed} not; farthest {:e}, {}",
        launches.len(),
        launches.len() - exact - failed,
        farthest.0,
        farthest.1
    );
    Ok(failed)
}

/// What each memory holds afterwards.
fn repeat(
    device: &mut Cuda,
    pipeline: &Pipeline,
    launch: &TracedLaunch,
) -> Result<Vec<Vec<u8>>, DeviceError> {
    let mut memories = Vec::new();
    for bytes in &launch.before {
        let mut memory = device.allocate(bytes.len(), "a launch")?;
        device.write(&mut memory, 0, bytes)?;
        memories.push(memory);
    }
    let bound: Vec<_> = launch
        .bindings
        .iter()
        .map(|it| Bound {
            buffer: &memories[it.memory as usize],
            offset: it.offset as usize,
            bytes: it.bytes as usize,
        })
        .collect();
    let mut commands = device.begin()?;
    device.dispatch(&mut commands, pipeline, &bound, &launch.args, launch.grid)?;
    let pending = device.commit(commands)?;
    device.wait(pending, &mut Vec::new())?;
    let mut after: Vec<_> = launch.before.iter().map(|bytes| vec![0; bytes.len()]).collect();
    for (memory, bytes) in memories.iter().zip(&mut after) {
        device.read(memory, 0, bytes)?;
    }
    Ok(after)
}

/// Largest difference relative to the largest wanted; infinite where one is no number and the other is, and where whole
/// numbers differ.
fn difference(got: &[u8], wanted: &[u8], elem: Elem) -> f32 {
    let (got, wanted) = match (floats(got, elem), floats(wanted, elem)) {
        (Some(got), Some(wanted)) => (got, wanted),
        _ => return f32::INFINITY,
    };
    let scale = wanted.iter().filter(|x| x.is_finite()).fold(1e-6f32, |max, x| max.max(x.abs()));
    got.iter().zip(&wanted).fold(0.0, |error: f32, (&got, &wanted)| {
        error.max(match (got.is_finite(), wanted.is_finite()) {
            (true, true) => (got - wanted).abs() / scale,
            _ if got == wanted || got.is_nan() && wanted.is_nan() => 0.0,
            _ => f32::INFINITY,
        })
    })
}

fn floats(bytes: &[u8], elem: Elem) -> Option<Vec<f32>> {
    let of_half = |x: &[u8; 2]| {
        // sign, then exponent and fraction as a single's, whose exponent is 112 more
        let bits = u32::from(u16::from_le_bytes(*x));
        let magnitude = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits(0x7780_0000);
        if bits & 0x8000 == 0 { magnitude } else { -magnitude }
    };
    match elem {
        Elem::F32 => Some(bytes.as_chunks().0.iter().map(|&x| f32::from_le_bytes(x)).collect()),
        Elem::BF16 => {
            let wide = |&[a, b]: &[u8; 2]| f32::from_le_bytes([0, 0, a, b]);
            Some(bytes.as_chunks().0.iter().map(wide).collect())
        }
        Elem::F16 => Some(bytes.as_chunks().0.iter().map(of_half).collect()),
        _ => None,
    }
}
