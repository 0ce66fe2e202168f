//! Where files keep an expert's tensors: by themselves, or in a stack of all experts' of a layer.

use std::collections::HashMap;

use tessera_formats::{Checkpoint, Dtype, Tensor};
use tessera_graph::RowSlice;
use tessera_quant::Weight;

use crate::names::Names;

/// Stacks by what they hold: the mixture, the projection, and whether it is the biases.
pub(crate) type Stacks = HashMap<(String, &'static str, bool), Stack>;

/// A stack as it was found.
pub(crate) struct Stack {
    pub(crate) weight: Weight,
    pub(crate) share: Share,
    /// [`Place::turned`].
    pub(crate) turned: bool,
}

/// One of an expert's tensors, by its name in the graph: `{block}.experts.{index}.{projection}.{kind}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member<'a> {
    block: &'a str,
    /// Which expert.
    pub(crate) index: usize,
    projection: Projection,
    /// `weight` or `bias`.
    kind: &'a str,
}

/// An expert's matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Projection {
    Gate,
    Up,
    Down,
}

/// How the experts' rows (of a bias: elements) lie in a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    /// All of an expert's are the tensor's.
    All,
    /// The first half are the gate's, the others up's.
    Half(usize),
    /// Gate's and up's take turns.
    Turn(usize),
}

impl Share {
    /// Where the `rows` rows of expert `index` are; [`RowSlice::of`] are those of one expert's stored part.
    pub(crate) fn slice(self, index: usize, rows: usize) -> RowSlice {
        let (first, stripe, stride, of) = match self {
            Self::All => (0, rows, rows, rows),
            Self::Half(which) => (which * rows, rows, rows, 2 * rows),
            Self::Turn(which) => (which, 1, 2, 2 * rows),
        };
        RowSlice { first: index * of + first, stripe, stride, of }
    }
}

/// A stored tensor that holds a tensor of every expert.
pub(crate) struct Place {
    /// Its name in the file.
    pub(crate) tensor: String,
    pub(crate) share: Share,
    /// Whether a matrix of it has a row for each input, and what are rows elsewhere are columns.
    pub(crate) turned: bool,
    /// Name of its scales, where it is in blocks of mxfp4.
    pub(crate) block_scales: Option<String>,
}

impl<'a> Member<'a> {
    /// Reads a name; `None` if it is not an expert's.
    pub(crate) fn parse(name: &'a str) -> Option<Self> {
        let (block, rest) = name.split_once(".experts.")?;
        let (index, rest) = rest.split_once('.')?;
        let (projection, kind) = rest.split_once('.')?;
        let projection = match projection {
            "gate_proj" | "w1" => Projection::Gate,
            "up_proj" | "w3" => Projection::Up,
            "down_proj" | "w2" => Projection::Down,
            _ => return None,
        };
        Some(Self { block, index: index.parse().ok()?, projection, kind })
    }

    /// The name of all experts' tensors of this kind: what a stack is remembered by.
    pub(crate) fn stack(&self) -> (String, &'static str, bool) {
        (self.block.into(), self.projection.name(), self.kind == "bias")
    }

    /// The stack that has it, in whichever way the file stacks.
    pub(crate) fn place(&self, checkpoint: &Checkpoint, names: &Names) -> Option<Place> {
        let Self { block, projection, kind, .. } = *self;
        let name = projection.name();
        let (fused, second) = match projection {
            Projection::Gate => ("gate_up_proj", 0),
            Projection::Up => ("gate_up_proj", 1),
            Projection::Down => ("down_proj", 0),
        };
        let (half, turn) = match projection {
            Projection::Down => (Share::All, Share::All),
            _ => (Share::Half(second), Share::Turn(second)),
        };
        // What has biases beside its stacks is gpt-oss, which multiplies from the right.
        let has = |name: &str| checkpoint.tensor(&names.stored(name)).is_some();
        let turned = has(&format!("{block}.experts.{fused}_bias"));
        let fused_share = if turned { turn } else { half };
        let granite = if projection == Projection::Down { "output_linear" } else { "input_linear" };
        let nemotron = if projection == Projection::Down { "fc2" } else { "fc1" };
        let ways = [
            // mlx, and by translation GGUF
            (format!("{block}.switch_mlp.{name}.{kind}"), Share::All),
            (format!("{block}.experts.{name}.{kind}"), Share::All),
            (format!("{block}.switch_mlp.{nemotron}.{kind}"), Share::All),
            // transformers: an expert's rows of gate, then those of up; of gpt-oss columns in turn
            (format!("{block}.experts.{fused}"), fused_share),
            (format!("{block}.switch_mlp.{fused}.{kind}"), half),
            (format!("{block}.{granite}.{kind}"), half),
            // gpt-oss
            (format!("{block}.experts.{fused}_bias"), turn),
        ];
        let is_bias = |name: &str| name.ends_with("bias");
        let found = ways
            .into_iter()
            .filter(|(name, _)| is_bias(name) == (kind == "bias"))
            .find_map(|(name, share)| {
                let turned = turned && name.ends_with(fused) && kind == "weight";
                let tensor = names.stored(&name);
                has(&name).then_some(Place { tensor, share, turned, block_scales: None })
            });
        found.or_else(|| {
            let tensor = |kind: &str| names.stored(&format!("{block}.experts.{fused}_{kind}"));
            let place = Place {
                tensor: tensor("blocks"),
                share: turn,
                turned: false,
                block_scales: Some(tensor("scales")),
            };
            (kind == "weight" && checkpoint.tensor(&place.tensor).is_some()).then_some(place)
        })
    }
}

/// Where Granite's files keep a matrix of the network for all rows: gate and up in one, and under names of its own.
pub(crate) fn joined(name: &str) -> Option<(String, Share)> {
    let (block, projection) = name.strip_suffix("_proj.weight")?.rsplit_once('.')?;
    let layer = block.strip_suffix(".shared_mlp").or_else(|| block.strip_suffix(".mlp"))?;
    let (module, share) = match projection {
        "gate" => ("input_linear", Share::Half(0)),
        "up" => ("input_linear", Share::Half(1)),
        "down" => ("output_linear", Share::All),
        _ => return None,
    };
    Some((format!("{layer}.shared_mlp.{module}.weight"), share))
}

impl Projection {
    fn name(self) -> &'static str {
        match self {
            Self::Gate => "gate_proj",
            Self::Up => "up_proj",
            Self::Down => "down_proj",
        }
    }
}

/// Blocks of mxfp4 as gpt-oss stores them, `[experts, rows, groups, 16]` bytes, in mlx's shape,
/// `[experts, rows, words]`: the bytes are the same. `None` when they are something else.
pub(crate) fn blocks(stored: &Tensor) -> Option<Tensor> {
    let [experts, rows, groups, 16] = stored.shape[..] else { return None };
    let words = groups.checked_mul(4)?;
    let shape = vec![experts, rows, words];
    let plain = stored.dtype == Dtype::U8 && Dtype::U32.bytes(&shape) == Some(stored.bytes.len());
    plain.then(|| Tensor { dtype: Dtype::U32, shape, ..stored.clone() })
}
