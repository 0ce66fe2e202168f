//! Weights of the graph, found in the checkpoint by name.

use std::collections::{BTreeSet, HashMap};

use tessera_formats::{Bytes, Checkpoint, QuantMode, Tensor, TensorQuant};
use tessera_graph::{Graph, Op, RowSlice, WeightDecl, Weights};
use tessera_quant::{Float, Packing, RowOrder, Weight};

use crate::{
    Error, Result,
    names::Names,
    source::Source,
    stacks::{self, Member, Place, Share, Stack, Stacks},
};

/// One weight for each declaration of `graph`. Every tensor of the checkpoint must be consumed.
pub(crate) fn bind(checkpoint: &Checkpoint, source: &Source, graph: &Graph) -> Result<Weights> {
    let experts = graph.nodes.iter().filter_map(|node| match &node.op {
        Op::Experts(op) => Some(op.experts.len()),
        _ => None,
    });
    let mut binder = Binder {
        checkpoint,
        names: &source.names,
        used: BTreeSet::new(),
        experts: experts.max().unwrap_or(0),
        stacks: HashMap::new(),
    };
    let weights = graph.weights.iter().map(|decl| binder.weight(decl)).collect::<Result<_>>()?;
    binder.check_unused(source)?;
    Ok(Weights(weights))
}

struct Binder<'a> {
    checkpoint: &'a Checkpoint,
    names: &'a Names,
    /// Tensors consumed so far.
    used: BTreeSet<String>,
    /// Experts of a mixture.
    experts: usize,
    /// Stacks of experts' tensors found so far: there may be thousands of experts, and each takes its part.
    stacks: Stacks,
}

impl<'a> Binder<'a> {
    fn weight(&mut self, decl: &WeightDecl) -> Result<Weight> {
        let [rows, cols] = decl.shape;
        let (mut stored, mut slice) = (self.names.stored(&decl.name), decl.slice);
        if let Some(member) = Member::parse(&decl.name)
            && self.checkpoint.tensor(&stored).is_none()
            && let Some(weight) = self.member(&member, decl)?
        {
            return Ok(weight);
        }
        if let Some((tensor, share)) = stacks::joined(&decl.name)
            && self.checkpoint.tensor(&stored).is_none()
            && self.checkpoint.tensor(&self.names.stored(&tensor)).is_some()
        {
            (stored, slice) = (self.names.stored(&tensor), Some(share.slice(0, rows)));
        }
        let mut whole = self.whole(&stored, cols)?;
        if rows == 1 && slice.is_none() {
            whole = flat(whole, cols);
        }
        let of = slice.map(|slice| slice.of);
        if let (Some(slice), [1, of]) = (slice, [whole.rows, whole.cols])
            && rows == 1
            && slice.of == of
        {
            return pick(&whole, cols, |i| slice.stored(i)).map_err(|source| self.quant(source));
        }
        let expected = [of.unwrap_or(rows), cols];
        if [whole.rows, whole.cols] != expected {
            let found = [whole.rows, whole.cols];
            return Err(Error::Shape { path: self.path(), tensor: stored, found, expected });
        }
        let whole = match self.names.paired_heads(&decl.name) {
            Some(heads) if rows == 1 => unpair_vector(&whole, heads),
            Some(heads) => whole.with_order(RowOrder::Paired { heads }),
            None => Ok(whole),
        };
        let part = whole.and_then(|whole| match slice {
            Some(slice) if slice.stripe < rows => {
                whole.stripes(slice.first, slice.stripe, slice.stride, rows)
            }
            Some(slice) => whole.slice_rows(slice.first, rows),
            None => Ok(whole),
        });
        part.map_err(|source| self.quant(source))
    }

    /// A stored matrix or vector in whichever packing it is; `cols` are the elements of a row.
    fn whole(&mut self, stored: &str, cols: usize) -> Result<Weight> {
        let tensor = self.take(stored)?;
        let module = stored.strip_suffix(".weight").unwrap_or(stored);
        let scales = self.take_if_there(&format!("{module}.scales"));
        let biases = self.take_if_there(&format!("{module}.biases"));
        let quant = match self.checkpoint.quantization() {
            Some(quantization) => quantization.for_tensor(
                module,
                &tensor.shape,
                scales.map(|scales| scales.shape.as_slice()),
                biases.is_some(),
                Some(cols),
            )?,
            None => None,
        };
        let weight = match (quant, scales) {
            (Some(quant), Some(scales)) => Weight::from_mlx(tensor, scales, biases, &quant),
            _ => Weight::from_tensor(tensor),
        };
        weight.map_err(|source| self.quant(source))
    }

    /// An expert's part of a stack; `None` where there is no stack.
    fn member(&mut self, member: &Member<'_>, decl: &WeightDecl) -> Result<Option<Weight>> {
        let key = member.stack();
        if !self.stacks.contains_key(&key) {
            let Some(place) = member.place(self.checkpoint, self.names) else { return Ok(None) };
            let weight = self.stack(&place, decl)?;
            let stack = Stack { weight, share: place.share, turned: place.turned };
            self.stacks.insert(key.clone(), stack);
        }
        let Stack { weight: stack, share, turned } = &self.stacks[&key];
        let [rows, cols] = decl.shape;
        let part = if rows == 1 {
            let row = stack.slice_rows(member.index, 1);
            let slice = share.slice(0, cols);
            row.and_then(|row| match share {
                Share::All => Ok(row),
                _ => pick(&row, cols, |i| slice.stored(i)),
            })
        } else if *turned {
            let inputs = stack.slice_rows(member.index * cols, cols);
            let RowSlice { first, stride, stripe, .. } = share.slice(0, rows);
            let stride = if stripe == rows { 1 } else { stride };
            inputs.and_then(|inputs| inputs.turned(first, stride, rows))
        } else {
            match share.slice(member.index, rows) {
                RowSlice { first, stripe, .. } if stripe == rows => stack.slice_rows(first, rows),
                RowSlice { first, stripe, stride, .. } => {
                    stack.stripes(first, stripe, stride, rows)
                }
            }
        };
        part.map(Some).map_err(|source| self.quant(source))
    }

