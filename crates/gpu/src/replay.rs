//! Launches as data, and what was made of those that came again, to run them at once: CUDA's graphs, Metal's indirect
//! command buffers.
//!
//! A graph's key is the launches themselves: kernels, addresses of their buffers, arguments, grids, barriers. What is replayed
//! is therefore exactly what was asked for, whatever the caller thinks has changed; a step that differs in one word has a
//! graph of its own.

/// What kernels are told apart by.
pub trait Identity: Clone {
    /// A number that no other kernel has that is loaded.
    fn id(&self) -> u64;
}

/// A launch, with its share of a script's addresses and words.
#[derive(Debug, Clone)]
pub struct Launch<F> {
    /// The kernel.
    pub function: F,
    /// Threadgroups.
    pub grid: [u32; 3],
    /// Threads of each.
    pub threads: u32,
    /// Where its addresses end; they begin where the last one's end.
    pub addresses: usize,
    /// Where its argument words end.
    pub words: usize,
    /// Whether it sees what all before it did.
    pub barrier: bool,
}

impl<F: Identity> PartialEq for Launch<F> {
    fn eq(&self, other: &Self) -> bool {
        let of = |it: &Self| (it.function.id(), it.grid, it.threads, it.addresses, it.words);
        of(self) == of(other) && self.barrier == other.barrier
    }
}

/// Launches in order.
#[derive(Debug, Clone)]
pub struct Script<F> {
    launches: Vec<Launch<F>>,
    addresses: Vec<u64>,
    words: Vec<u32>,
    /// Whether a barrier is due before the next launch.
    barrier: bool,
}

impl<F> Default for Script<F> {
    fn default() -> Self {
        Self { launches: Vec::new(), addresses: Vec::new(), words: Vec::new(), barrier: false }
    }
}

impl<F: Identity> PartialEq for Script<F> {
    fn eq(&self, other: &Self) -> bool {
        let of = |it: &Self| (it.launches.len(), it.addresses.len(), it.words.len());
        of(self) == of(other)
            && self.words == other.words
            && self.addresses == other.addresses
            && self.launches == other.launches
    }
}

impl<F: Identity> Script<F> {
    /// Forgets all.
    pub fn clear(&mut self) {
        self.launches.clear();
        self.addresses.clear();
        self.words.clear();
        self.barrier = false;
    }

    /// Lets the next launch see what those so far did, on devices that need to be told.
    pub fn barrier(&mut self) {
        self.barrier = true;
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.launches.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.launches.len()
    }

    /// Adds one.
    pub fn push(
        &mut self,
        function: &F,
        grid: [u32; 3],
        threads: u32,
        addresses: &[u64],
        words: &[u32],
    ) {
        self.addresses.extend_from_slice(addresses);
        self.words.extend_from_slice(words);
        let (addresses, words) = (self.addresses.len(), self.words.len());
        let barrier = std::mem::take(&mut self.barrier);
        let function = function.clone();
        self.launches.push(Launch { function, grid, threads, addresses, words, barrier });
    }

