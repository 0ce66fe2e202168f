//! Machine code on disk.
//!
//! An archive holds the kernels of one text, as one GPU and one version of the system compile them; its file is named after
//! all three. Metal itself finds a kernel in it by its intermediate code, so a wrong file is of no use but does no harm.

use std::{
    fs,
    path::{Path, PathBuf},
};

use objc2::{rc::Retained, runtime::ProtocolObject};
use objc2_foundation::{NSArray, NSURL};
use objc2_metal::{
    MTLBinaryArchive, MTLBinaryArchiveDescriptor, MTLComputePipelineDescriptor, MTLDevice,
};

use super::{explain, ns};

/// An archive, and what is to become of it.
pub(super) struct Archive {
    inner: Retained<ProtocolObject<dyn MTLBinaryArchive>>,
    path: PathBuf,
    grown: bool,
    problem: Option<String>,
}

impl Archive {
    /// Opens the archive of `key` (the text, and what device and system it is compiled for) in `folder`. If there is none, or
    /// if it is damaged, an empty one is begun.
    pub(super) fn open(
        device: &ProtocolObject<dyn MTLDevice>,
        folder: &Path,
        key: &[String; 2],
    ) -> Result<Self, String> {
        let path = folder.join(format!("{:016x}.metalarchive", hash(key)));
        let descriptor = MTLBinaryArchiveDescriptor::new();
        if path.is_file() {
            let place = url(&path)?;
            descriptor.setUrl(Some(&place));
            if let Ok(inner) = device.newBinaryArchiveWithDescriptor_error(&descriptor) {
                return Ok(Self { inner, path, grown: false, problem: None });
            }
            descriptor.setUrl(None);
        }
        match device.newBinaryArchiveWithDescriptor_error(&descriptor) {
            Ok(inner) => Ok(Self { inner, path, grown: false, problem: None }),
            Err(error) => Err(explain(&error)),
        }
    }

    /// Lets a pipeline be made out of it.
    pub(super) fn offer(&self, descriptor: &MTLComputePipelineDescriptor) {
        descriptor.setBinaryArchives(Some(&NSArray::from_slice(&[&*self.inner])));
    }

    /// Compiles a kernel into it.
    pub(super) fn add(&mut self, descriptor: &MTLComputePipelineDescriptor) {
        match self.inner.addComputePipelineFunctionsWithDescriptor_error(descriptor) {
            Ok(()) => self.grown = true,
            Err(error) => self.problem = Some(explain(&error)),
        }
    }

    /// Writes it to disk if there is something new in it. Others see the whole file or none.
    pub(super) fn save(self) -> Result<(), String> {
        if self.grown {
            let tell = |error: std::io::Error| format!("{}: {error}", self.path.display());
            let folder = self.path.parent().unwrap_or(Path::new("."));
            fs::create_dir_all(folder).map_err(tell)?;
            let new = self.path.with_extension(format!("{}.new", std::process::id()));
            let place = url(&new)?;
            let kept = match self.inner.serializeToURL_error(&place) {
                Ok(()) => fs::rename(&new, &self.path).map_err(tell),
                Err(error) => Err(format!("{}: {}", new.display(), explain(&error))),
            };
            if kept.is_err() {
                // a leftover, if anything
                let _ = fs::remove_file(&new);
            }
            kept?;
        }
        self.problem.map_or(Ok(()), Err)
    }
}

fn url(path: &Path) -> Result<Retained<NSURL>, String> {
    let text = path.to_str().ok_or_else(|| format!("{}: not Unicode", path.display()))?;
    Ok(NSURL::fileURLWithPath(&ns(text)))
}

/// Fowler, Noll and Vo's hash (1a, 64 bits), of parts with an end of their own.
fn hash(parts: &[String]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0xff]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
