//! Small kernels, each with launches whose results plain Rust knows.

mod case;
mod histogram;
mod matmul;
mod matvec;
mod norm;
mod prefix;
mod ring;

pub use case::Case;
pub use histogram::histogram;
pub use matmul::matmul;
pub use matvec::matvec;
pub use norm::norm;
pub use prefix::prefix;
pub use ring::ring;

/// Every kernel at several sizes, ragged ones among them; the smaller ones.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend([(1, 1), (3, 100), (2, 1000)].map(|(rows, dim)| norm(rows, dim)));
    cases.extend(
        [(32, 1, 32), (32, 7, 352), (64, 5, 320), (128, 4, 640)]
            .map(|(group, rows, columns)| matvec(group, rows, columns)),
    );
    cases.extend(
        [(1, 1, 1), (33, 47, 40), (64, 32, 16), (50, 70, 33)].map(|(m, n, k)| matmul(m, n, k)),
    );
    cases.extend([1, 255, 1000].map(histogram));
    cases.extend([1, 200, 256, 700].map(prefix));
    cases.extend([(2, 0), (2, 5), (3, 1), (3, 7), (4, 2)].map(|(depth, n)| ring(depth, n, 0)));
    cases
}