    /// A whole stack, with as many experts, and as much for each, as the graph has.
    fn stack(&mut self, place: &Place, decl: &WeightDecl) -> Result<Weight> {
        let [rows, cols] = decl.shape;
        let stack = match &place.block_scales {
            None => self.whole(&place.tensor, cols)?,
            Some(scales) => self.blocks(&place.tensor, scales)?,
        };
        let shape = &self.take(&place.tensor)?.shape;
        if shape[0] != self.experts {
            let (path, tensor) = (self.path(), place.tensor.clone());
            return Err(Error::Experts { path, tensor, found: shape[0], expected: self.experts });
        }
        let of = place.share.slice(0, if rows == 1 { cols } else { rows }).of;
        let expected = match rows {
            1 => [self.experts, of],
            _ if place.turned => [self.experts * cols, of],
            _ => [self.experts * of, cols],
        };
        if [stack.rows, stack.cols] != expected {
            let (path, tensor) = (self.path(), place.tensor.clone());
            return Err(Error::Shape { path, tensor, found: [stack.rows, stack.cols], expected });
        }
        Ok(stack)
    }

    /// A stack in gpt-oss's blocks of mxfp4.
    fn blocks(&mut self, codes: &str, scales: &str) -> Result<Weight> {
        let (stored, scales) = (self.take(codes)?, self.take(scales)?);
        let Some(words) = stacks::blocks(stored) else {
            let (path, tensor) = (self.path(), codes.into());
            return Err(Error::Blocks { path, tensor, shape: stored.shape.clone() });
        };
        let quant = TensorQuant { bits: 4, group_size: 32, mode: QuantMode::Mxfp4 };
        Weight::from_mlx(&words, scales, None, &quant).map_err(|source| self.quant(source))
    }

    fn take_if_there(&mut self, name: &str) -> Option<&'a Tensor> {
        let tensor = self.checkpoint.tensor(name)?;
        self.used.insert(tensor.name.clone());
        Some(tensor)
    }

    fn take(&mut self, name: &str) -> Result<&'a Tensor> {
        let path = self.path();
        let missing = || Error::MissingTensor { path, tensor: name.into() };
        self.take_if_there(name).ok_or_else(missing)
    }

    fn check_unused(&self, source: &Source) -> Result<()> {
        let tied = !self.used.contains(&self.names.stored("lm_head.weight"));
        // What was left out when the checkpoint was opened is held to the same rule: whether a model has
        // such a part is for its configuration to say.
        let mapped = self.checkpoint.tensors().map(|tensor| tensor.name.as_str());
        let left_out = self.checkpoint.left_out().iter().map(String::as_str);
        let mut unused = mapped
            .chain(left_out)
            .filter(|&name| !self.used.contains(name) && !self.names.ignores(name, tied));
        match unused.next() {
            None => Ok(()),
            Some(first) => Err(Error::UnusedTensors {
                path: self.path(),
                family: source.config.opt_str("model_type")?.unwrap_or("configured").into(),
                tensor: first.into(),
                count: 1 + unused.count(),
            }),
        }
    }

    fn path(&self) -> std::path::PathBuf {
        self.checkpoint.path().to_path_buf()
    }

    fn quant(&self, source: tessera_quant::Error) -> Error {
        Error::Quant { path: self.path(), source }
    }
}

/// A vector of `len` that is stored as a matrix (GGUF files have the groups of a norm, or a value a head, as rows).
fn flat(stored: Weight, len: usize) -> Weight {
    match stored.packing {
        Packing::Dense(_) if stored.rows.checked_mul(stored.cols) == Some(len) => {
            Weight { rows: 1, cols: len, ..stored }
        }
        _ => stored,
    }
}

/// A bias whose elements are stored like the rows of a [`RowOrder::Paired`] matrix, in plain order.
fn unpair_vector(stored: &Weight, heads: usize) -> tessera_quant::Result<Weight> {
    // As a column, the elements are rows.
    let column = Weight { rows: stored.cols, cols: 1, ..stored.clone() };
    let column = column.with_order(RowOrder::Paired { heads })?;
    pick(stored, stored.cols, |i| column.stored_row(i))
}

/// `len` elements of a stored vector. They are copied: a vector has no rows to be read in another order.
fn pick(stored: &Weight, len: usize, at: impl Fn(usize) -> usize) -> tessera_quant::Result<Weight> {
    let mut values = vec![0.0; stored.cols];
    stored.decode_row(0, &mut values);
    let bytes: Vec<u8> = (0..len).flat_map(|i| values[at(i)].to_le_bytes()).collect();
    Ok(Weight {
        packing: Packing::Dense(Float::F32),
        rows: 1,
        cols: len,
        codes: Bytes::from(bytes),
        scales: None,
        biases: None,
        order: RowOrder::Plain,
    })
}
