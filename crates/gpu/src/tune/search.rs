//! The search: each kernel of a model that could have another geometry is measured in all of them, where it is launched, with
//! what is bound there.
//!
//! It takes as long as it may, so it begins with what takes most of a step's time. Candidates are compiled together, of several
//! kernels at once; a short look at each leaves those that are worth a longer one.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    num::NonZero,
    ops::ControlFlow,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use tessera_graph::{BackendError, Batch, KvType, Rows};
use tessera_tile::Program;

use super::{Choice, Key, Table, probe::Probe, steps};

pub(crate) use super::steps::limits;
use crate::{
    device::{Device, Launch, Look},
    exec::Model,
    queue::Queue,
    stream::{BufferId, Shape},
};

/// A candidate is chosen if it takes at most this part of the default's time; less is noise.
const WORTH: f64 = 0.97;

/// A candidate has a longer look if a short one tells at most this many times the least that one told: more is no noise.
const CLOSE: f64 = 1.15;

/// Launches of a pass at most and at least, in a short look and in a longer one; between them as many as take [`ENOUGH`].
const LAUNCHES: [(usize, usize); 2] = [(4, 16), (8, 64)];

/// Seconds of launches that are long enough for a clock.
const ENOUGH: f64 = 2e-3;

/// Kernels that are compiled together, about, for each processor: some take a hundred times as long as others, and leave
/// processors idle at the end.
const TOGETHER: usize = 12;

/// What is searched.
#[derive(Debug, Clone)]
pub struct Search {
    /// Type of keys and values.
    pub kv: KvType,
    /// Rows of the steps, each one of [`ROWS`](super::ROWS).
    pub rows: Vec<u32>,
    /// Whether choices are saved.
    pub save: bool,
    /// How long it may take, about; what takes most time in a step comes first then.
    pub limit: Option<Duration>,
}

/// How far a search is.
#[derive(Debug, Clone, Copy)]
pub struct Reached<'a> {
    /// Kernels that are done.
    pub done: usize,
    /// Of how many.
    pub total: usize,
    /// Which one is next.
    pub key: &'a Key,
    /// How long the rest will take, once that can be told.
    pub left: Option<Duration>,
}

/// Told how far a search is; breaking ends it with what was found.
pub type Watch<'a> = dyn FnMut(Reached<'_>) -> ControlFlow<()> + 'a;

/// Why a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Everything was measured.
    Done,
    /// Its time was over.
    Limit,
    /// Whoever watched it had enough.
    Stopped,
}

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
    /// Geometries that were measured and seconds of a launch, the default first; of those that are far from the fastest by a
    /// short look alone.
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
    /// Kernels that it did not come to.
    pub missed: usize,
    /// Why it ended.
    pub ended: Ended,
    /// The device's table with this search's choices.
    pub table: Table,
    /// Where it was saved, if it was.
    pub saved: Option<PathBuf>,
    /// Why the table that was there is ignored, if it is.
    pub note: Option<String>,
}

/// Kernels on the device, by name: what differs in sizes alone shares them.
struct Kernels<D: Device>(HashMap<String, Result<D::Pipeline, String>>);

impl<D: Device> Kernels<D> {
    /// Builds what is not there of some probes' candidates, all together.
    fn build(&mut self, queue: &mut Queue<D>, probes: &[&Probe], first_only: bool) {
        let (mut names, mut programs): (Vec<String>, Vec<Program>) = (Vec::new(), Vec::new());
        for probe in probes {
            let count = if first_only { 1 } else { probe.names.len() };
            for (i, name) in probe.names.iter().enumerate().take(count) {
                if self.0.contains_key(name) || names.contains(name) {
                    continue;
                }
                match (probe.record)(i) {
                    Ok(program) => {
                        names.push(name.clone());
                        programs.push(program);
                    }
                    Err(why) => drop(self.0.insert(name.clone(), Err(why))),
                }
            }
        }
        let built = queue.build_each(&programs);
        let built = built.into_iter().map(|kernel| kernel.map_err(|error| error.to_string()));
        self.0.extend(names.into_iter().zip(built));
    }

