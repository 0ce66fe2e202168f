//! Planes of weights that need not be copied.
//!
//! Files of mlx's packings and of plain floats hold a matrix's planes just as kernels read them
//! ([`Matrix::stored`](tessera_kernels::codes::Matrix::stored)). Where such a file is mapped, and a plane begins at a
//! multiple of 16, a device that shares the host's memory takes it as it lies. Planes near each other become one buffer; a
//! plane of several matrices is one piece where they follow each other in the file, as stacked experts do.

use std::ops::Range;

use tessera_graph::Weights;
use tessera_kernels::codes::Matrix;

use crate::{device::Map, weights::Source};

/// Bytes between two planes that a buffer may span for nothing.
const GAP: usize = 64 << 10;

/// Bytes of a mapped file.
#[derive(Debug, Clone)]
pub struct Lying {
    /// The file.
    pub map: Map,
    /// Which bytes.
    pub range: Range<usize>,
}

impl Lying {
    fn is_aligned(&self) -> bool {
        self.map.as_ref()[self.range.clone()].as_ptr().addr().is_multiple_of(16)
    }

    /// Takes in what follows at once.
    fn append(self, next: Self) -> Option<Self> {
        let follows = self.map.is(&next.map) && self.range.end == next.range.start;
        follows.then(|| Self { map: self.map, range: self.range.start..next.range.end })
    }

    /// Whether something that does not begin earlier follows soon, and both together are no more than `longest` bytes.
    fn is_extended(&self, next: &Self, longest: usize) -> bool {
        self.map.is(&next.map)
            && next.range.start <= self.range.end.saturating_add(GAP)
            && self.range.end.max(next.range.end) - self.range.start <= longest
    }
}

/// The planes of a source, each with where it lies if it can stay there. What is not of matrices has no planes.
pub fn lying(source: &Source, weights: &Weights) -> Vec<Option<Lying>> {
    let Source::Matrices(ids) = source else { return Vec::new() };
    let first = &weights[ids[0]];
    let matrix = Matrix::of(first);
    let rows = ids.iter().map(|&id| weights[id].rows).sum();
    let stored: Vec<_> = ids.iter().map(|&id| matrix.stored(&weights[id])).collect();
    let whole = |(plane, bytes): (usize, usize)| {
        let mut parts = stored.iter().map(|planes| {
            let part = planes[plane]?;
            let (map, start) = part.map()?;
            Some(Lying { map, range: start..start + part.len() })
        });
        let first = parts.next()??;
        let whole = parts.try_fold(first, |whole, part| whole.append(part?))?;
        (whole.range.len() == bytes && whole.is_aligned()).then_some(whole)
    };
    matrix.plane_bytes(rows, first.cols).into_iter().enumerate().map(whole).collect()
}

/// A piece of a file that becomes a buffer, and the places of `planes` that lie in it.
#[derive(Debug)]
pub struct Stretch {
    /// Where it lies.
    pub lying: Lying,
    /// Source and plane of each.
    pub planes: Vec<(usize, usize)>,
}

/// The buffers that take in all of `planes` (by source), each of no more than `longest` bytes. A longer plane is left out.
pub fn stretches(planes: &[Vec<Option<Lying>>], longest: usize) -> Vec<Stretch> {
    let mut all: Vec<(&Lying, (usize, usize))> = Vec::new();
    for (source, planes) in planes.iter().enumerate() {
        let there = planes
            .iter()
            .enumerate()
            .filter_map(|(plane, lying)| lying.as_ref().map(|lying| (lying, (source, plane))));
        all.extend(there.filter(|(lying, _)| lying.range.len() <= longest));
    }
    let address = |lying: &Lying| lying.map.as_ref().as_ptr().addr() + lying.range.start;
    all.sort_by_key(|(lying, _)| address(lying));
    let mut stretches: Vec<Stretch> = Vec::new();
    for (lying, place) in all {
        let last = stretches.last_mut();
        match last.filter(|last| last.lying.is_extended(lying, longest)) {
            Some(last) => {
                last.lying.range.end = last.lying.range.end.max(lying.range.end);
                last.planes.push(place);
            }
            None => stretches.push(Stretch { lying: lying.clone(), planes: vec![place] }),
        }
    }
    stretches
}

#[cfg(test)]
mod tests {
    use tessera_formats::{Dtype, Tensor, safetensors};

    use super::*;

    /// A mapped file of a few pages.
    fn map() -> Map {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let len = 5 * GAP;
        let tensor = Tensor {
            name: "x".into(),
            dtype: Dtype::U8,
            shape: vec![len],
            bytes: vec![1; len].into(),
        };
        safetensors::write(&path, &[tensor], &[]).unwrap();
        safetensors::File::open(&path).unwrap().tensors[0].bytes.map().unwrap().0
    }

    #[test]
    fn near_planes_become_one_buffer() {
        let (map, other) = (map(), map());
        assert!(map.is(&map.clone()) && !map.is(&other));
        let lying = |map: &Map, range: Range<usize>| Some(Lying { map: map.clone(), range });
        let planes = [
            vec![lying(&map, 3 * GAP..3 * GAP + 100), None, lying(&map, 16..32)],
            vec![lying(&other, 0..64)],
            vec![lying(&map, 160..320), lying(&map, 16..32)],
        ];
        let of = |longest| {
            let mut all: Vec<_> = stretches(&planes, longest)
                .into_iter()
                .map(|Stretch { lying, planes }| (lying.map.is(&other), lying.range, planes))
                .collect();
            all.sort_by_key(|(other, range, _)| (*other, range.start));
            all
        };
        let far = (false, 3 * GAP..3 * GAP + 100, vec![(0, 0)]);
        let near = vec![(0, 2), (2, 1), (2, 0)];
        let others = (true, 0..64, vec![(1, 0)]);
        assert_eq!(of(usize::MAX), [(false, 16..320, near.clone()), far.clone(), others.clone()]);
        assert_eq!(of(304)[0], (false, 16..320, near));
        let apart = [(false, 16..32, vec![(0, 2), (2, 1)]), (false, 160..320, vec![(2, 0)])];
        assert_eq!(of(303), [&apart[..], &[far, others.clone()]].concat());
        // what is longer by itself is nowhere
        assert_eq!(of(64), [apart[0].clone(), others]);
    }

    #[test]
    fn pieces_are_joined_where_one_follows_the_other() {
        let (map, other) = (map(), map());
        let of = |map: &Map, range: Range<usize>| Lying { map: map.clone(), range };
        assert_eq!(of(&map, 0..16).append(of(&map, 16..48)).unwrap().range, 0..48);
        assert!(of(&map, 0..16).append(of(&map, 17..48)).is_none());
        assert!(of(&map, 0..16).append(of(&other, 16..48)).is_none());
        let begin =
            map.as_ref().as_ptr().addr().next_multiple_of(16) - map.as_ref().as_ptr().addr();
        assert!(of(&map, begin + 32..begin + 48).is_aligned());
        assert!(!of(&map, begin + 8..begin + 48).is_aligned());
    }
}
