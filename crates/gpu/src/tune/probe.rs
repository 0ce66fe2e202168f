//! Launches that could have another geometry, as the lowering leaves them for a search.

use tessera_graph::Rows;
use tessera_kernels::tune::{Tunable, allowed};
use tessera_tile::{Arguments, Program};

use super::Key;
use crate::stream::{Range, Shape};

/// Grid of a candidate for a step's shape, and words of the argument struct; none if the candidate refuses.
type Geometry = Box<dyn Fn(usize, &Shape, &mut Vec<u32>) -> Option<[u32; 3]> + Send>;

/// A place in the model where a kernel is launched.
pub(crate) struct Site {
    /// What is bound there.
    pub bindings: Vec<Range>,
    /// How it is launched.
    pub geometry: Geometry,
}

/// A kernel at sizes for which there may be a choice.
pub(crate) struct Probe {
    /// What the choice is for.
    pub key: Key,
    /// What it is a part of, the first time: `layers.0.mlp`.
    pub label: String,
    /// Whose number counts.
    pub rows: Rows,
    /// Rows of the step that stands for the section.
    pub section: u32,
    /// The stage of the first place: what is before it makes what the kernel reads.
    pub stage: usize,
    /// Names of the candidates, the default first.
    pub names: Vec<String>,
    /// Whether all give the same bits.
    pub same_bits: bool,
    /// Makes the program of a candidate; what devices cannot have is told.
    pub record: Box<dyn Fn(usize) -> Result<Program, String> + Send>,
    /// Where it is launched; up to [`MOST_SITES`], so that weights come from memory as they do in a step.
    pub sites: Vec<Site>,
}

/// Places of a kernel that are measured one after the other at most.
pub(crate) const MOST_SITES: usize = 64;

/// Adds a launch to the probes.
pub(crate) fn add<S: Tunable>(
    probes: &mut Vec<Probe>,
    key: &Key,
    (label, rows, section, stage): (&str, Rows, u32, usize),
    kernel: &S,
    bindings: &[Range],
    (nominal, args): (&S::Args, impl Fn(&Shape) -> S::Args + Send + 'static),
) {
    let candidates = allowed(kernel, nominal);
    let names: Vec<_> = candidates.iter().map(S::name).collect();
    let probe = match probes.iter().position(|probe| probe.key == *key) {
        Some(known) => &mut probes[known],
        None => {
            let all = candidates.clone();
            probes.push(Probe {
                key: key.clone(),
                label: label.to_owned(),
                rows,
                section,
                stage,
                names: names.clone(),
                same_bits: kernel.same_bits(),
                record: Box::new(move |i| all[i].record().map_err(|error| error.to_string())),
                sites: Vec::new(),
            });
            probes.last_mut().expect("one was added")
        }
    };
    if probe.sites.len() < MOST_SITES && probe.names == names {
        let geometry = Box::new(move |i: usize, shape: &Shape, words: &mut Vec<u32>| {
            let args = args(shape);
            candidates[i].check(&args).ok()?;
            words.clear();
            words.extend(args.words());
            Some(candidates[i].grid(&args))
        });
        probe.sites.push(Site { bindings: bindings.to_vec(), geometry });
    }
}
