//! Kernels that were compiled before the program was built, all in one file: `cargo xtask cubins` writes it, the program
//! embeds it.
//!
//! The file: a header (magic with the format's version, the compiler's version, how many kernels), an index sorted by key, and
//! the images. What is the same is there once. All numbers are little endian.

use std::{borrow::Cow, collections::BTreeMap};

use super::cache::Digest;

/// First bytes of the file; the last is the format's version.
const MAGIC: &[u8; 16] = b"tessera cubins 1";

/// Bytes before the index: magic, compiler's version, number of kernels, four bytes of nothing.
const HEADER: usize = 16 + 8 + 4 + 4;

/// Bytes of a kernel in the index: key, hash of the image, first byte and bytes of it.
const ENTRY: usize = 16 + 16 + 4 + 4;

/// A file of kernels.
#[derive(Debug, Clone)]
pub struct Archive {
    bytes: Cow<'static, [u8]>,
    compiler: (i32, i32),
    count: usize,
}

/// A kernel of the index.
struct Entry {
    key: u128,
    hash: u128,
    offset: usize,
    bytes: usize,
}

impl Archive {
    /// The one of this program, if any.
    pub const OWN: Option<&'static [u8]> = {
        #[cfg(embedded_cubins)]
        let own: Option<&'static [u8]> =
            Some(include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/embedded/kernels.cubins")));
        #[cfg(not(embedded_cubins))]
        let own = None;
        own
    };

    /// A file's contents.
    ///
    /// # Errors
    /// What is wrong with them: they are no such file, of another version, cut off, or out of order.
    pub fn open(bytes: impl Into<Cow<'static, [u8]>>) -> Result<Self, String> {
        let bytes = bytes.into();
        let header = bytes.get(..HEADER).ok_or_else(|| {
            format!("{} bytes of kernels, and the header has {HEADER}", bytes.len())
        })?;
        if header[..16] != *MAGIC {
            let magic = header[..16].escape_ascii();
            return Err(format!("kernels that begin with {magic}, not {}", MAGIC.escape_ascii()));
        }
        let compiler = (word(header, 16).cast_signed(), word(header, 20).cast_signed());
        let count = word(header, 24) as usize;
        let archive = Self { compiler, count, bytes };
        let index = count.checked_mul(ENTRY).and_then(|index| index.checked_add(HEADER));
        let total = archive.bytes.len();
        if index.is_none_or(|end| end > total) {
            return Err(format!("an index of {count} kernels in {total} bytes"));
        }
        let mut last = None;
        for i in 0..count {
            let Entry { key, offset, bytes, .. } = archive.entry(i);
            if last.is_some_and(|last| last >= key) {
                return Err(format!("kernel {i} of {count} is out of order"));
            }
            if bytes == 0 || offset.checked_add(bytes).is_none_or(|end| end > total) {
                return Err(format!("kernel {i}: bytes {offset} and {bytes} more of {total}"));
            }
            last = Some(key);
        }
        Ok(archive)
    }

    /// Makes a file of kernels and their keys. Of several with one key the first stays.
    ///
    /// # Errors
    /// When it would be larger than 4 GiB, or an image is empty.
    pub fn write(compiler: (i32, i32), kernels: &[(Digest, Vec<u8>)]) -> Result<Vec<u8>, String> {
        let mut index = BTreeMap::new();
        for (key, image) in kernels {
            index.entry(key.0).or_insert(image);
        }
        let first = HEADER + index.len() * ENTRY;
        let (mut head, mut images) = (Vec::with_capacity(first), Vec::new());
        let mut known = BTreeMap::new();
        let small = |n: usize| {
            u32::try_from(n).map(u32::to_le_bytes).map_err(|_| format!("{n} bytes of kernels"))
        };
        head.extend(MAGIC);
        head.extend([compiler.0, compiler.1].into_iter().flat_map(i32::to_le_bytes));
        head.extend(small(index.len())?);
        head.extend([0; 4]);
        for (key, image) in index {
            if image.is_empty() {
                return Err(format!("the kernel of key {key:032x} has no image"));
            }
            let hash = Digest::of([image.as_slice()]).0;
            let offset = *known.entry((hash, image.len())).or_insert_with(|| {
                let offset = first + images.len();
                images.extend_from_slice(image);
                offset
            });
            head.extend(key.to_le_bytes());
            head.extend(hash.to_le_bytes());
            head.extend(small(offset)?);
            head.extend(small(image.len())?);
        }
        head.append(&mut images);
        Ok(head)
    }

