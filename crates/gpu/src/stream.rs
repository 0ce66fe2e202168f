//! A lowered graph: launches in order, what they touch, and where what follows must see what went before.

use crate::draws::Mode;
use tessera_graph::Rows;
use tessera_tile::{Arguments, Program, Record, ir::Access};

/// A buffer of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BufferId {
    /// Intermediates.
    Arena,
    /// What a step tells its kernels.
    Tables,
    /// How each output is drawn.
    Draws,
    /// Biases of tokens.
    Biases,
    /// Tokens that have occurred.
    History,
    /// Masks of allowed tokens.
    Masks,
    /// What is read back.
    Results,
    /// A weight's planes, or constants of an operation.
    Weight(usize),
    /// Pages or slots of a state.
    State(usize),
}

/// Bytes of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Which buffer.
    pub buffer: BufferId,
    /// First byte.
    pub offset: usize,
    /// Bytes; [`Range::ALL`] is up to the buffer's end, wherever that is.
    pub bytes: usize,
}

impl Range {
    /// Up to the end.
    pub const ALL: usize = usize::MAX;

    /// A whole buffer.
    pub fn all(buffer: BufferId) -> Self {
        Self { buffer, offset: 0, bytes: Self::ALL }
    }

    /// Whether it has bytes in common with another.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.buffer == other.buffer
            && self.offset < other.offset.saturating_add(other.bytes)
            && other.offset < self.offset.saturating_add(self.bytes)
    }
}

/// The sizes of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Shape {
    /// Rows.
    pub tokens: u32,
    /// Rows whose logits are wanted.
    pub outputs: u32,
    /// What is drawn.
    pub mode: Mode,
    /// Runs.
    pub runs: u32,
    /// Rows whose attention is computed one by one.
    pub singles: u32,
    /// Blocks of the other rows.
    pub blocks: u32,
    /// Rows of the longest run.
    pub longest: u32,
    /// Greatest position, plus one.
    pub context: u32,
}

impl Shape {
    /// How many rows a value has.
    pub fn rows(&self, rows: Rows) -> u32 {
        match rows {
            Rows::Tokens => self.tokens,
            Rows::Outputs => self.outputs,
        }
    }
}

/// In which steps a stage runs, besides its number of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum When {
    /// In all.
    #[default]
    Always,
    /// In those that draw so.
    Draws {
        /// Any row at random.
        random: bool,
        /// Any row with a bias or penalties.
        adjust: bool,
    },
    /// In those that report log probabilities.
    Reports {
        /// Of most likely tokens too.
        top: bool,
    },
}

impl When {
    fn holds(self, mode: &Mode) -> bool {
        match self {
            Self::Always => true,
            Self::Draws { random, adjust } => {
                mode.draws > 0 && mode.random == random && mode.adjust == adjust
            }
            Self::Reports { top } => mode.report && (mode.top > 0) == top,
        }
    }
}

/// Words of the argument struct, and the grid, for a step's shape.
type Geometry = Box<dyn Fn(&Shape, &mut Vec<u32>) -> [u32; 3] + Send>;

/// One kernel, as it is launched in each step that it is for.
pub struct Stage {
    /// What it is a part of: `layers.3.mlp`.
    pub label: String,
    /// Whose number decides whether it runs.
    pub rows: Rows,
    /// It runs for more than the first and up to the second number of rows.
    pub within: (u32, u32),
    /// In which steps it runs.
    pub when: When,
    /// Index in [`Stream::programs`].
    pub kernel: usize,
    /// Grid and arguments.
    pub geometry: Geometry,
    /// Its buffers, and whether it writes them.
    pub bindings: Vec<(Range, bool)>,
}

impl Stage {
    /// Whether it runs in a step.
    pub fn runs(&self, shape: &Shape) -> bool {
        let rows = shape.rows(self.rows);
        self.within.0 < rows && rows <= self.within.1 && self.when.holds(&shape.mode)
    }
}

/// What was touched since the last barrier of a step.
#[derive(Debug, Default)]
pub struct Hazards {
    open: Vec<(Range, bool)>,
}

impl Hazards {
    /// Begins a step.
    pub fn clear(&mut self) {
        self.open.clear();
    }

    /// Adds a launch; tells whether a barrier has to go before it, as it touches what an earlier one wrote, or writes
    /// what one touched.
    pub fn add(&mut self, bindings: &[(Range, bool)]) -> bool {
        let conflict = |(range, written): &(Range, bool)| {
            self.open.iter().any(|(other, wrote)| (*written || *wrote) && range.overlaps(other))
        };
        let barrier = bindings.iter().any(conflict);
        if barrier {
            self.open.clear();
        }
        // weights are never written, and are most of what is bound
        let states = |(range, _): &&(Range, bool)| !matches!(range.buffer, BufferId::Weight(_));
        self.open.extend(bindings.iter().filter(states));
        barrier
    }
}

/// A graph as launches.
#[derive(Default)]
pub struct Stream {
    /// Kernels, each once.
    pub programs: Vec<Program>,
    /// Launches in order.
    pub stages: Vec<Stage>,
}

/// What a launch is for, besides its kernel.
#[derive(Debug, Clone)]
pub struct Part {
    /// What it is a part of.
    pub label: String,
    /// Whose number decides whether it runs.
    pub rows: Rows,
    /// It runs for more than the first and up to the second number of rows.
    pub within: (u32, u32),
    /// In which steps it runs.
    pub when: When,
}

impl Stream {
    /// Adds a kernel. `most` is the largest step, for which the kernel's own conditions are checked.
    pub fn push<S: Record + Send>(
        &mut self,
        part: Part,
        spec: S,
        bindings: &[Range],
        most: &Shape,
        args: impl Fn(&Shape) -> S::Args + Send + 'static,
    ) -> Result<(), String> {
        spec.check(&args(most))?;
        let name = spec.name();
        let known = self.programs.iter().position(|program| program.name == name);
        let kernel = match known {
            Some(kernel) => kernel,
            None => {
                self.programs.push(spec.record().map_err(|error| error.to_string())?);
                self.programs.len() - 1
            }
        };
        let buffers = &self.programs[kernel].buffers;
        if buffers.len() != bindings.len() {
            return Err(format!(
                "{} buffers for {name}, which takes {}",
                bindings.len(),
                buffers.len()
            ));
        }
        let written = buffers.iter().map(|buffer| buffer.access != Access::Read);
        let bindings = bindings.iter().copied().zip(written).collect();
        let geometry = Box::new(move |shape: &Shape, words: &mut Vec<u32>| {
            let args = args(shape);
            words.clear();
            words.extend(args.words());
            spec.grid(&args)
        });
        let Part { label, rows, within, when } = part;
        self.stages.push(Stage { label, rows, within, when, kernel, geometry, bindings });
        Ok(())
    }
}
