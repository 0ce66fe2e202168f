//! Compiled kernels on disk: a file each, named by a hash of all that it was made from.
//!
//! The cache may be deleted at any time, shared between processes, and lie on a disk that is full or read-only: whatever
//! goes wrong with it, a kernel is compiled again.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::SystemTime,
};

use crate::caches::user_folder;

/// First bytes of an entry; the last is the format's version.
const MAGIC: &[u8; 16] = b"tessera kernel 1";

/// Bytes before the image: magic, compiler's version, hash of the image.
const HEADER: usize = 16 + 8 + 16;

/// No image of a kernel comes near it.
const MOST_ENTRY: u64 = 64 << 20;

/// Name of an entry's file ends so.
const SUFFIX: &str = "kernel";

/// A folder of compiled kernels.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
    /// Bytes it may take; the least recently used go first.
    most: u64,
}

/// A hash of bytes that is the same everywhere and for ever: FNV-1a of 128 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub(super) u128);

impl Digest {
    /// Of parts, each told apart from the next.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        const START: u128 = 0x6c62272e07bb014262b821756295c58d;
        const PRIME: u128 = 0x0000000001000000000000000000013b;
        let mut hash = START;
        let mut add = |bytes: &[u8]| {
            for &byte in bytes {
                hash = (hash ^ u128::from(byte)).wrapping_mul(PRIME);
            }
        };
        for part in parts {
            add(&(part.len() as u64).to_le_bytes());
            add(part);
        }
        Self(hash)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Cache {
    /// In `folder`, which need not exist, of at most `most` bytes.
    pub fn new(folder: impl Into<PathBuf>, most: u64) -> Self {
        Self { folder: folder.into(), most }
    }

    /// The user's: `tessera/kernels` in `XDG_CACHE_HOME`, else in `.cache` of the home folder, else in Windows' folder of
    /// applications' data; none if there is no such folder.
    pub fn of_user(most: u64) -> Option<Self> {
        Some(Self::new(user_folder()?.join("kernels"), most))
    }

    fn path(&self, key: Digest) -> PathBuf {
        self.folder.join(format!("{key}.{SUFFIX}"))
    }

    /// An image, if there is a sound one made by this version of the compiler, or by any if none is told.
    pub fn get(&self, key: Digest, compiler: Option<(i32, i32)>) -> Option<Vec<u8>> {
        let path = self.path(key);
        if fs::metadata(&path).ok()?.len() > MOST_ENTRY {
            return None;
        }
        let mut entry = fs::read(&path).ok()?;
        let (header, image) = entry.split_at_checked(HEADER)?;
        let sound = header[..16] == *MAGIC
            && header[24..] == Digest::of([image]).0.to_le_bytes()
            && compiler.is_none_or(|version| header[16..24] == version_bytes(version))
            && !image.is_empty();
        if !sound {
            return None;
        }
        // whatever is used stays longest
        if let Ok(file) = fs::File::options().append(true).open(&path) {
            let _ = file.set_modified(SystemTime::now());
        }
        Some(entry.split_off(HEADER))
    }

    /// Keeps an image. A failure only costs time later.
    pub fn put(&self, key: Digest, compiler: (i32, i32), image: &[u8]) {
        let _ = self.try_put(key, compiler, image);
    }

    fn try_put(&self, key: Digest, compiler: (i32, i32), image: &[u8]) -> io::Result<()> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let (process, count) = (std::process::id(), COUNT.fetch_add(1, Relaxed));
        let mut entry = Vec::with_capacity(HEADER + image.len());
        entry.extend(MAGIC);
        entry.extend(version_bytes(compiler));
        entry.extend(Digest::of([image]).0.to_le_bytes());
        entry.extend(image);
        fs::create_dir_all(&self.folder)?;
        let path = self.path(key);
        let partial = path.with_extension(format!("{process}-{count}.partial"));
        let written = fs::write(&partial, entry).and_then(|()| fs::rename(&partial, &path));
        if written.is_err() {
            let _ = fs::remove_file(&partial);
        }
        written
    }

