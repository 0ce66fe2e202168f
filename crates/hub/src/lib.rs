//! From a model name to a local path: resolving, downloading, listing, removing.
//!
//! A name is a path, a Hub id (`org/repo[@revision][:file-or-packing]`) or a short name of the
//! built-in [`Catalogue`]. [`Hub::resolve`] gives back what a loader opens, fetching what is
//! missing and reporting [`Event`]s on the way:
//!
//! ```no_run
//! # async fn example() -> Result<(), tessera_hub::Error> {
//! use tessera_hub::{Hub, HubOptions};
//! let hub = Hub::new(HubOptions::from_environment()?);
//! let name = hub.parse("smollm2")?;
//! let model = hub.resolve(&name, &|event| eprintln!("{event:?}")).await?;
//! println!("{} ({} bytes)", model.path.display(), model.bytes);
//! # Ok(())
//! # }
//! ```
//!
//! What holds for every download:
//! - **Shared.** Hub files lie in the cache of Python's `huggingface_hub`, in its layout and under
//!   its locks; neither fetches what the other has.
//! - **Checked.** A file gets its name only after its digest (SHA-256, or git's for small files)
//!   was right; a file whose digest cannot be known is not fetched.
//! - **Resumed.** A broken or cancelled transfer carries on where it stopped, in the same run or a
//!   later one.
//! - **Refused early.** The disk is asked for room before the first byte.
//!
//! The module documentation of `http` says why the hf-hub crate is not used.

mod api;
mod catalogue;
mod digest;
mod download;
mod error;
mod event;
mod glob;
mod http;
mod hub;
mod layout;
mod local;
mod lock;
mod meter;
mod name;
mod options;
mod package;
mod partial;
mod pip;
mod select;
mod snapshot;
mod space;
mod store;
mod suggest;
mod task;
mod wheel;

pub use catalogue::{Catalogue, DEFAULT_MODEL, Entry, Origin, Package, Recommended};
pub use error::{Error, Result};
pub use event::{Event, Listener, Source};
pub use hub::{Hub, Resolved};
pub use name::{HubName, Name, RepoId};
pub use options::{DEFAULT_ENDPOINT, HubOptions, Token};
pub use space::{FreeSpace, SystemSpace};
pub use store::{LocalModel, Store};
