//! The search: each kernel of a model that could have another geometry is measured in all of them, where it is launched, with
//! what is bound there.

use std::{ops::ControlFlow, path::PathBuf};

use tessera_graph::{BackendError, Rows};
use tessera_tile::Program;

use super::{Choice, Key, Table, probe::Probe, steps};

pub(crate) use super::steps::limits;
use crate::{
    device::{Device, Launch},
    exec::Model,
    stream::Shape,
};

/// A candidate is chosen if it takes at most this part of the default's time; less is noise.
const WORTH: f64 = 0.97;

/// Launches of a pass at least.
const LAUNCHES: usize = 64;

/// What became of a kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// What the choice is for.
    pub key: Key,
    /// What it is a part of: `layers.0.mlp`.
    pub label: String,
    /// Places in the model that have it.
    pub sites: usize,
    /// Geometries that were measured, the default among them.
    pub measured: usize,
    /// Those that the device refused.
    pub refused: usize,
    /// Seconds of a launch in the default geometry.
    pub default_seconds: f64,
    /// The fastest, and its seconds; none if nothing is enough faster than the default.
    pub best: Option<(String, f64)>,
}

impl Outcome {
    /// How many times faster a launch is with what was chosen.
    pub fn gain(&self) -> f64 {
        self.best.as_ref().map_or(1.0, |(_, seconds)| self.default_seconds / seconds)
    }
}

/// What a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The [device](Device::identity).
    pub device: String,
    /// What became of each kernel.
    pub outcomes: Vec<Outcome>,
    /// The device's table with this search's choices.
    pub table: Table,
    /// Where it was saved, if it was.
    pub saved: Option<PathBuf>,
    /// Why the table that was there is ignored, if it is.
    pub note: Option<String>,
}

/// Told of kernels that are done, of how many, and which one is next; breaking cancels the search.
pub type Watch<'a> = dyn FnMut(usize, usize, &Key) -> ControlFlow<()> + 'a;

/// Measures in steps of `rows`, each one of [`ROWS`](super::ROWS); the model is one lowered for a search.
pub(crate) fn search<D: Device>(
    model: &mut Model<D>,
    rows: &[u32],
    watch: &mut Watch<'_>,
) -> Result<Vec<Outcome>, BackendError> {
    let probes = model.take_probes();
    let graph = model.graph().clone();
    let (mut outcomes, mut done) = (Vec::new(), 0);
    for &rows in rows {
        let batch = steps::step(model, &graph, rows)?;
        // what kernels read is what a step makes
        let shape = model.submit(&batch)?;
        for probe in probes.iter().filter(|probe| probe.section == rows) {
            if watch(done, probes.len(), &probe.key).is_break() {
                return Err(BackendError::Cancelled);
            }
            done += 1;
            outcomes.extend(measure(model, probe, &shape)?);
        }
    }
    Ok(outcomes)
}

/// Measures all candidates; none if the step does not launch the kernel.
fn measure<D: Device>(
    model: &mut Model<D>,
    probe: &Probe,
    shape: &Shape,
) -> Result<Option<Outcome>, BackendError> {
    let rows = shape.rows(probe.rows);
    let runs = |site: &super::probe::Site| {
        (site.geometry)(0, shape, &mut Vec::new()).is_some_and(|grid| !grid.contains(&0))
    };
    if (probe.rows == Rows::Outputs && rows != probe.section) || !probe.sites.iter().all(runs) {
        return Ok(None);
    }
    let programs: Vec<_> = (0..probe.names.len()).map(|i| (probe.record)(i)).collect();
    let mut times = Vec::new();
    for (i, program) in programs.into_iter().enumerate() {
        let time = match program {
            Ok(program) => time(model, probe, shape, i, &program)?,
            Err(_) => None,
        };
        if i == 0 && time.is_none() {
            let what = format!("{}: it cannot be measured", probe.names[0]);
            return Err(BackendError::Device(what));
        }
        times.extend(time.map(|time| (i, time)));
    }
    let default_seconds = times[0].1;
    // of equals the first
    let (best, seconds) =
        times.iter().copied().reduce(|a, b| if b.1 < a.1 { b } else { a }).unwrap_or(times[0]);
    let chosen = best != 0 && seconds <= WORTH * default_seconds;
    Ok(Some(Outcome {
        key: probe.key.clone(),
        label: probe.label.clone(),
        sites: probe.sites.len(),
        measured: times.len(),
        refused: probe.names.len() - times.len(),
        default_seconds,
        best: chosen.then(|| (probe.names[best].clone(), seconds)),
    }))
}

/// Seconds of a launch of a candidate; none if the device cannot have it.
fn time<D: Device>(
    model: &mut Model<D>,
    probe: &Probe,
    shape: &Shape,
    candidate: usize,
    program: &Program,
) -> Result<Option<f64>, BackendError> {
    let (queue, buffers) = model.bench();
    let Ok(mut kernels) = queue.build(std::slice::from_ref(program)) else { return Ok(None) };
    let Some(kernel) = kernels.pop() else { return Ok(None) };
    let mut launches = Vec::new();
    let turns = LAUNCHES.div_ceil(probe.sites.len());
    for site in probe.sites.iter().cycle().take(turns * probe.sites.len()) {
        let mut args = Vec::new();
        let Some(grid) = (site.geometry)(candidate, shape, &mut args) else { return Ok(None) };
        let bound = site.bindings.iter().map(|range| buffers.bind(range));
        launches.push(Launch { buffers: bound.collect::<Result<_, _>>()?, args, grid });
    }
    match queue.time(&kernel, &launches) {
        Ok(seconds) => Ok(Some(seconds)),
        Err(error) if candidate == 0 => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// Puts what was found into a table: choices, and that there is none any more.
pub(crate) fn record(table: &mut Table, outcomes: &[Outcome]) {
    let search = table.next_search();
    for outcome in outcomes {
        let &Outcome { default_seconds, ref best, .. } = outcome;
        let choice = best.clone().map(|(kernel, seconds)| Choice {
            kernel,
            default_seconds,
            seconds,
            search,
        });
        table.set(&outcome.key, choice);
    }
}
