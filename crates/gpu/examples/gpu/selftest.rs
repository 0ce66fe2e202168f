//! Kernels on the GPU and in the simulator, compared.

use std::{collections::HashMap, time::Instant};

use tessera_gpu::{cuda::Cuda, device::Device, sim::Sim};
use tessera_tile::{Program, ir::Elem, sim::Checks};

use crate::{case::Case, cases, steps};

/// The first case alone.
pub fn info(device: &mut Cuda) -> Result<(), String> {
    let case = cases::all(true).swap_remove(0);
    let name = case.program.name.clone();
    println!("{name}: {}", check(device, &[case])?);
    Ok(())
}

/// All cases in the simulator, with everything checked.
pub fn simulated() -> Result<(), String> {
    let mut sim = Sim::new(Checks::All);
    let cases = cases::all(false);
    for case in &cases {
        let name = || format!("{} ({})", case.program.name, case.what);
        let pipeline = sim.build(std::slice::from_ref(&case.program));
        let pipeline = pipeline.map_err(|error| error.to_string())?.remove(0);
        case.run(&mut sim, &pipeline).map_err(|error| format!("{}: {error}", name()))?;
    }
    println!("{} cases without a fault", cases.len());
    Ok(())
}

/// All cases, and steps of several launches.
pub fn run(device: &mut Cuda, quick: bool) -> Result<(), String> {
    println!("{}", check(device, &cases::all(quick))?);
    steps::run(device)
}

/// Runs each case on both; what there is to say.
fn check(device: &mut Cuda, cases: &[Case]) -> Result<String, String> {
    let mut programs: HashMap<&str, &Program> = HashMap::new();
    for case in cases {
        programs.insert(&case.program.name, &case.program);
    }
    let mut programs: Vec<Program> = programs.into_values().cloned().collect();
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    let start = Instant::now();
    let pipelines = device.build(&programs).map_err(|error| error.to_string())?;
    println!(
        "{} kernels, {} of them compiled, ready in {:?}",
        programs.len(),
        device.compiled(),
        start.elapsed()
    );
    let mut sim = Sim::new(Checks::Access);
    let simulated = sim.build(&programs).map_err(|error| error.to_string())?;
    let (mut exact, mut worst, mut failures) = (0, (0.0, String::new()), Vec::new());
    for case in cases {
        let name = format!("{} ({})", case.program.name, case.what);
        let at = programs.partition_point(|program| program.name < case.program.name);
        let wanted =
            case.run(&mut sim, &simulated[at]).map_err(|error| format!("{name}: {error}"))?;
        let got = case.run(device, &pipelines[at]).map_err(|error| format!("{name}: {error}"))?;
        if got == wanted {
            exact += 1;
            continue;
        }
        let mut error = 0.0f32;
        for ((got, wanted), i) in got.iter().zip(&wanted).zip(case.results()) {
            error = error.max(difference(got, wanted, case.program.buffers[i].elem));
        }
        if error > worst.0 {
            worst = (error, name.clone());
        }
        if error.is_nan() || error > case.limit {
            failures
                .push(format!("{name}: off by {error:e} of the largest, allowed {:e}", case.limit));
        }
    }
    let said = format!(
        "{} cases: {exact} bit for bit, {} within their limits; farthest {:e}, {}",
        cases.len(),
        cases.len() - exact - failures.len(),
        worst.0,
        worst.1
    );
    match failures.is_empty() {
        true => Ok(said),
        false => Err(format!("{}\n{said}; {} FAILED", failures.join("\n"), failures.len())),
    }
}

/// Largest difference relative to the largest wanted; infinite where one is no number and the other is.
fn difference(got: &[u8], wanted: &[u8], elem: Elem) -> f32 {
    let (got, wanted) = (values(got, elem), values(wanted, elem));
    let scale = wanted.iter().filter(|x| x.is_finite()).fold(1e-6f32, |max, x| max.max(x.abs()));
    got.iter().zip(&wanted).fold(0.0, |error: f32, (&got, &wanted)| {
        let off = match (got.is_finite(), wanted.is_finite()) {
            (true, true) => (got - wanted).abs() / scale,
            _ if got.to_bits() == wanted.to_bits() || got.is_nan() && wanted.is_nan() => 0.0,
            _ => f32::INFINITY,
        };
        error.max(off)
    })
}

fn values(bytes: &[u8], elem: Elem) -> Vec<f32> {
    match elem {
        Elem::F32 => bytes.as_chunks::<4>().0.iter().map(|&x| f32::from_le_bytes(x)).collect(),
        Elem::BF16 => {
            let wide = |&[a, b]: &[u8; 2]| f32::from_le_bytes([0, 0, a, b]);
            bytes.as_chunks::<2>().0.iter().map(wide).collect()
        }
        // whatever else differs is wrong: each byte counts
        _ => bytes.iter().map(|&x| f32::from(x)).collect(),
    }
}
