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
    queue::Queue,
    stream::{BufferId, Shape},
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
    /// Whether all geometries give the same bits; if not they differ by rounding.
    pub same_bits: bool,
    /// Geometries that were measured and seconds of a launch, the default first.
    pub times: Vec<(String, f64)>,
    /// How many geometries the device refused.
    pub refused: usize,
    /// The fastest of `times`; 0 if nothing is enough faster than the default.
    pub best: usize,
}

impl Outcome {
    /// How many times faster a launch is with what was chosen.
    pub fn gain(&self) -> f64 {
        self.times[0].1 / self.times[self.best].1
    }

    fn choice(&self, search: u64) -> Option<Choice> {
        let (kernel, seconds) = self.times[self.best].clone();
        let default_seconds = self.times[0].1;
        (self.best > 0).then(|| Choice::new(kernel, default_seconds, seconds, search))
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
        for probe in probes.iter().filter(|probe| probe.section == rows) {
            if watch(done, probes.len(), &probe.key).is_break() {
                return Err(BackendError::Cancelled);
            }
            done += 1;
            // later stages would write over what this one reads
            let shape = model.submit(&batch, Some(probe.stage))?;
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
    let mut times = Vec::new();
    for (i, kernel) in build(model.bench().0, probe).into_iter().enumerate() {
        let time = kernel.map(|kernel| time(model, probe, shape, i, &kernel));
        match time.unwrap_or_else(|why| Err(BackendError::Device(why))) {
            Ok(time) => times.push((probe.names[i].clone(), time)),
            Err(error) if i == 0 => return Err(error),
            // what the device cannot have is no choice
            Err(_) => {}
        }
    }
    // of equals the first
    let faster = |a: usize, b: usize| if times[b].1 < times[a].1 { b } else { a };
    let best = (0..times.len()).reduce(faster).unwrap_or(0);
    let chosen = times[best].1 <= WORTH * times[0].1;
    Ok(Some(Outcome {
        key: probe.key.clone(),
        label: probe.label.clone(),
        sites: probe.sites.len(),
        same_bits: probe.same_bits,
        refused: probe.names.len() - times.len(),
        best: if chosen { best } else { 0 },
        times,
    }))
}

/// Builds all candidates: together, as devices are faster so, or else each by itself, to know which one it is that fails.
fn build<D: Device>(queue: &mut Queue<D>, probe: &Probe) -> Vec<Result<D::Pipeline, String>> {
    let programs: Vec<_> = (0..probe.names.len()).map(|i| (probe.record)(i)).collect();
    let sound = programs.iter().flatten().cloned().collect::<Vec<_>>();
    if sound.len() == programs.len()
        && let Ok(kernels) = queue.build(&sound)
    {
        return kernels.into_iter().map(Ok).collect();
    }
    let mut alone = |program: Program| {
        let built = queue.build(&[program]).map_err(|error| error.to_string())?;
        built.into_iter().next().ok_or_else(|| "nothing was built".to_owned())
    };
    programs.into_iter().map(|program| program.and_then(&mut alone)).collect()
}

/// Seconds of a launch of a candidate.
fn time<D: Device>(
    model: &mut Model<D>,
    probe: &Probe,
    shape: &Shape,
    candidate: usize,
    kernel: &D::Pipeline,
) -> Result<f64, BackendError> {
    let (queue, buffers) = model.bench();
    let first = &probe.sites[0];
    let mut args = Vec::new();
    let grid = (first.geometry)(candidate, shape, &mut args).ok_or_else(|| {
        BackendError::Device(format!("{} refuses its sizes", probe.names[candidate]))
    })?;
    let mut places = Vec::new();
    for site in &probe.sites {
        let mut own = Vec::new();
        if (site.geometry)(candidate, shape, &mut own) == Some(grid) && own == args {
            let bound = first.bindings.iter().zip(&site.bindings).map(|(first, own)| {
                // of the step only what the first place reads has been made
                let weight = matches!(own.buffer, BufferId::Weight(_));
                buffers.bind(if weight { own } else { first })
            });
            places.push(bound.collect::<Result<Vec<_>, _>>()?);
        }
    }
    let turns = LAUNCHES.div_ceil(places.len()) * places.len();
    let launch = |buffers: &Vec<_>| Launch { buffers: buffers.clone(), args: args.clone(), grid };
    let launches: Vec<_> = places.iter().cycle().take(turns).map(launch).collect();
    Ok(queue.time(kernel, &launches)?)
}

/// Puts what was found into a table: choices, and that there is none any more.
pub(crate) fn record(table: &mut Table, outcomes: &[Outcome]) {
    let search = table.next_search();
    for outcome in outcomes {
        table.set(&outcome.key, outcome.choice(search));
    }
}