    fn get(&self, name: &str) -> Result<&D::Pipeline, BackendError> {
        match self.0.get(name) {
            Some(Ok(kernel)) => Ok(kernel),
            Some(Err(why)) => Err(BackendError::Device(why.clone())),
            None => Err(BackendError::Device(format!("{name} was not built"))),
        }
    }
}

/// The time that a search has.
struct Clock {
    begun: Instant,
    limit: Option<Duration>,
}

impl Clock {
    fn is_over(&self) -> bool {
        self.limit.is_some_and(|limit| self.begun.elapsed() >= limit)
    }

    /// How long the rest takes, if it goes on as it went since `from`, and no longer than there is time.
    fn left(&self, from: Instant, done: usize, total: usize) -> Option<Duration> {
        let each = from.elapsed().checked_div(u32::try_from(done).ok()?)?;
        let all = each.saturating_mul(u32::try_from(total - done).ok()?);
        let limit = self.limit.map(|limit| limit.saturating_sub(self.begun.elapsed()));
        Some(all.min(limit.unwrap_or(Duration::MAX)))
    }
}

/// Measures in steps of `rows`, each one of [`ROWS`](super::ROWS); the model is one lowered for a search. What was found is in
/// `outcomes` even if it fails; how many kernels were left out is told.
pub(crate) fn search<D: Device>(
    model: &mut Model<D>,
    (rows, limit): (&[u32], Option<Duration>),
    watch: &mut Watch<'_>,
    outcomes: &mut Vec<Outcome>,
) -> Result<(Ended, usize), BackendError> {
    let clock = Clock { begun: Instant::now(), limit };
    let probes = model.take_probes();
    let graph = model.graph().clone();
    let mut batches = BTreeMap::new();
    for &rows in rows {
        batches.insert(rows, steps::step(model, &graph, rows)?);
    }
    let mut kernels = Kernels(HashMap::new());
    let mut order: Vec<&Probe> = Vec::new();
    for (&rows, batch) in &batches {
        let shape = model.shape(batch)?;
        let choice = |it: &&Probe| it.section == rows && it.names.len() > 1 && it.runs(&shape);
        order.extend(probes.iter().filter(choice));
    }
    if limit.is_some() {
        let cost = survey(model, &order, &batches, &mut kernels, &clock, watch)?;
        let Some(cost) = cost else { return Ok((Ended::Stopped, order.len())) };
        let mut sorted: Vec<_> = order.into_iter().zip(cost).collect();
        sorted.sort_by(|a, b| b.1.total_cmp(&a.1));
        order = sorted.into_iter().map(|(probe, _)| probe).collect();
    }
    let together = TOGETHER * thread::available_parallelism().map_or(1, NonZero::get);
    let (total, from) = (order.len(), Instant::now());
    let (mut done, mut built) = (0, 0);
    while let Some(probe) = order.get(done) {
        let left = clock.left(from, done, total);
        if watch(Reached { done, total, key: &probe.key, left }).is_break() {
            return Ok((Ended::Stopped, total - done));
        }
        if clock.is_over() {
            return Ok((Ended::Limit, total - done));
        }
        if built == done {
            let mut new = HashSet::new();
            while built < total && (built == done || new.len() < together) {
                new.extend(order[built].names.iter().filter(|name| !kernels.0.contains_key(*name)));
                built += 1;
            }
            kernels.build(model.bench().0, &order[done..built], false);
        }
        outcomes.push(measure(model, probe, &batches[&probe.section], &kernels)?);
        done += 1;
    }
    Ok((Ended::Done, 0))
}

/// What part of its step each kernel takes, as it is without choices; nothing if whoever watches has enough. Where time is over
/// the rest takes none.
fn survey<D: Device>(
    model: &mut Model<D>,
    probes: &[&Probe],
    batches: &BTreeMap<u32, Batch>,
    kernels: &mut Kernels<D>,
    clock: &Clock,
    watch: &mut Watch<'_>,
) -> Result<Option<Vec<f64>>, BackendError> {
    kernels.build(model.bench().0, probes, true);
    let mut costs = Vec::with_capacity(probes.len());
    let mut steps: HashMap<u32, f64> = HashMap::new();
    for probe in probes {
        let reached = Reached { done: 0, total: probes.len(), key: &probe.key, left: None };
        if watch(reached).is_break() {
            return Ok(None);
        }
        let mut cost = 0.0;
        if !clock.is_over() {
            let shape = model.submit(&batches[&probe.section], Some(probe.stage))?;
            let kernel = kernels.get(&probe.names[0])?;
            let seconds = time(model, probe, &shape, 0, kernel, (Look::Short, None))?;
            cost = seconds * probe.sites.len() as f64;
        }
        *steps.entry(probe.section).or_default() += cost;
        costs.push(cost);
    }
    let part = |(probe, cost): (&&Probe, f64)| cost / steps[&probe.section].max(f64::MIN_POSITIVE);
    Ok(Some(probes.iter().zip(costs).map(part).collect()))
}

