//! What packed bits mean.
//!
//! Nearly every packing is *affine groups*: `w = scale * (code - zero) + bias`, with codes of a few
//! bits and a scale (perhaps a bias) for each group of a row. A [`Packing`] says which; a [`Weight`] is
//! a matrix in one; [`Form`] is the normal form that backends lay out for their own kernels. The scalar
//! [`Weight::decode_row`] and [`encode`](mod@encode) are the reference everything else is tested against.

mod bits;
pub mod encode;
mod error;
mod float;
mod form;
mod gguf;
mod mlx;
mod packing;
mod weight;

pub use encode::encode;
pub use error::{Error, Result};
pub use float::{e2m1_to_f32, e4m3_to_f32, e5m2_to_f32, e8m0_to_f32};
pub use form::{Codes, Form, RowScales, Scales};
pub use packing::{Float, Packing};
pub use weight::{RowOrder, Weight};
