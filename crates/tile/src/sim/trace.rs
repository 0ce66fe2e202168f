//! Launches written to a file with all that they read and wrote, to be compared with those of a real device elsewhere.
//!
//! A file holds each kernel once, as text in both languages, and what became of memory in the simulator.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufWriter, Read, Write},
    path::Path,
};

use super::{Binding, Counts, Fault, Kernel};
use crate::{ir::Elem, print, sim::Checks};

const MAGIC: &[u8] = b"tessera launches 1\n";

/// What a number in the file stands for.
const ELEMS: [Elem; 8] =
    [Elem::F32, Elem::F16, Elem::BF16, Elem::U32, Elem::I32, Elem::U16, Elem::U8, Elem::I8];

/// A kernel of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedKernel {
    /// Its name.
    pub name: String,
    /// Threads of a threadgroup.
    pub threads: u32,
    /// Bytes of shared memory.
    pub shared: u32,
    /// Words of its argument struct.
    pub words: u32,
    /// Whether it multiplies matrix tiles, whose sums are in an order of the device's own.
    pub tiles: bool,
    /// Type of each buffer's elements.
    pub buffers: Vec<Elem>,
    /// Its text in CUDA, without the prelude.
    pub cuda: String,
    /// Its text in Metal, without the prelude.
    pub metal: String,
}

/// A part of a launch's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TracedBinding {
    /// Index in [`TracedLaunch::before`].
    pub memory: u32,
    /// First byte.
    pub offset: u32,
    /// Bytes.
    pub bytes: u32,
}

/// A launch of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedLaunch {
    /// Index of its kernel.
    pub kernel: u32,
    /// Threadgroups.
    pub grid: [u32; 3],
    /// Words of the argument struct.
    pub args: Vec<u32>,
    /// What is bound.
    pub bindings: Vec<TracedBinding>,
    /// What each memory held before.
    pub before: Vec<Vec<u8>>,
    /// What it held afterwards; empty where nothing changed.
    pub after: Vec<Vec<u8>>,
}

/// Writes launches.
#[derive(Debug)]
pub struct Trace {
    file: BufWriter<File>,
    known: HashMap<String, (u32, usize)>,
    most: usize,
}

impl Trace {
    /// To a new file, at most `most` launches of a kernel.
    pub fn create(path: &Path, most: usize) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(MAGIC)?;
        Ok(Self { file, known: HashMap::new(), most })
    }

    /// As [`Kernel::launch`], and written down if it succeeds.
    ///
    /// # Errors
    /// Those of the file; the inner ones are the launch's.
    pub fn launch(
        &mut self,
        kernel: &Kernel,
        grid: [u32; 3],
        args: &[u32],
        buffers: &[Binding<'_>],
        checks: Checks,
    ) -> io::Result<Result<Counts, Fault>> {
        let mut memories: Vec<&super::Memory> = Vec::new();
        let mut bindings = Vec::new();
        for binding in buffers {
            let same = |memory: &&super::Memory| std::ptr::eq(*memory, binding.memory);
            let memory = memories.iter().position(same).unwrap_or(memories.len());
            if memory == memories.len() {
                memories.push(binding.memory);
            }
            bindings.push([memory, binding.offset, binding.bytes].map(|n| n as u32));
        }
        let before: Vec<_> = memories.iter().map(|memory| memory.to_vec()).collect();
        let counts = match kernel.launch(grid, args, buffers, checks) {
            Ok(counts) => counts,
            Err(fault) => return Ok(Err(fault)),
        };
        let program = kernel.program();
        let number = self.known.len() as u32;
        let (number, launches) = match self.known.get_mut(&program.name) {
            Some((_, launches)) if *launches == self.most => return Ok(Ok(counts)),
            Some((number, launches)) => (*number, launches),
            None => {
                self.kernel(kernel)?;
                let entry = self.known.entry(program.name.clone()).or_insert((number, 0));
                (number, &mut entry.1)
            }
        };
        *launches += 1;
        self.file.write_all(b"L")?;
        self.words(&[number, grid[0], grid[1], grid[2], args.len() as u32])?;
        self.words(args)?;
        self.words(&[bindings.len() as u32])?;
        bindings.iter().try_for_each(|binding| self.words(binding))?;
        self.words(&[before.len() as u32])?;
        for (memory, before) in memories.into_iter().zip(before) {
            let after = memory.to_vec();
            self.bytes(&before)?;
            self.bytes(if after == before { &[] } else { &after })?;
        }
        self.file.flush()?;
        Ok(Ok(counts))
    }

    fn kernel(&mut self, kernel: &Kernel) -> io::Result<()> {
        let program = kernel.program();
        self.file.write_all(b"K")?;
        self.bytes(program.name.as_bytes())?;
        let tiles = u32::from(!program.tiles.is_empty());
        let (shared, words) = (program.shared_bytes() as u32, program.fields.len() as u32);
        self.words(&[program.threads, shared, words, tiles, program.buffers.len() as u32])?;
        for buffer in &program.buffers {
            let elem = ELEMS.iter().position(|&elem| elem == buffer.elem).unwrap_or(0);
            self.words(&[elem as u32])?;
        }
        self.bytes(print::cuda(program).as_bytes())?;
        self.bytes(print::metal(program).as_bytes())
    }

    fn words(&mut self, words: &[u32]) -> io::Result<()> {
        words.iter().try_for_each(|word| self.file.write_all(&word.to_le_bytes()))
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.words(&[bytes.len() as u32])?;
        self.file.write_all(bytes)
    }
}