impl Probe {
    /// Whether a step launches it as one of its section.
    fn runs(&self, shape: &Shape) -> bool {
        let runs = |site: &super::probe::Site| {
            (site.geometry)(0, shape, &mut Vec::new()).is_some_and(|grid| !grid.contains(&0))
        };
        let section = self.rows != Rows::Outputs || shape.rows(self.rows) == self.section;
        section && self.sites.iter().all(runs)
    }
}

/// Measures all candidates: shortly, and those that may be the fastest at length.
fn measure<D: Device>(
    model: &mut Model<D>,
    probe: &Probe,
    batch: &Batch,
    kernels: &Kernels<D>,
) -> Result<Outcome, BackendError> {
    // later stages would write over what this one reads
    let shape = model.submit(batch, Some(probe.stage))?;
    let mut look = |i: usize, look: (Look, Option<f64>)| {
        time(model, probe, &shape, i, kernels.get(&probe.names[i])?, look)
    };
    let mut times: Vec<(usize, f64)> = Vec::new();
    for i in 0..probe.names.len() {
        match look(i, (Look::Short, times.first().map(|time| time.1))) {
            Ok(time) => times.push((i, time)),
            Err(error) if i == 0 => return Err(error),
            // what the device cannot have is no choice
            Err(_) => {}
        }
    }
    let least = times.iter().fold(f64::INFINITY, |least, time| least.min(time.1));
    let mut close: Vec<bool> = times.iter().map(|time| time.1 <= CLOSE * least).collect();
    // what everything is compared with
    close[0] = true;
    if !D::EXACT {
        for ((i, seconds), _) in times.iter_mut().zip(&close).filter(|(_, close)| **close) {
            *seconds = look(*i, (Look::Long, Some(*seconds)))?;
        }
    }
    // of equals the first
    let faster = |a: usize, b: usize| if times[b].1 < times[a].1 { b } else { a };
    let best = (0..times.len()).filter(|&i| close[i]).reduce(faster).unwrap_or(0);
    let chosen = times[best].1 <= WORTH * times[0].1;
    let times: Vec<_> =
        times.into_iter().map(|(i, seconds)| (probe.names[i].clone(), seconds)).collect();
    Ok(Outcome {
        key: probe.key.clone(),
        label: probe.label.clone(),
        sites: probe.sites.len(),
        same_bits: probe.same_bits,
        refused: probe.names.len() - times.len(),
        best: if chosen { best } else { 0 },
        times,
    })
}

/// Seconds of a launch of a candidate, which takes about as many as are told, if they are.
fn time<D: Device>(
    model: &mut Model<D>,
    probe: &Probe,
    shape: &Shape,
    candidate: usize,
    kernel: &D::Pipeline,
    (look, about): (Look, Option<f64>),
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
    let (least, most) = LAUNCHES[look as usize];
    let enough = about.map_or(most, |about| (ENOUGH / about.max(1e-9)) as usize);
    let turns = enough.clamp(least, most);
    let launch = |buffers: &Vec<_>| Launch { buffers: buffers.clone(), args: args.clone(), grid };
    let launches: Vec<_> = places.iter().cycle().take(turns).map(launch).collect();
    Ok(queue.time(kernel, &launches, look)?)
}

/// Puts what was found into a table: choices, and that there is none any more.
pub(crate) fn record(table: &mut Table, outcomes: &[Outcome]) {
    let search = table.next_search();
    for outcome in outcomes {
        table.set(&outcome.key, outcome.choice(search));
    }
}
