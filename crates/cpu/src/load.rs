//! Bringing weights into the backend's layout: planned first, then written by all threads.

use std::{
    ops::ControlFlow,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tessera_graph::{
    Attend, BackendError, Decay, Graph, Op, Part, Progress, RmsNorm, Router, WeightId, Weights,
    unwatched,
};
use tessera_quant::{RowOrder, Weight};

use crate::{
    isa::LANES,
    region::Region,
    tile::{Scratch, Tiles, finite, pack_tile},
};

/// Tiles written between two looks at the work list.
const TILES_A_JOB: usize = 16;

/// Weights as the kernels read them. Everything lies in one region.
pub(crate) struct Loaded {
    region: Region,
    tiles: Vec<Option<Tiles>>,
    vectors: Vec<Option<*const f32>>,
}

// SAFETY: the addresses point into the region beside them, which is not written after loading.
unsafe impl Send for Loaded {}
// SAFETY: as above.
unsafe impl Sync for Loaded {}

/// Where everything will lie in the region.
pub(crate) struct Layout {
    uses: Vec<Uses>,
    tiles: Vec<Option<Tiles>>,
    /// Of each weight's tiles, and of its vector if it has one.
    offsets: Vec<(usize, Option<usize>)>,
    /// Bytes of the region.
    pub bytes: usize,
}

impl Layout {
    /// Plans the region for the matrices and vectors that `graph` uses.
    pub fn plan(graph: &Graph, weights: &Weights) -> Result<Self, BackendError> {
        let uses = uses(graph)?;
        let mut tiles = Vec::with_capacity(weights.0.len());
        let mut bytes = 0usize;
        let mut place = |size: usize| {
            let at = bytes;
            bytes = (bytes + size).next_multiple_of(64);
            at
        };
        let mut offsets = Vec::with_capacity(weights.0.len());
        for ((weight, decl), uses) in weights.0.iter().zip(&graph.weights).zip(&uses) {
            let plan = if uses.matrix { Some(Tiles::plan(weight, &decl.name)?) } else { None };
            let matrix = plan.as_ref().map_or(0, |t| place(t.bytes()));
            let vector = uses.vector.map(|_| place(weight.cols * weight.rows * 4));
            offsets.push((matrix, vector));
            tiles.push(plan);
        }
        Ok(Self { uses, tiles, offsets, bytes })
    }
}

impl Loaded {
    /// Lays out the matrices and vectors that `graph` uses and writes them with `threads` threads.
    /// Mapped files are released piece by piece, so that memory does not hold everything twice.
    pub fn new(
        graph: &Graph,
        weights: Weights,
        threads: usize,
        progress: &mut Progress<'_>,
    ) -> Result<Self, BackendError> {
        let Layout { uses, mut tiles, offsets, bytes } = Layout::plan(graph, &weights)?;
        let region = Region::new(bytes, "weights")?;
        let mut vectors = vec![None; weights.0.len()];
        for (i, &(matrix, vector)) in offsets.iter().enumerate() {
            if let Some(t) = &mut tiles[i] {
                t.place(region.at(matrix));
            }
            if let (Some(vector), Some(form)) = (vector, uses[i].vector) {
                let p = region.at(vector).cast::<f32>();
                write_vector(&weights.0[i], &graph.weights[i].name, form, p)?;
                vectors[i] = Some(p.cast_const());
            }
        }
        pack(graph, &tiles, &weights, threads, progress)?;
        Ok(Self { region, tiles, vectors })
    }

    /// A matrix of the graph.
    pub fn matrix(&self, id: WeightId) -> Result<&Tiles, BackendError> {
        self.tiles[id.index()].as_ref().ok_or_else(|| missing(id))
    }

    /// A vector of the graph.
    pub fn vector(&self, id: WeightId) -> Result<*const f32, BackendError> {
        self.vectors[id.index()].ok_or_else(|| missing(id))
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.region.len()
    }
}

fn missing(id: WeightId) -> BackendError {
    BackendError::Weights(format!("{id} is not laid out for this use"))
}

/// How the graph reads a weight.
#[derive(Clone, Copy, Default)]
struct Uses {
    matrix: bool,
    vector: Option<Form>,
}

/// What becomes of the numbers of a weight that is read as f32.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    /// This is added to each.
    Plus(f32),
    /// `-exp(x)`: the rates of decays stored as logarithms.
    MinusExp,
    /// Rows become columns.
    Transposed,
}

/// Collects [`Uses`].
struct Reader<'a> {
    graph: &'a Graph,
    uses: Vec<Uses>,
}

impl Reader<'_> {
    fn matrix(&mut self, id: WeightId) {
        self.uses[id.index()].matrix = true;
    }

    fn vector(&mut self, id: WeightId, form: Form) -> Result<(), BackendError> {
        let before = self.uses[id.index()].vector.replace(form);
        if before.is_some_and(|before| before != form) {
            let name = &self.graph.weights[id.index()].name;
            let what = format!("{name}: read in two ways, {before:?} and {form:?}");
            return Err(BackendError::Unsupported { backend: "cpu", what });
        }
        Ok(())
    }

    fn part(&mut self, part: &Part) -> Result<(), BackendError> {
        self.matrix(part.weight);
        self.plain(&[part.bias])
    }

    fn plain(&mut self, ids: &[Option<WeightId>]) -> Result<(), BackendError> {
        ids.iter().flatten().try_for_each(|&id| self.vector(id, Form::Plus(0.0)))
    }

    fn norm(&mut self, norm: &RmsNorm) -> Result<(), BackendError> {
        self.vector(norm.weight, Form::Plus(norm.offset))
    }

    fn decay(&mut self, decay: Decay) -> Result<(), BackendError> {
        match decay {
            Decay::Log(id) => self.vector(id, Form::MinusExp),
            Decay::Rate(id) => self.vector(id, Form::Plus(0.0)),
        }
    }
}

