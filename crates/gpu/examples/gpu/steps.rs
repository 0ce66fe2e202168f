//! Steps of several launches: the first plain, the second captured, the rest replayed, all with the results that a sum says.

use tessera_gpu::{
    cuda::{Cuda, Replays},
    device::{Bound, Device, DeviceError},
};
use tessera_kernels::{
    pointwise::{Op, Pointwise, PointwiseArgs},
    select::{SelectRows, SelectRowsArgs},
};
use tessera_tile::{Arguments, Record, Spec};

const WIDTH: usize = 5000;
const ROWS: usize = 3;

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// Runs them.
pub fn run(device: &mut Cuda) -> Result<(), String> {
    let counts = repeated(device).map_err(|error| format!("steps: {error}"))?;
    println!("steps: {counts:?}");
    refused(device)
}

/// What a step makes of `x` and a choice of its rows: `(x[row] + x[row]) * factor`, by three kernels.
fn repeated(device: &mut Cuda) -> Result<Replays, DeviceError> {
    let before = device.replays();
    let select = SelectRows;
    let (add, scale) = (Pointwise { op: Op::Add }, Pointwise { op: Op::Scale });
    let record = |program: Result<_, tessera_tile::BuildError>| program.expect("records");
    let programs = [record(select.record()), record(add.record()), record(scale.record())];
    let pipelines = device.build(&programs)?;
    let mut memory = Vec::new();
    for bytes in [4 * WIDTH * 4, ROWS * 4, ROWS * WIDTH * 4, ROWS * WIDTH * 4, ROWS * WIDTH * 4] {
        memory.push(device.allocate(bytes, "steps")?);
    }
    let x: Vec<f32> = (0..4 * WIDTH).map(|i| i as f32 / 16.0).collect();
    device.write(&mut memory[0], 0, &floats(&x))?;
    let mut downloaded = Vec::new();
    for step in 0..40usize {
        // factors alternate, so that two graphs are kept
        let factor = [0.5, 2.0][step % 2];
        let rows: Vec<u32> = (0..ROWS).map(|r| ((step + r) % 4) as u32).collect();
        let chosen = SelectRowsArgs { rows: ROWS as u32, width: WIDTH as u32 };
        let size = PointwiseArgs { rows: ROWS as u32, width: WIDTH as u32, factor, limit: 0.0 };
        let mut commands = device.begin()?;
        device.upload(&mut commands, &mut memory[1], 0, &words(&rows))?;
        let at = |i: usize| {
            let buffer = &memory[i];
            Bound { buffer, offset: 0, bytes: buffer.bytes() }
        };
        let launches = [
            (vec![at(0), at(1), at(2)], chosen.words(), select.grid(&chosen)),
            (vec![at(2), at(2), at(3)], size.words(), add.grid(&size)),
            (vec![at(3), at(4)], size.words(), scale.grid(&size)),
        ];
        for (pipeline, (buffers, args, grid)) in pipelines.iter().zip(&launches) {
            device.dispatch(&mut commands, pipeline, buffers, args, *grid)?;
            device.barrier(&mut commands)?;
        }
        device.download(&mut commands, at(4))?;
        let pending = device.commit(commands)?;
        device.wait(pending, &mut downloaded)?;
        let wanted: Vec<f32> = rows
            .iter()
            .flat_map(|&row| &x[row as usize * WIDTH..][..WIDTH])
            .map(|x| (x + x) * factor)
            .collect();
        if downloaded != floats(&wanted) {
            return Err(DeviceError::Run(format!("step {step} gave something else")));
        }
    }
    let after = device.replays();
    let counts = Replays {
        plain: after.plain - before.plain,
        captured: after.captured - before.captured,
        replayed: after.replayed - before.replayed,
    };
    match counts == (Replays { plain: 2, captured: 2, replayed: 36 }) {
        true => Ok(counts),
        false => {
            Err(DeviceError::Run(format!("not as many replays as there should be: {counts:?}")))
        }
    }
}

/// What a caller does wrong is refused, and the device goes on.
fn refused(device: &mut Cuda) -> Result<(), String> {
    let select = SelectRows;
    let error = |error: DeviceError| error.to_string();
    let program = select.record().map_err(|error| error.to_string())?;
    let pipeline = device.build(&[program]).map_err(error)?.remove(0);
    let buffer = device.allocate(1024, "steps").map_err(error)?;
    let at = |offset: usize, bytes: usize| Bound { buffer: &buffer, offset, bytes };
    let whole = at(0, 1024);
    let mut commands = device.begin().map_err(error)?;
    let wrong = [
        device.dispatch(&mut commands, &pipeline, &[whole; 2], &[1, 1], [1; 3]),
        device.dispatch(&mut commands, &pipeline, &[whole; 3], &[1], [1; 3]),
        device.dispatch(&mut commands, &pipeline, &[whole, whole, at(8, 16)], &[1, 1], [1; 3]),
        device.dispatch(&mut commands, &pipeline, &[whole, whole, at(16, 1024)], &[1, 1], [1; 3]),
        device.dispatch(&mut commands, &pipeline, &[whole; 3], &[1, 1], [1, 65_536, 1]),
        device.download(&mut commands, at(1024, 1)),
        device.read(&buffer, 1020, &mut [0; 8]),
        device.allocate(1 << 48, "too much").map(drop),
    ];
    let accepted = wrong.iter().position(Result::is_ok);
    drop(commands);
    match accepted {
        None => println!("refusals: {} of {}", wrong.len(), wrong.len()),
        Some(i) => return Err(format!("mistake {i} was accepted")),
    }
    Ok(())
}
