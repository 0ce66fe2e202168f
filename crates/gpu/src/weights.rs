//! Weights on the device: matrices as planes, vectors as f32.

use tessera_graph::{BackendError, Graph, Linear, Part, WeightId, Weights};
use tessera_kernels::{codes::Matrix, pack::NotFinite};
use tessera_quant::{Error, Weight};

use crate::stream::{BufferId, Range};

/// Alignment of a plane: enough for any vector load, and for Metal's buffer offsets.
const ALIGN: usize = 256;

/// A matrix's planes.
#[derive(Debug, Clone)]
pub struct Planes {
    /// Its packing.
    pub matrix: Matrix,
    /// Rows of all that are stacked.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
    /// Each plane, in the order they are bound.
    pub ranges: Vec<Range>,
}

/// Whether the parts of a linear can be one matrix: of one packing, all with biases or none.
pub fn are_one(linear: &Linear, weights: &Weights) -> bool {
    let form = |part: &Part| Matrix::of(&weights[part.weight]);
    let [first, others @ ..] = &linear.parts[..] else { return false };
    let alike =
        |part: &Part| form(part) == form(first) && part.bias.is_some() == first.bias.is_some();
    others.len() < 3 && others.iter().all(alike)
}

/// What is to be put into a buffer.
#[derive(Debug, Clone)]
pub enum Source {
    /// Matrices one under the other.
    Matrices(Vec<WeightId>),
    /// Vectors one after the other.
    Vectors(Vec<WeightId>),
    /// Numbers of the graph's.
    Constants(Vec<f32>),
}

/// All buffers of weights, planned.
#[derive(Debug, Default)]
pub struct Plan {
    /// What goes into each, and its bytes.
    pub buffers: Vec<(Source, usize)>,
}

impl Plan {
    /// A matrix, or several of one packing and width one under the other.
    pub fn matrices(
        &mut self,
        ids: &[WeightId],
        graph: &Graph,
        weights: &Weights,
    ) -> Result<Planes, BackendError> {
        let first = &weights[ids[0]];
        let matrix = Matrix::of(first);
        let (mut rows, cols) = (0, first.cols);
        for &id in ids {
            let weight = &weights[id];
            if Matrix::of(weight) != matrix || weight.cols != cols {
                let name = &graph.weights[id.index()];
                let what = format!("{name}: experts of one layer in different packings");
                return Err(BackendError::Unsupported { backend: "gpu", what });
            }
            rows += weight.rows;
        }
        let known = self
            .buffers
            .iter()
            .position(|(source, _)| matches!(source, Source::Matrices(known) if known[..] == *ids));
        let buffer = known.unwrap_or(self.buffers.len());
        let (ranges, bytes) = layout(buffer, &matrix, rows, cols);
        if known.is_none() {
            self.buffers.push((Source::Matrices(ids.to_vec()), bytes));
        }
        Ok(Planes { matrix, rows, cols, ranges })
    }

    /// A vector (or a small matrix read as one), or several one after the other, as f32.
    pub fn vectors(&mut self, ids: &[WeightId], weights: &Weights) -> Range {
        let known = self
            .buffers
            .iter()
            .position(|(source, _)| matches!(source, Source::Vectors(known) if known[..] == *ids));
        let len: usize = ids.iter().map(|&id| weights[id].rows * weights[id].cols).sum();
        self.constant(known, Source::Vectors(ids.to_vec()), len)
    }

    /// Numbers.
    pub fn constants(&mut self, values: &[f32]) -> Range {
        self.constant(None, Source::Constants(values.to_vec()), values.len())
    }

    fn constant(&mut self, known: Option<usize>, source: Source, len: usize) -> Range {
        let (index, bytes) = (known.unwrap_or(self.buffers.len()), len * 4);
        if known.is_none() {
            self.buffers.push((source, bytes.next_multiple_of(16)));
        }
        Range { buffer: BufferId::Weight(index), offset: 0, bytes }
    }

