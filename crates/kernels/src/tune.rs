//! Kernels that compute the same in several geometries, of which a device has a favourite.
//!
//! Which fields of a specialisation are geometry, and which values they may have, is said in the kernel's own file by its
//! [`Tunable`]. Who measures and who chooses is not known here.

use tessera_tile::Record;

/// A specialisation with others that compute the same.
pub trait Tunable: Record + Copy + PartialEq + Send {
    /// The same with other geometries, this one first, each once. They take the same buffers and arguments. Some may be
    /// more than a device has: see [`allowed`].
    fn candidates(&self) -> Vec<Self>;

    /// Whether all candidates give the same bits; if not, they differ by the rounding of sums in another order.
    fn same_bits(&self) -> bool;
}

/// Those of a kernel's candidates that its own conditions allow, the kernel first, whatever these say of it.
pub fn allowed<T: Tunable>(kernel: &T, args: &T::Args) -> Vec<T> {
    let mut all = kernel.candidates();
    all.retain(|candidate| candidate == kernel || candidate.check(args).is_ok());
    all
}

/// `first`, and `others` but for what was there already.
pub(crate) fn variants<T: Copy + PartialEq>(first: T, others: impl Iterator<Item = T>) -> Vec<T> {
    let mut all = vec![first];
    for other in others {
        if !all.contains(&other) {
            all.push(other);
        }
    }
    all
}

/// What a name tells of a number that mostly is 1: nothing then.
pub(crate) fn several(depth: u32) -> Option<String> {
    (depth > 1).then(|| format!("depth{depth}"))
}

/// All pairs.
pub(crate) fn pairs(a: &[u32], b: &[u32]) -> impl Iterator<Item = (u32, u32)> {
    a.iter().flat_map(|&a| b.iter().map(move |&b| (a, b)))
}
