//! Sequences whose keys and values lie in pages, and plain attention over them.

use half::{bf16, f16};
use tessera_kernels::{
    cache::Cache,
    tables::{NO_PAGE, PAGE, run},
};
use tessera_tile::{ir::Elem, sim::Memory};

use super::{random, words};

const SLOTS: usize = PAGE as usize;

/// The runs of a step and where their sequences lie.
pub struct Paged {
    pub cache: Cache,
    pub kv_heads: usize,
    /// Position of the first row, and number of rows.
    pub runs: Vec<(usize, usize)>,
    pub window: Option<usize>,
    pub starts: Vec<u32>,
    pub table: Vec<u32>,
    pages: usize,
}

impl Paged {
    /// Pages in no order; those before the window of a run's first row are absent.
    pub fn new(
        cache: Cache,
        kv_heads: usize,
        runs: &[(usize, usize)],
        window: Option<usize>,
    ) -> Self {
        let mut paged = Self {
            cache,
            kv_heads,
            runs: runs.to_vec(),
            window,
            starts: Vec::new(),
            table: vec![NO_PAGE; 3],
            pages: runs.iter().map(|(p, n)| (p + n).div_ceil(SLOTS)).sum(),
        };
        let mut next = 0;
        for &(position, len) in runs {
            paged.starts.push(paged.table.len() as u32);
            let first = (position + 1).saturating_sub(window.unwrap_or(usize::MAX)) / SLOTS;
            for page in 0..(position + len).div_ceil(SLOTS) {
                let absent = page < first;
                let somewhere = (paged.pages - 1 - next) as u32;
                paged.table.push(if absent { NO_PAGE } else { somewhere });
                next += 1;
            }
        }
        paged
    }

    /// Run and position of each row.
    pub fn rows(&self) -> Vec<(usize, usize)> {
        let rows = self.runs.iter().enumerate();
        rows.flat_map(|(run, &(p, n))| (p..p + n).map(move |p| (run, p))).collect()
    }

    pub fn positions(&self) -> Memory {
        words(&self.rows().iter().map(|row| row.1 as u32).collect::<Vec<_>>())
    }

    pub fn run_of(&self) -> Memory {
        words(&self.rows().iter().map(|row| row.0 as u32).collect::<Vec<_>>())
    }

    /// The buffer `runs`.
    pub fn run_table(&self) -> Memory {
        let mut table = Vec::new();
        let mut row = 0;
        for &(position, len) in &self.runs {
            let mut words = [0xdead_beef; run::WORDS as usize];
            words[run::ROW as usize] = row;
            words[run::LEN as usize] = len as u32;
            words[run::POSITION as usize] = position as u32;
            row += len as u32;
            table.extend(words);
        }
        words(&table)
    }

    /// Elements of the buffer of pages.
    pub fn elements(&self) -> usize {
        self.pages * 2 * self.kv_heads * SLOTS * self.cache.head_dim as usize
    }

    /// Where a key begins, and the value beside it.
    pub fn place(&self, run: usize, position: usize, head: usize) -> Option<(usize, usize)> {
        let page = self.table[self.starts[run] as usize + position / SLOTS];
        let dim = self.cache.head_dim as usize;
        let at = |kind: usize| {
            (((page as usize * 2 + kind) * self.kv_heads + head) * SLOTS + position % SLOTS) * dim
        };
        (page != NO_PAGE).then(|| (at(0), at(1)))
    }

    /// Key and value of a position, as the cache can hold them: `[kv_heads * head_dim]` each.
    pub fn entry(&self, run: usize, position: usize) -> (Vec<f32>, Vec<f32>) {
        let width = self.kv_heads * self.cache.head_dim as usize;
        let seed = (run * 100_000 + position * 2) as u64;
        let rounded = |seed| random(seed, width).into_iter().map(|x| self.round(x)).collect();
        (rounded(seed + 11), rounded(seed + 12))
    }

    pub fn round(&self, x: f32) -> f32 {
        match self.cache.elem {
            Elem::F16 => f16::from_f32(x).to_f32(),
            Elem::BF16 => bf16::from_f32(x).to_f32(),
            _ => x,
        }
    }

    pub fn bytes(&self, values: &[f32]) -> Vec<u8> {
        let bytes = |&x: &f32| match self.cache.elem {
            Elem::F16 => f16::from_f32(x).to_le_bytes().to_vec(),
            Elem::BF16 => bf16::from_f32(x).to_le_bytes().to_vec(),
            _ => x.to_le_bytes().to_vec(),
        };
        values.iter().flat_map(bytes).collect()
    }