    /// Removes what was used least recently until there is room for more, and what broken writes left.
    pub fn trim(&self) {
        let mut entries: Vec<_> = self.entries().collect();
        entries.sort_by_key(|(_, _, used)| std::cmp::Reverse(*used));
        let (mut total, now) = (0, SystemTime::now());
        for (path, bytes, used) in entries {
            let age = now.duration_since(used).unwrap_or_default();
            let left_behind = !is_entry(&path) && age.as_secs() > 3600;
            total += bytes;
            if total > self.most || left_behind {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// Files: path, bytes, when it was used. Other files in the folder are not touched.
    fn entries(&self) -> impl Iterator<Item = (PathBuf, u64, SystemTime)> {
        let files = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        files.filter_map(|file| {
            let (path, data) = (file.path(), file.metadata().ok()?);
            let ours = is_entry(&path) || path.extension().is_some_and(|it| it == "partial");
            (ours && data.is_file()).then_some((path, data.len(), data.modified().ok()?))
        })
    }
}

fn is_entry(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == SUFFIX)
}

fn version_bytes((major, minor): (i32, i32)) -> [u8; 8] {
    let both = (u64::from(major as u32) << 32) | u64::from(minor as u32);
    both.to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: (i32, i32) = (13, 0);

    fn cache(most: u64) -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().expect("temporary folder");
        let cache = Cache::new(folder.path().join("deep/kernels"), most);
        (folder, cache)
    }

    #[test]
    fn keeps_what_it_is_given() {
        let (_folder, cache) = cache(1 << 20);
        let (key, other) = (Digest::of([&b"a"[..], b"b"]), Digest::of([&b"ab"[..], b""]));
        assert_ne!(key, other, "parts are told apart");
        assert_eq!(cache.get(key, None), None);
        cache.put(key, NEW, b"image");
        assert_eq!(cache.get(key, Some(NEW)).as_deref(), Some(&b"image"[..]));
        assert_eq!(cache.get(key, None).as_deref(), Some(&b"image"[..]));
        assert_eq!(cache.get(key, Some((13, 1))), None, "another compiler");
        assert_eq!(cache.get(other, None), None);
        cache.put(key, (13, 1), b"later");
        assert_eq!(cache.get(key, Some((13, 1))).as_deref(), Some(&b"later"[..]));
        let names: Vec<_> = fs::read_dir(&cache.folder).unwrap().collect();
        assert_eq!(names.len(), 1, "no partial files are left: {names:?}");
    }

    #[test]
    fn damage_is_noticed() {
        let (_folder, cache) = cache(1 << 20);
        let key = Digest::of([&b"source"[..]]);
        cache.put(key, NEW, b"an image of some length");
        let sound = fs::read(cache.path(key)).unwrap();
        for at in [0, 15, 16, 23, 24, 39, 40, sound.len() - 1] {
            let mut damaged = sound.clone();
            damaged[at] ^= 1;
            fs::write(cache.path(key), &damaged).unwrap();
            assert_eq!(cache.get(key, Some(NEW)), None, "byte {at}");
        }
        for len in [0, 1, 39, 40, sound.len() - 1] {
            fs::write(cache.path(key), &sound[..len]).unwrap();
            assert_eq!(cache.get(key, Some(NEW)), None, "{len} bytes");
        }
        fs::write(cache.path(key), &sound).unwrap();
        assert!(cache.get(key, Some(NEW)).is_some());
    }

    #[test]
    fn stays_within_its_bound() {
        let (_folder, cache) = cache(3 * (HEADER as u64 + 100));
        let keys: Vec<_> = (0..5u8).map(|i| Digest::of([&[i][..]])).collect();
        let old = SystemTime::now() - std::time::Duration::from_secs(10_000);
        for (i, &key) in keys.iter().enumerate() {
            cache.put(key, NEW, &[i as u8; 100]);
            let file = fs::File::options().append(true).open(cache.path(key)).unwrap();
            file.set_modified(old + std::time::Duration::from_secs(i as u64)).unwrap();
        }
        let partial = cache.folder.join("x.1-1.partial");
        fs::write(&partial, b"left").unwrap();
        fs::File::options().append(true).open(&partial).unwrap().set_modified(old).unwrap();
        let stranger = cache.folder.join("notes.txt");
        fs::write(&stranger, b"not ours").unwrap();
        assert!(cache.get(keys[0], Some(NEW)).is_some(), "used now");
        cache.trim();
        let held = keys.iter().map(|&key| cache.path(key).exists()).collect::<Vec<_>>();
        assert_eq!(held, [true, false, false, true, true]);
        assert!(!partial.exists() && stranger.exists());
    }

    #[test]
    fn a_folder_that_cannot_be_is_no_error() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let file = folder.path().join("file");
        fs::write(&file, b"").unwrap();
        let cache = Cache::new(file.join("below"), 100);
        let key = Digest::of([&b"x"[..]]);
        cache.put(key, NEW, b"image");
        cache.trim();
        assert_eq!(cache.get(key, None), None);
    }
}
