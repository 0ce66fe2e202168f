//! Load a model, ask it something, read the answer as it comes.
//!
//! ```no_run
//! use tessera_engine::{Event, LoadOptions, Model, Request};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let model = Model::load("smollm2", LoadOptions::default()).await?;
//! println!("context: {}", model.info().context);
//!
//! let mut answer = model.generate(Request::text("Why is the sky blue?"));
//! while let Some(event) = answer.next_blocking() {
//!     match event? {
//!         Event::Text(text) => print!("{text}"),
//!         Event::Finished(finished) => println!("\n[{}]", finished.reason),
//!         _ => {}
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! A [`Generation`] is also a [`Stream`](futures_core::Stream), and nothing here needs a particular
//! executor, or any: what can be awaited can be waited for with `wait()`, `next_blocking()` or `collect()`.
//!
//! # How it works
//!
//! Every model has one thread, which loads it and then runs one loop: take commands, admit requests,
//! run a step. A step is a ragged batch of everything that is going on, a token for each sequence
//! that is drawing and chunks of prompts in the room that leaves; a single conversation is a batch of one.
//! Scoring, inspection and generation are the same path with different readers. On the CPU backend the
//! answer to a request does not depend on the others in the batch.
//!
//! Memory is admitted before it is allocated. Keys and values grow with the sequences; when they
//! reach the budget, idle sessions are forgotten first, then the newest request makes way and is computed
//! again later.
//!
//! # What a step allocates
//!
//! Batch, tables and results are reused, so a step allocates nothing once warm, up to the sink: each visible
//! piece of text is a `String` of its own, and reported top log probabilities are a `Vec`.
//!
//! # Failure
//!
//! A request that cannot be honoured is refused with a typed error, never adjusted. A failing request fails
//! alone. A panic inside a step makes the model [`Failed`](Lifecycle::Failed), not the process.

mod backend;
mod bench;
mod command;
mod errors;
mod events;
mod fetch;
mod fit;
mod generation;
mod info;
mod inspect;
mod lifecycle;
mod load;
mod loading;
mod logits;
mod memory;
mod model;
mod options;
mod parts;
mod pending;
mod place;
mod prepare;
mod preview;
mod queue;
mod request;
mod runner;
mod sampling;
mod scheduler;
mod score;
mod session;
mod sessions;
mod text;
mod work;

pub use backend::PassedOver;
pub use bench::{BenchCase, BenchReport};
pub use errors::{GenerateError, LoadError};
pub use events::{Completion, Event, FinishReason, Finished, Started, Timings, Token, Usage};
pub use fit::{ContextChoice, ContextReason};
pub use generation::{Canceller, Generation};
pub use info::{ModelInfo, Status};
pub use inspect::{Continued, Inspection, Position};
pub use lifecycle::{Lifecycle, LifecycleStream, Stage};
pub use loading::Loading;
pub use model::Model;
pub use options::{BackendChoice, BackendFactory, CpuChoice, Listener, LoadOptions};
pub use parts::Parts;
pub use pending::Pending;
pub use preview::Preview;
pub use request::{Prompt, Request};
pub use sampling::{MAX_BIAS, MAX_TOP_LOGPROBS, SamplingOptions, SamplingSource};
pub use score::Score;
pub use session::Session;

pub use tessera_graph::{KvType, MemoryReport};
pub use tessera_hub::{HubOptions, Resolved};
pub use tessera_models::{Capability, CapabilitySet};
pub use tessera_text::{ChatTemplate, Message, Tokenizer};