/// What a file holds.
///
/// # Errors
/// When it cannot be read, or is none that [`Trace`] wrote.
pub fn read(path: &Path) -> io::Result<(Vec<TracedKernel>, Vec<TracedLaunch>)> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    let refuse = || io::Error::new(io::ErrorKind::InvalidData, "not a file of launches");
    parse(&bytes).ok_or_else(refuse)
}

fn parse(bytes: &[u8]) -> Option<(Vec<TracedKernel>, Vec<TracedLaunch>)> {
    let mut input = Input(bytes.strip_prefix(MAGIC)?);
    let (mut kernels, mut launches) = (Vec::new(), Vec::new());
    while let Some((&kind, rest)) = input.0.split_first() {
        input.0 = rest;
        match kind {
            b'K' => kernels.push(input.kernel()?),
            b'L' => launches.push(input.launch().filter(|it| it.is_sound(&kernels))?),
            _ => return None,
        }
    }
    Some((kernels, launches))
}

impl TracedLaunch {
    fn is_sound(&self, kernels: &[TracedKernel]) -> bool {
        let inside = |it: &TracedBinding| {
            let held = self.before.get(it.memory as usize).map(Vec::len);
            held.is_some_and(|held| it.offset as usize + it.bytes as usize <= held)
        };
        kernels.get(self.kernel as usize).is_some_and(|kernel| {
            kernel.buffers.len() == self.bindings.len() && kernel.words as usize == self.args.len()
        }) && self.bindings.iter().all(inside)
    }
}

/// What is left to be read.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn word(&mut self) -> Option<u32> {
        let (word, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*word))
    }

    fn words<const N: usize>(&mut self) -> Option<[u32; N]> {
        let mut words = [0; N];
        for word in &mut words {
            *word = self.word()?;
        }
        Some(words)
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let len = self.word()? as usize;
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes.to_vec())
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?).ok()
    }

    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let len = self.word()?;
        (0..len).map(|_| item(self)).collect()
    }

    fn kernel(&mut self) -> Option<TracedKernel> {
        let name = self.text()?;
        let [threads, shared, words, tiles] = self.words()?;
        let buffers = self.list(|input| ELEMS.get(input.word()? as usize).copied())?;
        let (cuda, metal) = (self.text()?, self.text()?);
        Some(TracedKernel { name, threads, shared, words, tiles: tiles != 0, buffers, cuda, metal })
    }

    fn launch(&mut self) -> Option<TracedLaunch> {
        let [kernel, x, y, z] = self.words()?;
        let args = self.list(Self::word)?;
        let bindings = self.list(|input| {
            let [memory, offset, bytes] = input.words()?;
            Some(TracedBinding { memory, offset, bytes })
        })?;
        let memories = self.list(|input| Some((input.bytes()?, input.bytes()?)))?;
        let (before, after) = memories.into_iter().unzip();
        Some(TracedLaunch { kernel, grid: [x, y, z], args, bindings, before, after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;

    #[derive(crate::Name)]
    struct Doubled;

    #[derive(Clone, Copy, crate::Args)]
    struct DoubledArgs {
        len: u32,
    }

    impl Spec for Doubled {
        type Args = DoubledArgs;

        fn threads(&self) -> u32 {
            32
        }

        fn grid(&self, a: &DoubledArgs) -> [u32; 3] {
            [a.len.div_ceil(32), 1, 1]
        }

        fn check(&self, _: &DoubledArgs) -> Result<(), String> {
            Ok(())
        }
    }

    #[kernel]
    fn doubled(_k: &Doubled, x: In<F32>, y: Out<F32>, a: Args<DoubledArgs>) {
        let i = group(0) * threads() + thread();
        if i < a.len {
            y.set(i, x.at(i) * 2.0);
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("launches");
        let kernel = Kernel::new(Doubled.record().expect("records"));
        let bytes =
            |values: &[f32]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>();
        let x = super::super::Memory::of(&bytes(&[1.0, 2.5, -3.0]));
        let y = super::super::Memory::undefined(12);
        let mut trace = Trace::create(&path, 2).expect("created");
        for len in [3, 2, 1] {
            let both = [Binding::all(&x), Binding::all(&y)];
            trace.launch(&kernel, [1, 1, 1], &[len], &both, Checks::All).unwrap().unwrap();
        }
        let in_place = [Binding::all(&x), Binding::all(&x)];
        assert!(
            trace.launch(&kernel, [1, 1, 1], &[4], &in_place, Checks::All).unwrap().is_err(),
            "beyond the end"
        );
        let (kernels, launches) = read(&path).expect("sound");
        let program = kernel.program();
        let wanted = TracedKernel {
            name: "doubled".into(),
            threads: 32,
            shared: 0,
            words: 1,
            tiles: false,
            buffers: vec![Elem::F32, Elem::F32],
            cuda: print::cuda(program),
            metal: print::metal(program),
        };
        assert_eq!(kernels, [wanted]);
        assert_eq!(launches.len(), 2, "no more than two of a kernel");
        assert_eq!((&launches[0].args[..], &launches[1].args[..]), (&[3][..], &[2][..]));
        assert_eq!(launches[0].before, [bytes(&[1.0, 2.5, -3.0]), vec![0; 12]]);
        assert_eq!(launches[0].after, [vec![], bytes(&[2.0, 5.0, -6.0])]);
        assert_eq!(launches[1].after, [vec![], vec![]], "nothing changed");

        let sound = std::fs::read(&path).unwrap();
        for len in 0..sound.len() {
            // a file may end between two records only
            if let Some((kernels, launches)) = parse(&sound[..len]) {
                assert!(kernels.len() + launches.len() < 3);
            }
        }
    }
}