    /// Launches with their addresses and words.
    pub fn iter(&self) -> impl Iterator<Item = (&Launch<F>, &[u64], &[u32])> {
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
            add(u64::from(launch.barrier));
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
struct Kept<G, F> {
    hash: u64,
    script: Script<F>,
    graph: G,
    used: u64,
}

/// The graphs of a device: what runs the second time is captured, what runs after that is replayed.
#[derive(Debug)]
pub struct Graphs<G, F> {
    kept: Vec<Kept<G, F>>,
    /// Hashes of what ran once, the oldest at `oldest` when it is full.
    seen: Vec<u64>,
    oldest: usize,
    clock: u64,
    counts: Replays,
}

impl<G, F> Default for Graphs<G, F> {
    fn default() -> Self {
        let (kept, seen) = (Vec::with_capacity(MOST_GRAPHS), Vec::with_capacity(MOST_SEEN));
        Self { kept, seen, oldest: 0, clock: 0, counts: Replays::default() }
    }
}

impl<G, F: Identity> Graphs<G, F> {
    /// What became of the steps so far.
    pub fn counts(&self) -> Replays {
        self.counts
    }

    /// How to run a script, now.
    pub fn plan(&mut self, script: &Script<F>) -> Plan {
        let hash = script.hash();
        self.clock += 1;
        let known = |kept: &Kept<G, F>| kept.hash == hash && kept.script == *script;
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
    pub fn keep(&mut self, script: &Script<F>, graph: G) -> usize {
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

#[cfg(test)]
mod tests {
    use super::*;

    impl Identity for u64 {
        fn id(&self) -> u64 {
            *self
        }
    }

    /// Two launches, the second with this kernel, address, word and grid.
    fn script(kernel: u64, address: u64, word: u32, grid: u32) -> Script<u64> {
        let mut script = Script::default();
        script.push(&1, [1, 2, 3], 32, &[16, 32], &[5]);
        script.push(&kernel, [grid, 1, 1], 64, &[address], &[word, 7]);
        script
    }

    #[test]
    fn launches_come_back_as_they_were() {
        let script = script(9, 48, 6, 4);
        let all: Vec<_> = script
            .iter()
            .map(|(it, addresses, words)| (it.function, it.grid, it.threads, addresses, words))
            .collect();
        let first = (1, [1, 2, 3], 32, &[16, 32][..], &[5][..]);
        assert_eq!(all, [first, (9, [4, 1, 1], 64, &[48], &[6, 7])]);
    }

    #[test]
    fn the_third_time_is_a_replay() {
        let mut graphs: Graphs<&str, u64> = Graphs::default();
        let usual = script(9, 48, 6, 4);
        assert_eq!(graphs.plan(&usual), Plan::Plain);
        assert_eq!(graphs.plan(&usual), Plan::Capture);
        let place = graphs.keep(&usual, "usual");
        assert_eq!(graphs.plan(&usual), Plan::Replay(place));
        assert_eq!(*graphs.graph(place), "usual");
        // whatever differs is another step
        for other in
            [script(8, 48, 6, 4), script(9, 64, 6, 4), script(9, 48, 5, 4), script(9, 48, 6, 5)]
        {
            assert_eq!(graphs.plan(&other), Plan::Plain);
            assert_eq!(graphs.plan(&other), Plan::Capture);
        }
        let mut other = usual.clone();
        other.barrier();
        other.push(&9, [4, 1, 1], 64, &[48], &[6, 7]);
        let mut without = usual.clone();
        without.push(&9, [4, 1, 1], 64, &[48], &[6, 7]);
        assert_eq!(graphs.plan(&other), Plan::Plain);
        assert_eq!(graphs.plan(&without), Plan::Plain, "a barrier less");
        // the same words, shared out differently
        let mut other: Script<u64> = Script::default();
        other.push(&1, [1, 2, 3], 32, &[16], &[5]);
        other.push(&9, [4, 1, 1], 64, &[32, 48], &[6, 7]);
        assert_ne!(graphs.plan(&other), Plan::Replay(place));
        assert_eq!(graphs.plan(&usual), Plan::Replay(place));
        assert_eq!(graphs.counts().replayed, 2);
    }

    #[test]
    fn what_is_used_stays() {
        let mut graphs: Graphs<u64, u64> = Graphs::default();
        let of = |i: u64| script(i, 48, 6, 4);
        for i in 0..MOST_GRAPHS as u64 {
            graphs.plan(&of(i));
            assert_eq!(graphs.plan(&of(i)), Plan::Capture);
            graphs.keep(&of(i), i);
        }
        assert!(matches!(graphs.plan(&of(0)), Plan::Replay(_)));
        graphs.plan(&of(1000));
        graphs.plan(&of(1000));
        let place = graphs.keep(&of(1000), 1000);
        assert_eq!(*graphs.graph(place), 1000);
        assert!(matches!(graphs.plan(&of(0)), Plan::Replay(_)), "used a moment ago");
        assert!(!matches!(graphs.plan(&of(1)), Plan::Replay(_)), "used least recently");
        assert_eq!(graphs.kept.len(), MOST_GRAPHS);
        for i in 0..1000 {
            graphs.plan(&of(2000 + i));
        }
        assert_eq!(graphs.seen.len(), MOST_SEEN);
    }
}
