//! A model's files as one set of tensors.

mod locate;
mod select;
mod shards;

use std::path::{Path, PathBuf};

use crate::{Config, Error, Quantization, Result, Tensor, error::quote, gguf::Gguf, map::Mapped};

use locate::Layout;
use select::{Wanted, select};

/// Format of a checkpoint's weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One or more safetensors files with a `config.json`.
    SafeTensors,
    /// One GGUF file, whose metadata takes the place of a configuration.
    Gguf,
}

/// An opened model: its configuration, and its tensors where the files are mapped.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    files: Vec<PathBuf>,
    mapped: Vec<Mapped>,
    config: Config,
    generation_config: Option<Config>,
    quantization: Option<Quantization>,
    /// `format` of the safetensors metadata.
    writer: Option<String>,
    gguf: Option<Gguf>,
    /// Sorted by name; empty for GGUF, which keeps its own.
    tensors: Vec<Tensor>,
    left_out: Vec<String>,
}

impl Checkpoint {
    /// Opens a folder with `config.json` and safetensors (`model.safetensors`, an index with its
    /// shards, or a single file of another name), a `.gguf` file, or a folder with exactly one.
    ///
    /// Files are mapped, not read. Symbolic links are followed.
    ///
    /// # Errors
    ///
    /// See [`Error`]; every file is checked whole, so what succeeds can be read without bounds
    /// errors as long as the files stay as they are ([`Checkpoint::verify`]).
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_selected(path, &|_| true)
    }

    /// As [`open`](Self::open), with the tensors alone for whose names `wanted` is true. The others are
    /// not mapped; a shard that holds nothing else is not opened, and need not be there.
    pub fn open_selected(path: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<Self> {
        match locate::locate(path)? {
            Layout::Gguf(file) => Self::open_gguf(path, file, wanted),
            Layout::Single(file) => {
                let (mut contents, mapped) = crate::safetensors::File::map(&file)?;
                let left_out = select(&mapped, &mut contents.tensors, wanted)?;
                let writer = contents.metadata.get("format").cloned();
                let (files, mapped) = (vec![file], vec![mapped]);
                let set = shards::Set { files, mapped, writer, left_out };
                Self::open_safetensors(path, set, contents.tensors)
            }
            Layout::Sharded(index) => {
                let (set, tensors) = shards::open(path, &index, wanted)?;
                Self::open_safetensors(path, set, tensors)
            }
        }
    }

    fn open_gguf(path: &Path, file: PathBuf, wanted: Wanted) -> Result<Self> {
        let (mut gguf, mapped) = Gguf::map(&file)?;
        let left_out = select(&mapped, &mut gguf.tensors, wanted)?;
        Ok(Self {
            path: path.into(),
            config: Config::empty(file.display().to_string()),
            files: vec![file],
            mapped: vec![mapped],
            generation_config: None,
            quantization: None,
            writer: None,
            gguf: Some(gguf),
            tensors: Vec::new(),
            left_out,
        })
    }

    fn open_safetensors(path: &Path, set: shards::Set, tensors: Vec<Tensor>) -> Result<Self> {
        let config = Config::open(&path.join("config.json"))?;
        let generation = path.join("generation_config.json");
        let generation_config =
            if generation.exists() { Some(Config::open(&generation)?) } else { None };
        let mut quantization = Quantization::from_config(&config)?;
        if quantization.is_none() && has_scales(&tensors) {
            quantization = Some(Quantization::default());
        }
        Ok(Self {
            path: path.into(),
            files: set.files,
            mapped: set.mapped,
            config,
            generation_config,
            quantization,
            writer: set.writer,
            gguf: None,
            tensors,
            left_out: set.left_out,
        })
    }

    /// Format of the weights.
    pub fn kind(&self) -> Kind {
        if self.gguf.is_some() { Kind::Gguf } else { Kind::SafeTensors }
    }

    /// The path it was opened with.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The weight files.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// `config.json`; an empty object for GGUF.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// `generation_config.json`, if there is one.
    pub fn generation_config(&self) -> Option<&Config> {
        self.generation_config.as_ref()
    }

    /// The GGUF file with its metadata.
    pub fn gguf(&self) -> Option<&Gguf> {
        self.gguf.as_ref()
    }

    /// mlx quantisation: what `config.json` says, or an empty description when it is silent but a
    /// `….scales` tensor stands beside a weight.
    pub fn quantization(&self) -> Option<&Quantization> {
        self.quantization.as_ref()
    }

    /// Who wrote the safetensors files, as their metadata says: `pt` or `mlx`.
    pub fn writer(&self) -> Option<&str> {
        self.writer.as_deref()
    }

    fn all(&self) -> &[Tensor] {
        self.gguf.as_ref().map_or(&self.tensors, |gguf| &gguf.tensors)
    }

    /// The tensors, sorted by name.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = &Tensor> {
        self.all().iter()
    }

    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        crate::find(self.all(), name)
    }

    /// Names of the tensors that [`open_selected`](Self::open_selected) left out, sorted.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// The tensor of that name, or the error that names it.
    pub fn require(&self, name: &str) -> Result<&Tensor> {
        self.tensor(name)
            .ok_or_else(|| Error::MissingTensor { path: self.path.clone(), tensor: quote(name) })
    }

    /// Bytes of all tensors.
    pub fn bytes(&self) -> u64 {
        self.tensors().map(|tensor| tensor.bytes.len() as u64).sum()
    }

    /// Checks that no file changed its length since it was opened.
    ///
    /// Touching mapped bytes of a file that became shorter kills the process (SIGBUS), and nothing
    /// portable can prevent it. Whoever reads the weights calls this just before; replacing a model
    /// by a rename, as downloads do, leaves an open checkpoint untouched.
    pub fn verify(&self) -> Result<()> {
        self.mapped.iter().try_for_each(Mapped::verify)
    }
}

/// Whether any weight has scales beside it.
fn has_scales(tensors: &[Tensor]) -> bool {
    tensors
        .iter()
        .filter_map(|tensor| tensor.name.strip_suffix(".scales"))
        .any(|module| crate::find(tensors, &format!("{module}.weight")).is_some())
}
