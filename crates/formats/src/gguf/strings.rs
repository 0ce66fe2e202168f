//! Arrays of strings: vocabularies and merges.

use super::cursor::Cursor;
use crate::Result;

/// Many strings in one: their text end to end, and where each ends. A vocabulary of 262,144 pieces
/// costs two allocations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Strings {
    text: String,
    ends: Vec<u32>,
}

impl Strings {
    /// Number of strings.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The string at a position.
    pub fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)? as usize;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        self.text.get(start..end)
    }

    /// The strings in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        (0..self.len()).map(|index| self.get(index).unwrap_or_default())
    }

    /// Memory the strings take, in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<u32>()
    }

    pub(super) fn read(cursor: &mut Cursor<'_>, what: &str, count: usize) -> Result<Self> {
        let (mut text, mut ends) = (Vec::new(), Vec::with_capacity(count));
        for _ in 0..count {
            text.extend_from_slice(cursor.text(what, u64::MAX)?);
            // The cursor's limit on the whole head keeps this below 2^32.
            ends.push(text.len() as u32);
        }
        text.shrink_to_fit();
        let bad = |index: usize| cursor.malformed(format!("string {index} of {what} is not UTF-8"));
        let ends_before = |at: usize| ends.partition_point(|&end| end as usize <= at);
        let text = String::from_utf8(text)
            .map_err(|error| bad(ends_before(error.utf8_error().valid_up_to())))?;
        match ends.iter().position(|&end| !text.is_char_boundary(end as usize)) {
            Some(index) => Err(bad(index)),
            None => Ok(Self { text, ends }),
        }
    }
}

impl<S: AsRef<str>> FromIterator<S> for Strings {
    /// # Panics
    ///
    /// When the strings have more than 4 GiB of text together, which no file can hold.
    fn from_iter<I: IntoIterator<Item = S>>(strings: I) -> Self {
        let mut all = Self::default();
        for string in strings {
            all.text.push_str(string.as_ref());
            assert!(all.text.len() <= u32::MAX as usize, "more than 4 GiB of metadata strings");
            all.ends.push(all.text.len() as u32);
        }
        all
    }
}