    /// Bytes of all buffers.
    pub fn bytes(&self) -> usize {
        self.buffers.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Where each plane of a buffer begins, and its bytes up to the next one. What is not of matrices is one plane.
    pub fn planes(&self, weights: &Weights, buffer: usize) -> Vec<(usize, usize)> {
        let (source, bytes) = &self.buffers[buffer];
        let Source::Matrices(ids) = source else { return vec![(0, *bytes)] };
        let rows = ids.iter().map(|&id| weights[id].rows).sum();
        let first = &weights[ids[0]];
        let (ranges, _) = layout(buffer, &Matrix::of(first), rows, first.cols);
        ranges.iter().map(|range| (range.offset, range.bytes.next_multiple_of(ALIGN))).collect()
    }
}

/// Where planes lie in their buffer, and its bytes.
fn layout(buffer: usize, matrix: &Matrix, rows: usize, cols: usize) -> (Vec<Range>, usize) {
    let mut offset = 0;
    let ranges = matrix
        .plane_bytes(rows, cols)
        .into_iter()
        .map(|bytes| {
            let range = Range { buffer: BufferId::Weight(buffer), offset, bytes };
            offset += bytes.next_multiple_of(ALIGN);
            range
        })
        .collect();
    (ranges, offset)
}

/// Where a part of a buffer's bytes goes: written in order.
pub type Write<'a> = dyn FnMut(usize, &[u8]) -> Result<(), BackendError> + 'a;

/// Lays a buffer's contents out.
pub fn fill(
    source: &Source,
    graph: &Graph,
    weights: &Weights,
    write: &mut Write<'_>,
) -> Result<(), BackendError> {
    match source {
        Source::Constants(values) => {
            let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
            write(0, &bytes)
        }
        Source::Vectors(ids) => {
            let mut offset = 0;
            for &id in ids {
                let weight = &weights[id];
                let mut values = vec![0.0; weight.cols];
                for row in 0..weight.rows {
                    weight.decode_row(row, &mut values);
                    if values.iter().any(|x| !x.is_finite()) {
                        return Err(not_finite(graph, id, NotFinite { row }));
                    }
                    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
                    write(offset, &bytes)?;
                    offset += bytes.len();
                }
            }
            Ok(())
        }
        Source::Matrices(ids) => {
            let of = |id: WeightId| -> &Weight { &weights[id] };
            let first = of(ids[0]);
            let matrix = Matrix::of(first);
            let rows: usize = ids.iter().map(|&id| of(id).rows).sum();
            let (ranges, _) = layout(0, &matrix, rows, first.cols);
            let mut offsets: Vec<usize> = ranges.iter().map(|range| range.offset).collect();
            for &id in ids {
                let packed = matrix.pack(of(id)).map_err(|error| not_finite(graph, id, error))?;
                for ((offset, bytes), range) in offsets.iter_mut().zip(&packed.planes).zip(&ranges)
                {
                    // a table is the same for all
                    if *offset + bytes.len() <= range.offset + range.bytes {
                        write(*offset, bytes)?;
                        *offset += bytes.len();
                    }
                }
            }
            Ok(())
        }
    }
}

/// Whether all numbers of matrices are finite, as [`fill`] tells on its way.
pub fn check(source: &Source, graph: &Graph, weights: &Weights) -> Result<(), BackendError> {
    let Source::Matrices(ids) = source else { return Ok(()) };
    ids.iter().try_for_each(|&id| match weights[id].check_finite("") {
        Err(Error::NotFinite { row, .. }) => Err(not_finite(graph, id, NotFinite { row })),
        other => other.map_err(|error| BackendError::Weights(error.to_string())),
    })
}

fn not_finite(graph: &Graph, id: WeightId, error: NotFinite) -> BackendError {
    BackendError::Weights(format!("{}: {error}", graph.weights[id.index()]))
}
