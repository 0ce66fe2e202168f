//! The digests the Hub promises: SHA-256 for large files, git's blob SHA-1 for the others.

use std::fmt;

use sha2::Digest as _;

/// The expected digest of a file. Its hexadecimal form is the Hub's etag and the blob's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Digest {
    /// SHA-256 of the bytes.
    Sha256(String),
    /// SHA-1 of `blob <length>\0` followed by the bytes, as git names its blobs.
    Git(String),
}

impl Digest {
    /// Reads an etag; `None` for anything that is neither digest, which could not be checked.
    pub(crate) fn parse(etag: &str) -> Option<Self> {
        let text = etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"').to_ascii_lowercase();
        let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match (hex, text.len()) {
            (true, 64) => Some(Self::Sha256(text)),
            (true, 40) => Some(Self::Git(text)),
            _ => None,
        }
    }

    /// Lower-case hexadecimal; safe as a file name.
    pub(crate) fn hex(&self) -> &str {
        match self {
            Self::Sha256(hex) | Self::Git(hex) => hex,
        }
    }

    /// A hasher that will produce this kind of digest for a file of `size` bytes.
    pub(crate) fn hasher(&self, size: u64) -> Hasher {
        match self {
            Self::Sha256(_) => Hasher::Sha256(sha2::Sha256::new()),
            Self::Git(_) => {
                let mut inner = sha1::Sha1::new();
                inner.update(format!("blob {size}\0"));
                Hasher::Git(inner)
            }
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(hex) => write!(out, "sha256 {hex}"),
            Self::Git(hex) => write!(out, "git blob {hex}"),
        }
    }
}

/// A digest in the making.
#[derive(Clone, Debug)]
pub(crate) enum Hasher {
    /// See [`Digest::Sha256`].
    Sha256(sha2::Sha256),
    /// See [`Digest::Git`].
    Git(sha1::Sha1),
}

impl Hasher {
    /// Takes the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(inner) => inner.update(bytes),
            Self::Git(inner) => inner.update(bytes),
        }
    }

    /// The digest of all bytes taken.
    pub(crate) fn finish(self) -> Digest {
        match self {
            Self::Sha256(inner) => Digest::Sha256(hex(&inner.finalize())),
            Self::Git(inner) => Digest::Git(hex(&inner.finalize())),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_published_digests() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let digest = Digest::parse(&format!("\"{expected}\"")).expect("an etag in quotes");
        let mut hasher = digest.hasher(3);
        hasher.update(b"ab");
        hasher.update(b"c");
        assert_eq!(hasher.finish(), digest);

        // `printf 'hello\n' | git hash-object --stdin`
        let digest = Digest::parse("W/\"CE013625030BA8DBA906F756967F9E9CA394464A\"").expect("git");
        let mut hasher = digest.hasher(6);
        hasher.update(b"hello\n");
        assert_eq!(hasher.finish(), digest);
        assert_eq!(digest.hex().len(), 40);
    }

    #[test]
    fn refuses_what_cannot_be_checked() {
        for etag in ["", "abc", "../../etc", &"g".repeat(64), &"a".repeat(63)] {
            assert_eq!(Digest::parse(etag), None, "{etag}");
        }
    }
}
