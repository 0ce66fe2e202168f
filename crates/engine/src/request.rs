//! What is asked of a model.

use serde_json::{Map, Value};
use tessera_text::Message;

use crate::{SamplingOptions, Session};

/// What to continue.
#[derive(Debug, Clone, PartialEq)]
pub enum Prompt {
    /// Text. A model with a chat template sees it as a user's message, unless
    /// [`Request::template`] is off; any other continues it.
    Text(String),
    /// A conversation, which the model's chat template renders.
    Messages(Vec<Message>),
    /// Token ids, exactly as given: no template, no beginning-of-text token.
    Tokens(Vec<u32>),
}

/// What is asked of a model. The defaults are those of the checkpoint, then ours.
///
/// ```
/// use tessera_engine::{Request, SamplingOptions};
///
/// let request = Request {
///     max_tokens: Some(100),
///     sampling: SamplingOptions { temperature: Some(0.0), ..Default::default() },
///     ..Request::text("Why is the sky blue?")
/// };
/// # assert!(request.template);
/// ```
#[derive(Debug, Clone)]
pub struct Request {
    /// What to continue.
    pub prompt: Prompt,
    /// Put before the conversation as a system message; needs a chat template.
    pub system: Option<String>,
    /// Whether the chat template is applied to [`Prompt::Text`] where the model has one.
    pub template: bool,
    /// Tools the model may call, as JSON schemas of functions; needs a chat template that has a place
    /// for them.
    pub tools: Vec<Value>,
    /// Further variables for the chat template, such as `enable_thinking`.
    pub variables: Map<String, Value>,
    /// How tokens are drawn.
    pub sampling: SamplingOptions,
    /// Seed of the draws; a random one, which [`Started`](crate::Started) reports, if `None`.
    pub seed: Option<u64>,
    /// Tokens drawn at most; until the context is full if `None`.
    pub max_tokens: Option<usize>,
    /// Text that ends the answer, and is not part of it.
    pub stop: Vec<String>,
    /// Tokens that end the answer, beside the model's own.
    pub stop_tokens: Vec<u32>,
    /// Continue past the model's own stop tokens.
    pub ignore_eos: bool,
    /// Report each token's log probability.
    pub logprobs: bool,
    /// Report this many most likely tokens beside each; at most
    /// [`MAX_TOP_LOGPROBS`](crate::MAX_TOP_LOGPROBS).
    pub top_logprobs: usize,
    /// Continue from what this session remembers, as far as the tokens agree.
    pub session: Option<Session>,
}

impl Request {
    /// Continues `prompt`.
    pub fn new(prompt: Prompt) -> Self {
        Self {
            prompt,
            system: None,
            template: true,
            tools: Vec::new(),
            variables: Map::new(),
            sampling: SamplingOptions::default(),
            seed: None,
            max_tokens: None,
            stop: Vec::new(),
            stop_tokens: Vec::new(),
            ignore_eos: false,
            logprobs: false,
            top_logprobs: 0,
            session: None,
        }
    }

    /// Answers or continues a text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Prompt::Text(text.into()))
    }

    /// Answers a conversation.
    pub fn messages(messages: impl Into<Vec<Message>>) -> Self {
        Self::new(Prompt::Messages(messages.into()))
    }

    /// Continues token ids.
    pub fn tokens(tokens: impl Into<Vec<u32>>) -> Self {
        Self::new(Prompt::Tokens(tokens.into()))
    }

    /// The same request, continuing from what `session` remembers.
    pub fn in_session(self, session: &Session) -> Self {
        Self { session: Some(session.clone()), ..self }
    }
}
