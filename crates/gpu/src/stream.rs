//! A lowered graph: launches in order, what they touch, and where what follows must see what went before.

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
    /// Rows that are drawn from.
    pub draws: u32,
    /// Runs.
    pub runs: u32,
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

/// Words of the argument struct, and the grid, for a step's shape.
type Geometry = Box<dyn Fn(&Shape, &mut Vec<u32>) -> [u32; 3] + Send>;

/// One kernel as it is launched in each step.
pub struct Launch {
    /// Index in [`Stream::programs`].
    pub kernel: usize,
    /// Grid and arguments.
    pub geometry: Geometry,
}

/// Kernels that do the same for different numbers of rows.
pub struct Stage {
    /// What it is a part of: `layers.3.mlp: linear`.
    pub label: String,
    /// What decides.
    pub rows: Rows,
    /// Up to how many rows each is meant for; the last takes all the rest.
    pub launches: Vec<(u32, Launch)>,
    /// Its buffers, the same for all.
    pub bindings: Vec<Range>,
    /// Whether a barrier goes before it.
    pub barrier: bool,
    /// Whether it belongs to the drawing of tokens.
    pub draws: bool,
}

impl Stage {
    /// The launch for a step.
    pub fn launch(&self, shape: &Shape) -> &Launch {
        let rows = shape.rows(self.rows);
        let fits = self.launches.iter().find(|(up_to, _)| rows <= *up_to);
        &fits.or(self.launches.last()).expect("a stage has launches").1
    }
}

/// A graph as launches.
#[derive(Default)]
pub struct Stream {
    /// Kernels, each once.
    pub programs: Vec<Program>,
    /// Launches in order.
    pub stages: Vec<Stage>,
    /// What was touched since the last barrier, and whether it was written.
    open: Vec<(Range, bool)>,
}

/// A kernel that cannot be used: a mistake of this crate's, found when a model is loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{label}: {why}")]
pub struct LowerError {
    /// The operation.
    pub label: String,
    /// What is wrong.
    pub why: String,
}

/// One way to do what a stage does.
pub struct Way {
    up_to: u32,
    launch: Launch,
    access: Vec<Access>,
}

impl Stream {
    /// Prepares a kernel for up to `up_to` rows. `most` is the largest step, for which the kernel's own conditions
    /// are checked.
    pub fn way<S: Record + Send>(
        &mut self,
        up_to: u32,
        spec: S,
        most: &Shape,
        args: impl Fn(&Shape) -> S::Args + Send + 'static,
    ) -> Result<Way, String> {
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
        let access = self.programs[kernel].buffers.iter().map(|buffer| buffer.access).collect();
        let geometry = Box::new(move |shape: &Shape, words: &mut Vec<u32>| {
            let args = args(shape);
            words.clear();
            words.extend(args.words());
            spec.grid(&args)
        });
        Ok(Way { up_to, launch: Launch { kernel, geometry }, access })
    }

    /// Adds a stage, and a barrier before it if it touches what an earlier one wrote, or writes what one touched.
    pub fn push(
        &mut self,
        label: String,
        rows: Rows,
        ways: Vec<Way>,
        bindings: Vec<Range>,
    ) -> Result<(), LowerError> {
        let access = ways.first().map(|way| way.access.clone()).unwrap_or_default();
        if ways.iter().any(|way| way.access != access) || access.len() != bindings.len() {
            let why = format!("{} buffers for kernels that take {}", bindings.len(), access.len());
            return Err(LowerError { label, why });
        }
        let touched: Vec<(Range, bool)> = bindings
            .iter()
            .zip(&access)
            .map(|(&range, &access)| (range, access != Access::Read))
            .collect();
        let conflict = |&(range, written): &(Range, bool)| {
            self.open.iter().any(|(other, wrote)| (written || *wrote) && range.overlaps(other))
        };
        let barrier = touched.iter().any(conflict);
        if barrier {
            self.open.clear();
        }
        self.open.extend(touched);
        let launches = ways.into_iter().map(|way| (way.up_to, way.launch)).collect();
        self.stages.push(Stage { label, rows, launches, bindings, barrier, draws: false });
        Ok(())
    }
}