    /// Version of the compiler that made the kernels.
    pub fn compiler(&self) -> (i32, i32) {
        self.compiler
    }

    /// How many kernels there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// An image, if there is a sound one.
    pub fn get(&self, key: Digest) -> Option<&[u8]> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.entry(middle).key < key.0 {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        let found = (low < self.count).then(|| self.entry(low)).filter(|it| it.key == key.0)?;
        let image = self.bytes.get(found.offset..found.offset + found.bytes)?;
        (Digest::of([image]).0 == found.hash).then_some(image)
    }

    /// Kernel `i` of the index, which is there.
    fn entry(&self, i: usize) -> Entry {
        let bytes = &self.bytes[HEADER + i * ENTRY..][..ENTRY];
        Entry {
            key: wide(bytes, 0),
            hash: wide(bytes, 16),
            offset: word(bytes, 32) as usize,
            bytes: word(bytes, 36) as usize,
        }
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn wide(bytes: &[u8], at: usize) -> u128 {
    bytes[at..].first_chunk().map_or(0, |bytes| u128::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Digest {
        Digest::of([name.as_bytes()])
    }

    fn made() -> Vec<u8> {
        let kernels: Vec<_> = (0..40u8)
            .map(|i| (key(&format!("kernel {i}")), vec![i % 10; 30 + usize::from(i % 10)]))
            .collect();
        Archive::write((13, 5), &kernels).expect("small")
    }

    #[test]
    fn gives_what_it_was_made_of() {
        let archive = Archive::open(made()).expect("sound");
        assert_eq!((archive.compiler(), archive.len()), ((13, 5), 40));
        for i in 0..40u8 {
            let image = archive.get(key(&format!("kernel {i}")));
            assert_eq!(image, Some(&vec![i % 10; 30 + usize::from(i % 10)][..]), "{i}");
        }
        assert_eq!(archive.get(key("kernel 40")), None);
        let images: usize = (30..40).sum();
        assert_eq!(archive.bytes.len(), HEADER + 40 * ENTRY + images, "each image once");
        let nothing = Archive::open(Archive::write((13, 5), &[]).expect("small")).expect("sound");
        assert!(nothing.is_empty() && nothing.get(key("kernel 0")).is_none());
    }

    #[test]
    fn the_embedded_one_is_sound() {
        // there is one where `cargo xtask cubins` ran before
        if let Some(own) = Archive::OWN {
            assert!(!Archive::open(own).expect("sound").is_empty());
        }
    }

    #[test]
    fn the_first_of_one_key_stays() {
        let kernels = [b"one", b"two"].map(|image| (key("it"), image.to_vec()));
        let archive = Archive::open(Archive::write((1, 2), &kernels).expect("small"));
        assert_eq!(archive.expect("sound").get(key("it")), Some(&b"one"[..]));
        assert!(Archive::write((1, 2), &[(key("it"), Vec::new())]).is_err());
    }

    #[test]
    fn damage_is_noticed() {
        let sound = made();
        for len in (0..HEADER + ENTRY * 40).step_by(7).chain([sound.len() - 1]) {
            assert!(Archive::open(sound[..len].to_vec()).is_err(), "{len} bytes");
        }
        for at in 0..sound.len() {
            let mut damaged = sound.clone();
            damaged[at] ^= 0x81;
            // the versions are not checked by anything
            let Ok(archive) = Archive::open(damaged) else { continue };
            let wrong = (0..40u8)
                .filter_map(|i| Some((i, archive.get(key(&format!("kernel {i}")))?)))
                .find(|(i, image)| *image != vec![i % 10; 30 + usize::from(i % 10)]);
            assert_eq!(wrong, None, "byte {at}");
        }
    }
}
