//! Launches as data, and the graphs that were captured of those that came again.
//!
//! A graph's key is the launches themselves: kernels, addresses of their buffers, arguments, grids. What is replayed is
//! therefore exactly what was asked for, whatever the caller thinks has changed; a step that differs in one word has a graph of
//! its own.

use super::driver::{Function, Graph};

/// A launch, with its share of a script's addresses and words.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The kernel.
    pub function: Function,
    /// Threadgroups.
    pub grid: [u32; 3],
    /// Threads of each.
    pub threads: u32,
    /// Where its addresses end; they begin where the last one's end.
    pub addresses: usize,
    /// Where its argument words end.
    pub words: usize,
}

impl PartialEq for Launch {
    fn eq(&self, other: &Self) -> bool {
        let of = |it: &Self| (it.function.id(), it.grid, it.threads, it.addresses, it.words);
        of(self) == of(other)
    }
}

/// Launches in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Script {
    launches: Vec<Launch>,
    addresses: Vec<u64>,
    words: Vec<u32>,
}

impl Script {
    /// Forgets all.
    pub fn clear(&mut self) {
        self.launches.clear();
        self.addresses.clear();
        self.words.clear();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.launches.len()
    }

    /// Adds one.
    pub fn push(
        &mut self,
        function: &Function,
        grid: [u32; 3],
        threads: u32,
        addresses: &[u64],
        words: &[u32],
    ) {
        self.addresses.extend_from_slice(addresses);
        self.words.extend_from_slice(words);
        let (addresses, words) = (self.addresses.len(), self.words.len());
        self.launches.push(Launch { function: function.clone(), grid, threads, addresses, words });
    }

    /// Launches with their addresses and words.
    pub fn iter(&self) -> impl Iterator<Item = (&Launch, &[u64], &[u32])> {
        let (mut address, mut word) = (0, 0);
        self.launches.iter().map(move |launch| {
            let addresses = &self.addresses[address..launch.addresses];
            let words = &self.words[word..launch.words];
            (address, word) = (launch.addresses, launch.words);
            (launch, addresses, words)
        })
    }

    /// A quick hash; what it finds is compared.
    fn hash(&self) -> u64 {
        let mut hash = 0u64;
        let mut add = |word: u64| {
            hash = (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
        };
        for launch in &self.launches {
            let [x, y, z] = launch.grid.map(u64::from);
            add(launch.function.id());
            add(x << 32 | y);
            add(z << 32 | u64::from(launch.threads));
        }
        self.addresses.iter().for_each(|&address| add(address));
        self.words.iter().for_each(|&word| add(u64::from(word)));
        hash
    }
}

/// Graphs that are kept, at most.
const MOST_GRAPHS: usize = 32;

/// Scripts that are remembered to have run once, at most.
const MOST_SEEN: usize = 64;

/// What became of the steps so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replays {
    /// Steps whose kernels were launched one by one.
    pub plain: u64,
    /// Steps that were captured.
    pub captured: u64,
    /// Steps that were one graph.
    pub replayed: u64,
}

/// How a script is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Launch by launch.
    Plain,
    /// As a graph that is still to be made.
    Capture,
    /// As the graph of this place.
    Replay(usize),
}

#[derive(Debug)]
struct Kept<G> {
    hash: u64,
    script: Script,
    graph: G,
    used: u64,
}

/// The graphs of a device: what runs the second time is captured, what runs after that is replayed.
#[derive(Debug)]
pub struct Graphs<G = Graph> {
    kept: Vec<Kept<G>>,
    /// Hashes of what ran once, the oldest at `oldest` when it is full.
    seen: Vec<u64>,
    oldest: usize,
    clock: u64,
    counts: Replays,
}

impl<G> Default for Graphs<G> {
    fn default() -> Self {
        let (kept, seen) = (Vec::with_capacity(MOST_GRAPHS), Vec::with_capacity(MOST_SEEN));
        Self { kept, seen, oldest: 0, clock: 0, counts: Replays::default() }
    }
}

impl<G> Graphs<G> {
    /// What became of the steps so far.
    pub fn counts(&self) -> Replays {
        self.counts
    }

    /// How to run a script, now.
    pub fn plan(&mut self, script: &Script) -> Plan {
        let hash = script.hash();
        self.clock += 1;
        let known = |kept: &Kept<G>| kept.hash == hash && kept.script == *script;
        if let Some(at) = self.kept.iter().position(known) {
            self.kept[at].used = self.clock;
            self.counts.replayed += 1;
            return Plan::Replay(at);
        }
        if self.seen.contains(&hash) {
            self.counts.captured += 1;
            return Plan::Capture;
        }
        self.counts.plain += 1;
        match self.seen.len() {
            MOST_SEEN => {
                self.seen[self.oldest] = hash;
                self.oldest = (self.oldest + 1) % MOST_SEEN;
            }
            _ => self.seen.push(hash),
        }
        Plan::Plain
    }

    /// Keeps the graph of a script, in place of the one used least recently if there are too many; gives its place.
    pub fn keep(&mut self, script: &Script, graph: G) -> usize {
        let kept = Kept { hash: script.hash(), script: script.clone(), graph, used: self.clock };
        if self.kept.len() < MOST_GRAPHS {
            self.kept.push(kept);
            return self.kept.len() - 1;
        }
        let oldest = (0..self.kept.len()).min_by_key(|&i| self.kept[i].used).unwrap_or(0);
        self.kept[oldest] = kept;
        oldest
    }

    /// The graph of a place.
    pub fn graph(&self, at: usize) -> &G {
        &self.kept[at].graph
    }
}
