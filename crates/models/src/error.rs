//! Why a checkpoint cannot be made into a model.

use std::path::PathBuf;

use tessera_graph::GraphError;

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A checkpoint that cannot be used, and why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file, or a field of its configuration, is wrong.
    #[error(transparent)]
    Format(#[from] tessera_formats::Error),
    /// A tensor's packing is wrong or not supported.
    #[error("{path}: {source}")]
    Quant {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong with the tensor.
        source: tessera_quant::Error,
    },
    /// Sizes in the configuration contradict each other.
    #[error("{origin}: the configuration contradicts itself at {source}")]
    Graph {
        /// The file the configuration came from.
        origin: String,
        /// Which part of the model, and how.
        source: GraphError,
    },
    /// No family claims the checkpoint.
    #[error("{origin}: architecture {found} is not supported; supported are {supported}")]
    UnknownFamily {
        /// The file that names it.
        origin: String,
        /// What it says.
        found: String,
        /// What would be understood.
        supported: String,
    },
    /// A tensor the model needs is not there.
    #[error(
        "{path}: tensor {tensor} is missing; the download may be incomplete, or the configuration belongs to another model"
    )]
    MissingTensor {
        /// The checkpoint.
        path: PathBuf,
        /// Its name in the file.
        tensor: String,
    },
    /// A tensor has another shape than the configuration says.
    #[error("{path}: tensor {tensor} is {found:?}, but the configuration asks for {expected:?}")]
    Shape {
        /// The checkpoint.
        path: PathBuf,
        /// Its name in the file.
        tensor: String,
        /// `[rows, cols]` in the file.
        found: [usize; 2],
        /// `[rows, cols]` wanted.
        expected: [usize; 2],
    },
    /// A stack of experts' tensors has another number of experts than the configuration says.
    #[error(
        "{path}: tensor {tensor} has {found} experts, but the configuration asks for {expected}"
    )]
    Experts {
        /// The checkpoint.
        path: PathBuf,
        /// Its name in the file.
        tensor: String,
        /// Experts in the file.
        found: usize,
        /// Experts wanted.
        expected: usize,
    },
    /// A tensor that should be blocks of mxfp4 is not.
    #[error(
        "{path}: tensor {tensor} is {shape:?}, but blocks of mxfp4 are bytes of [experts, rows, groups, 16]"
    )]
    Blocks {
        /// The checkpoint.
        path: PathBuf,
        /// Its name in the file.
        tensor: String,
        /// Its shape in the file.
        shape: Vec<usize>,
    },
    /// Tensors that the model would not use: it is not the model this program knows by that name.
    #[error(
        "{path}: {count} tensors are not used by the {family} family, the first of them {tensor}; the model would compute something else"
    )]
    UnusedTensors {
        /// The checkpoint.
        path: PathBuf,
        /// The family that was built.
        family: String,
        /// Name of the first in order of names.
        tensor: String,
        /// How many.
        count: usize,
    },
}