    /// What pages hold.
    pub fn floats(&self, bytes: &[u8]) -> Vec<f32> {
        let halves = || bytes.as_chunks::<2>().0.iter();
        match self.cache.elem {
            Elem::F16 => halves().map(|&x| f16::from_le_bytes(x).to_f32()).collect(),
            Elem::BF16 => halves().map(|&x| bf16::from_le_bytes(x).to_f32()).collect(),
            _ => bytes.as_chunks::<4>().0.iter().map(|&x| f32::from_le_bytes(x)).collect(),
        }
    }

    /// The buffer of pages: all that the runs' rows see is there, all else is undefined.
    pub fn history(&self) -> Memory {
        let size = self.cache.elem.bytes();
        let memory = Memory::undefined(self.elements() * size);
        let dim = self.cache.head_dim as usize;
        for (run, &(position, len)) in self.runs.iter().enumerate() {
            let first = (position + 1).saturating_sub(self.window.unwrap_or(usize::MAX));
            for p in first..position + len {
                let (key, value) = self.entry(run, p);
                for head in 0..self.kv_heads {
                    let (k, v) = self.place(run, p, head).expect("seen pages are there");
                    memory.write(k * size, &self.bytes(&key[head * dim..][..dim]));
                    memory.write(v * size, &self.bytes(&value[head * dim..][..dim]));
                }
            }
        }
        memory
    }
}

/// Masks of a tree of `rows` rows, some the children of others; each of `words` words.
pub fn guesses(rows: usize, words: usize) -> Vec<Vec<u32>> {
    let parents = [None, Some(0), Some(1), Some(0), Some(1), Some(4), None];
    let mut masks: Vec<Vec<u32>> = Vec::new();
    for (i, parent) in parents.iter().cycle().take(rows).enumerate() {
        let mut mask = parent.map_or(vec![0; words], |parent| masks[parent].clone());
        mask[i / 32] |= 1 << (i % 32);
        masks.push(mask);
    }
    masks
}

/// What plain attention needs to know beside the keys.
pub struct Plain<'a> {
    pub heads: usize,
    pub scale: f32,
    pub softcap: Option<f32>,
    pub sinks: Option<&'a [f32]>,
    /// Of each row, in words of 32 bits, the rows of its run that it sees.
    pub tree: Option<&'a [Vec<u32>]>,
}

/// `[rows, heads * head_dim]`, in f64.
pub fn attention(paged: &Paged, plain: &Plain<'_>, queries: &[f32]) -> Vec<f32> {
    let dim = paged.cache.head_dim as usize;
    let group = plain.heads / paged.kv_heads;
    let mut out = Vec::new();
    for (row, (run, position)) in paged.rows().into_iter().enumerate() {
        let base = paged.runs[run].0;
        let window = paged.window.unwrap_or(usize::MAX);
        let first = match plain.tree {
            None => (position + 1).saturating_sub(window),
            Some(tree) => {
                let depth: u32 = tree[row].iter().map(|word| word.count_ones()).sum();
                (base + depth as usize).saturating_sub(window)
            }
        };
        let sees = |p: &usize| match plain.tree {
            Some(tree) if *p >= base => tree[row][(p - base) / 32] >> ((p - base) % 32) & 1 == 1,
            _ => true,
        };
        let entries: Vec<_> =
            (first..=position).filter(sees).map(|p| paged.entry(run, p)).collect();
        for head in 0..plain.heads {
            let query = &queries[(row * plain.heads + head) * dim..][..dim];
            let kv = head / group * dim;
            let score = |key: &[f32]| {
                let dot: f64 =
                    query.iter().zip(key).map(|(&q, &k)| f64::from(q) * f64::from(k)).sum();
                let score = dot * f64::from(plain.scale);
                plain.softcap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh())
            };
            let scores: Vec<f64> = entries.iter().map(|(key, _)| score(&key[kv..])).collect();
            let sink = plain.sinks.map(|sinks| f64::from(sinks[head]));
            let max = scores.iter().copied().chain(sink).fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scores.iter().map(|s| (s - max).exp()).collect();
            let sum = weights.iter().sum::<f64>() + sink.map_or(0.0, |sink| (sink - max).exp());
            for j in kv..kv + dim {
                let terms = entries.iter().zip(&weights).map(|((_, v), w)| w * f64::from(v[j]));
                out.push((terms.sum::<f64>() / sum) as f32);
            }
        }
    }
    out
}