fn uses(graph: &Graph) -> Result<Vec<Uses>, BackendError> {
    let mut reader = Reader { graph, uses: vec![Uses::default(); graph.weights.len()] };
    for node in &graph.nodes {
        match &node.op {
            Op::Embed { table, .. } => reader.matrix(*table),
            Op::RmsNorm(norm) => reader.norm(norm)?,
            Op::LayerNorm(norm) => reader.plain(&[Some(norm.weight), Some(norm.bias)])?,
            Op::Linear(linear) => {
                linear.parts.iter().try_for_each(|part| reader.part(part))?;
                linear.norm.iter().try_for_each(|norm| reader.norm(norm))?;
            }
            Op::Conv(conv) => {
                reader.vector(conv.weight, Form::Transposed)?;
                reader.plain(&[conv.bias])?;
            }
            Op::Scan(scan) => {
                reader.decay(scan.decay)?;
                reader.plain(&[Some(scan.dt_bias), scan.skip])?;
            }
            Op::Delta(delta) => {
                reader.decay(delta.decay)?;
                reader.plain(&[Some(delta.dt_bias)])?;
            }
            Op::Experts(op) => {
                let parts = op.experts.iter().flat_map(|e| e.gate.iter().chain([&e.up, &e.down]));
                parts.into_iter().try_for_each(|part| reader.part(part))?;
            }
            Op::Route(Router { bias, .. }) => reader.plain(&[*bias])?,
            Op::Attend(Attend { sinks, .. }) => reader.plain(&[*sinks])?,
            _ => {}
        }
    }
    Ok(reader.uses)
}

/// Decodes a vector, whichever way it is shaped, to f32.
fn write_vector(
    weight: &Weight,
    name: &str,
    form: Form,
    out: *mut f32,
) -> Result<(), BackendError> {
    // SAFETY: the region has room for `rows * cols` floats here and nobody else has the address yet.
    let out = unsafe { std::slice::from_raw_parts_mut(out, weight.rows * weight.cols) };
    let mut decoded = vec![0.0; weight.cols];
    for row in 0..weight.rows {
        weight.decode_row(row, &mut decoded);
        match form {
            Form::Plus(offset) => decoded.iter_mut().for_each(|x| *x += offset),
            Form::MinusExp => decoded.iter_mut().for_each(|x| *x = -x.exp()),
            Form::Transposed => {}
        }
        if !finite(&decoded) {
            return Err(not_finite(name, row));
        }
        let step = if form == Form::Transposed { weight.rows } else { 1 };
        let first = if form == Form::Transposed { row } else { row * weight.cols };
        for (to, x) in out[first..].iter_mut().step_by(step).zip(&decoded) {
            *to = *x;
        }
    }
    Ok(())
}

fn not_finite(name: &str, row: usize) -> BackendError {
    BackendError::Weights(format!(
        "{name}: row {row} has a value that is not finite; the file is damaged"
    ))
}

/// Writes all tiles.
fn pack(
    graph: &Graph,
    tiles: &[Option<Tiles>],
    weights: &Weights,
    threads: usize,
    progress: &mut Progress<'_>,
) -> Result<(), BackendError> {
    let mut jobs = Vec::new();
    for (i, t) in tiles.iter().enumerate() {
        if let Some(t) = t {
            jobs.extend((0..t.count()).step_by(TILES_A_JOB).map(|first| (i, first)));
        }
    }
    let total: usize = tiles.iter().flatten().map(Tiles::bytes).sum();
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let error: Mutex<Option<BackendError>> = Mutex::new(None);
    let work = |progress: &mut Progress<'_>| {
        let mut scratch = Scratch::default();
        while let Some(&(i, first)) = jobs.get(next.fetch_add(1, Relaxed)) {
            let (Some(t), weight) = (&tiles[i], &weights.0[i]) else { continue };
            let last = t.count().min(first + TILES_A_JOB);
            for tile in first..last {
                // SAFETY: the tile is placed in zeroed memory, and each job is taken once.
                if let Err(row) = unsafe { pack_tile(t, weight, tile, &mut scratch) } {
                    next.store(jobs.len(), Relaxed);
                    let mut slot = error.lock().unwrap_or_else(|e| e.into_inner());
                    *slot = Some(not_finite(&graph.weights[i].name, row));
                }
            }
            release(weight, first * LANES, (last * LANES).min(t.rows));
            let bytes = (last - first) * t.tile_bytes;
            if progress(done.fetch_add(bytes, Relaxed) + bytes, total).is_break() {
                next.store(jobs.len(), Relaxed);
                *error.lock().unwrap_or_else(|e| e.into_inner()) = Some(BackendError::Cancelled);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| work(&mut unwatched));
        }
        work(progress);
    });
    error.into_inner().unwrap_or_else(|e| e.into_inner()).map_or(Ok(()), Err)?;
    match progress(total, total) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(BackendError::Cancelled),
    }
}

/// Gives back the mapped bytes of rows that have been read (their share of the codes; order within
/// a matrix hardly matters, since a dropped page is read again at need). Stripes and columns share their pages with others.
fn release(weight: &Weight, first: usize, last: usize) {
    if matches!(weight.order, RowOrder::Striped { .. } | RowOrder::Turned { .. }) {
        return;
    }
    let row = weight.codes.len() / weight.rows.max(1);
    if let Some(bytes) = weight.codes.slice(first * row, (last - first) * row) {
        bytes.release();
    }
}
