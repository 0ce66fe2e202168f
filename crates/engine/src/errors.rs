//! Why a model does not load, and why a request is refused.

use std::path::PathBuf;

use tessera_graph::BackendError;
use tessera_state::{OverBudget, StateError, human_bytes};

use crate::CapabilitySet;

/// Why a model does not load.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The name leads nowhere, or the model cannot be fetched.
    #[error(transparent)]
    Hub(#[from] tessera_hub::Error),
    /// A file of the model is broken.
    #[error(transparent)]
    Format(#[from] tessera_formats::Error),
    /// The architecture or a weight is not what the family expects.
    #[error(transparent)]
    Model(#[from] tessera_models::Error),
    /// The tokenizer or chat template is broken.
    #[error(transparent)]
    Text(#[from] tessera_text::Error),
    /// The backend cannot run it.
    #[error(transparent)]
    Backend(BackendError),
    /// The model does all that was asked for, but this version of the program does not.
    #[error(
        "{model} offers {unsupported}, but this version of tessera does not run it; leave it out, and the \
         weights for it are not even mapped"
    )]
    CapabilityUnsupported {
        /// The model.
        model: String,
        /// What was asked for and cannot be run here.
        unsupported: CapabilitySet,
    },
    /// The model does not do all that was asked for.
    #[error("{model} does not offer {missing}; it offers {offered}")]
    Capability {
        /// The model.
        model: String,
        /// What was asked for and is not there.
        missing: CapabilitySet,
        /// What is there.
        offered: CapabilitySet,
    },
    /// It does not fit the memory budget; nothing has been allocated.
    #[error(
        "the model needs {} ({} of weights, {} to compute in, {} for a context of {minimum}), but the \
         memory budget is {}; choose a smaller packing or model, or raise the budget",
        human_bytes(weights.saturating_add(*arena).saturating_add(*kv)),
        human_bytes(*.weights), human_bytes(*.arena), human_bytes(*.kv), human_bytes(*.budget)
    )]
    TooLarge {
        /// Bytes of weights.
        weights: usize,
        /// Bytes of intermediates.
        arena: usize,
        /// Bytes of keys and values for the smallest useful context.
        kv: usize,
        /// Positions of that context.
        minimum: usize,
        /// The budget in bytes.
        budget: usize,
    },
    /// The backend laid the model out in more memory than the budget allows.
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
    /// The context asked for does not fit the memory budget.
    #[error(
        "a context of {requested} needs {} for keys and values, but {} of the memory budget of {} is left \
         beside the model; ask for at most {possible}, or raise the budget",
        human_bytes(*.needed), human_bytes(*.available), human_bytes(*.budget)
    )]
    ContextMemory {
        /// Positions asked for.
        requested: usize,
        /// Positions that would fit.
        possible: usize,
        /// Bytes the request needs.
        needed: usize,
        /// Bytes left.
        available: usize,
        /// The budget in bytes.
        budget: usize,
    },
    /// The context asked for is longer than the model was made for.
    #[error(
        "a context of {requested} was asked for, but the model was made for {trained}; ask for at most that"
    )]
    ContextTrained {
        /// Positions asked for.
        requested: usize,
        /// Positions the model was made for.
        trained: usize,
    },
    /// An option is out of range.
    #[error("load option {option} is {value}; it must be {allowed}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// The system refused a thread or the like.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Loading was given up: it was asked to, or nobody waits for it any more.
    #[error("loading was cancelled")]
    Cancelled,
    /// A defect in this program: loading panicked. The process goes on.
    #[error("loading {} failed inside: {message}; please report this", path.display())]
    Panicked {
        /// What was being loaded.
        path: PathBuf,
        /// The panic's message.
        message: String,
    },
}

impl From<BackendError> for LoadError {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::Cancelled => Self::Cancelled,
            error => Self::Backend(error),
        }
    }
}

/// Why a request is refused or ends early. Only this request is affected, unless the error says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// A field of the request is out of range.
    #[error("{field} is {value}; it must be {allowed}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        allowed: String,
    },
    /// The prompt leaves no room for an answer.
    #[error("the prompt has {tokens} tokens, but the context holds {context} including the answer")]
    PromptTooLong {
        /// Tokens of the prompt.
        tokens: usize,
        /// Positions of a sequence.
        context: usize,
    },
    /// There is nothing to continue.
    #[error("the prompt has no tokens")]
    EmptyPrompt,
    /// A token id that the model does not have.
    #[error("{field} has token {token}, but the model has {vocabulary} tokens")]
    UnknownToken {
        /// Field of the request.
        field: &'static str,
        /// The id.
        token: u32,
        /// Ids are below this.
        vocabulary: usize,
    },
    /// The request needs a chat template and the model has none.
    #[error(
        "{what} needs a chat template, which this model lacks; send plain text with the template off"
    )]
    NoTemplate {
        /// What needs it.
        what: &'static str,
    },
    /// Tools were given, and the model's chat template has no place for them.
    #[error("this model's chat template has no place for tools")]
    NoTools,
    /// The text cannot be tokenised, or the template refuses it.
    #[error(transparent)]
    Text(#[from] tessera_text::Error),
    /// Keys and values do not fit the memory budget.
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
    /// The state refuses.
    #[error(transparent)]
    State(StateError),
    /// The backend refuses or failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A request of this session is still running.
    #[error(
        "the session is busy with another request; wait for it, cancel it or open another session"
    )]
    SessionBusy,
    /// The model's numbers overflowed in this sequence; others go on.
    #[error(
        "the logits for position {position} are not finite; the weights may be damaged, or the model may need \
         activations of a wider range (try --precise)"
    )]
    NotFinite {
        /// Position of the token that was to be drawn.
        position: usize,
    },
    /// The session belongs to another model.
    #[error("the session belongs to another model")]
    ForeignSession,
    /// Too many requests are waiting.
    #[error("{limit} requests are waiting already; try again later")]
    Overloaded {
        /// Requests that may wait.
        limit: usize,
    },
    /// Nobody waits for the answer any more.
    #[error("cancelled")]
    Cancelled,
    /// A defect in this program: the bookkeeping of pages contradicts itself.
    #[error("the bookkeeping of pages contradicts itself: {message}; please report this")]
    Integrity {
        /// What was found.
        message: String,
    },
    /// The model has been unloaded.
    #[error("the model has been unloaded")]
    Unloaded,
    /// A defect in this program: handling this request panicked. Others go on.
    #[error("the request failed inside: {message}; please report this")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// A defect in this program: a step panicked, and the model's state is uncertain. It must be loaded
    /// again.
    #[error("the model failed inside: {message}; load it again, and please report this")]
    Failed {
        /// The panic's message.
        message: String,
    },
}

impl From<StateError> for GenerateError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::OverBudget(error) => Self::OverBudget(error),
            StateError::Backend(error) => Self::Backend(error),
            StateError::Context { needed, context } => {
                Self::PromptTooLong { tokens: needed, context }
            }
            error => Self::State(error),
        }
    }
}

/// The message of a caught panic.
pub(crate) fn panic_message(panic: Box<dyn std::any::Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => match panic.downcast::<&'static str>() {
            Ok(message) => message.to_string(),
            Err(_) => "a panic without a message".to_owned(),
        },
    }
}
