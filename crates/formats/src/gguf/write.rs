//! Writing GGUF files.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use super::{ALIGNMENT_KEY, DEFAULT_ALIGNMENT, MAGIC, Value, types, value::put_string};
use crate::{Error, Result, Tensor, error::quote, map::io_error};

/// Collects metadata and tensors, then writes a GGUF file of version 3.
///
/// ```
/// use tessera_formats::{Dtype, Tensor, gguf::{Gguf, Writer}};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let bytes = Writer::new()
///     .pair("general.architecture", "llama")
///     .pair("llama.block_count", 2u32)
///     .tensor(Tensor {
///         name: "output_norm.weight".into(),
///         dtype: Dtype::F32,
///         shape: vec![2],
///         bytes: [1f32, 2.0].map(f32::to_le_bytes).concat().into(),
///     })?
///     .to_bytes()?;
/// let gguf = Gguf::parse(bytes.into(), "two-floats.gguf".as_ref())?;
/// assert_eq!(gguf.metadata.u64("llama.block_count")?, 2);
/// assert_eq!(gguf.tensors[0].shape, [2]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Writer {
    pairs: Vec<(String, Value)>,
    tensors: Vec<(Tensor, u32)>,
}

impl Writer {
    /// A file without metadata and tensors.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a metadata pair, or replaces the one of that key.
    ///
    /// The writer aligns data to 32 bytes: a `general.alignment` given here is replaced by 32.
    pub fn pair(mut self, key: &str, value: impl Into<Value>) -> Self {
        let value = if key == ALIGNMENT_KEY { default_alignment() } else { value.into() };
        match self.pairs.iter_mut().find(|pair| pair.0 == key) {
            Some(pair) => pair.1 = value,
            None => self.pairs.push((key.into(), value)),
        }
        self
    }

    /// Adds a tensor; its bytes are not copied before they are written.
    ///
    /// # Errors
    ///
    /// [`Error::Dtype`] for a type that GGUF lacks, [`Error::Tensor`] for more than 4 dimensions or
    /// bytes that do not fit the shape, [`Error::Duplicate`] for a name already added.
    pub fn tensor(mut self, tensor: Tensor) -> Result<Self> {
        let name = || quote(&tensor.name);
        let path = || Path::new("new GGUF file").to_path_buf();
        let Some(number) = types::type_number(tensor.dtype) else {
            let dtype = format!("{:?}", tensor.dtype);
            return Err(Error::Dtype { path: path(), tensor: name(), dtype });
        };
        let fits = tensor.dtype.bytes(&tensor.shape) == Some(tensor.bytes.len());
        if !fits || tensor.bytes.is_empty() || tensor.shape.len() > 4 {
            let (len, dtype, shape) = (tensor.bytes.len(), tensor.dtype, &tensor.shape);
            let problem = format!("{len} bytes as {dtype:?} of shape {shape:?} cannot be stored");
            return Err(Error::Tensor { path: path(), tensor: name(), problem });
        }
        if self.tensors.iter().any(|other| other.0.name == tensor.name) {
            return Err(Error::Duplicate { path: path(), what: "tensor", name: name() });
        }
        self.tensors.push((tensor, number));
        Ok(self)
    }

    /// The whole file in memory.
    pub fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.write(&mut bytes)?;
        Ok(bytes)
    }

    /// Writes the file to a path, replacing what is there.
    pub fn write_file(&self, path: &Path) -> Result<()> {
        let file = File::create(path).map_err(io_error(path))?;
        let mut out = BufWriter::new(file);
        self.write(&mut out).and_then(|()| out.flush()).map_err(io_error(path))
    }

    /// Writes the file.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let mut head = self.head();
        pad(&mut head);
        out.write_all(&head)?;
        for (tensor, _) in &self.tensors {
            out.write_all(&tensor.bytes)?;
            let len = tensor.bytes.len() as u64;
            out.write_all(&[0; DEFAULT_ALIGNMENT as usize][..(padded(len) - len) as usize])?;
        }
        Ok(())
    }

    /// Everything before the data.
    fn head(&self) -> Vec<u8> {
        let mut head = MAGIC.to_vec();
        head.extend(3u32.to_le_bytes());
        head.extend((self.tensors.len() as u64).to_le_bytes());
        head.extend((self.pairs.len() as u64).to_le_bytes());
        for (key, value) in &self.pairs {
            put_string(key, &mut head);
            head.extend(value.kind().to_le_bytes());
            value.put(&mut head);
        }
        let mut offset = 0;
        for (tensor, number) in &self.tensors {
            put_string(&tensor.name, &mut head);
            head.extend((tensor.shape.len() as u32).to_le_bytes());
            for &dimension in tensor.shape.iter().rev() {
                head.extend((dimension as u64).to_le_bytes());
            }
            head.extend(number.to_le_bytes());
            head.extend(u64::to_le_bytes(offset));
            offset += padded(tensor.bytes.len() as u64);
        }
        head
    }
}

fn default_alignment() -> Value {
    Value::U32(DEFAULT_ALIGNMENT as u32)
}

fn padded(len: u64) -> u64 {
    len.next_multiple_of(DEFAULT_ALIGNMENT)
}

fn pad(head: &mut Vec<u8>) {
    head.resize(padded(head.len() as u64) as usize, 0);
}
