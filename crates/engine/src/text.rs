//! Between requests' text and the scheduler's tokens.

use std::sync::Arc;

use tessera_graph::Sampled;
use tessera_text::{
    ChatTemplate, Detokenizer, Message, RenderOptions, Specials, StopStrings, Tokenizer,
};

use crate::{
    Event, FinishReason, Finished, GenerateError, Request, Started, Token, model::Inner,
    queue::Writer, work::Sink,
};

/// A request's prompt.
pub(crate) struct Encoded {
    pub(crate) tokens: Vec<u32>,
    /// Whether it ends inside an open `<think>`.
    pub(crate) thinking: bool,
}

impl From<Vec<u32>> for Encoded {
    fn from(tokens: Vec<u32>) -> Self {
        Self { tokens, thinking: false }
    }
}

/// A model's tokenizer and template.
pub(crate) struct Text {
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) template: Option<ChatTemplate>,
}

impl Text {
    /// Tokens of a text: as a user's message where the model has a template and `templated` is on.
    pub(crate) fn encode_text(
        &self,
        text: &str,
        system: Option<&str>,
        templated: bool,
        options: &RenderOptions,
    ) -> Result<Encoded, GenerateError> {
        if templated && self.template.is_some() {
            return self.encode_messages(&[Message::user(text)], system, options);
        }
        if system.is_some() {
            return Err(GenerateError::NoTemplate { what: "a system message" });
        }
        if !options.tools.is_empty() {
            return Err(GenerateError::NoTemplate { what: "tool calling" });
        }
        Ok(self.tokenizer.frame(&self.tokenizer.encode(text, Specials::AsText)?).into())
    }

    /// Tokens of a conversation, up to where the answer begins.
    pub(crate) fn encode_messages(
        &self,
        messages: &[Message],
        system: Option<&str>,
        options: &RenderOptions,
    ) -> Result<Encoded, GenerateError> {
        let what = "a conversation";
        let template = self.template.as_ref().ok_or(GenerateError::NoTemplate { what })?;
        if !options.tools.is_empty() && !supports_tools(template) {
            return Err(GenerateError::NoTools);
        }
        let prompt = match system {
            Some(system) => {
                let mut all = vec![Message::system(system)];
                all.extend_from_slice(messages);
                template.apply(&all, options)?
            }
            None => template.apply(messages, options)?,
        };
        let thinking = prompt.text().trim_end().ends_with("<think>");
        Ok(Encoded { tokens: self.tokenizer.encode_prompt(&prompt)?, thinking })
    }
}

/// Whether the template has a place for tools.
pub(crate) fn supports_tools(template: &ChatTemplate) -> bool {
    template.mentions("tools")
}

/// Turns drawn tokens into events.
pub(crate) struct TextSink {
    events: Writer<Result<Event, GenerateError>>,
    decoder: Decoder,
    stop_strings: StopStrings,
    /// Ids that end the answer, ascending.
    stop_tokens: Vec<u32>,
    logprobs: bool,
    /// [`Encoded::thinking`].
    thinking: bool,
}

impl TextSink {
    pub(crate) fn new(
        model: &Inner,
        request: &Request,
        thinking: bool,
        events: Writer<Result<Event, GenerateError>>,
    ) -> Result<Self, GenerateError> {
        let mut stop_tokens = request.stop_tokens.clone();
        if !request.ignore_eos {
            stop_tokens.extend_from_slice(&model.info.stop_tokens);
        }
        stop_tokens.sort_unstable();
        Ok(Self {
            events,
            decoder: Decoder::new(model.text.tokenizer.clone()),
            stop_strings: StopStrings::new(request.stop.iter().map(String::as_str))?,
            stop_tokens,
            logprobs: request.logprobs || request.top_logprobs > 0,
            thinking,
        })
    }

    fn push(&self, event: Event) {
        // A reader that has gone has cancelled, too.
        self.events.push(Ok(event));
    }
}

impl Sink for TextSink {
    fn started(&mut self, started: Started) {
        self.push(Event::Started(Started { thinking: self.thinking, ..started }));
    }

    fn token(&mut self, sampled: &Sampled) -> Option<FinishReason> {
        let id = sampled.token;
        let logprob = self.logprobs.then_some(sampled.logprob);
        self.push(Event::Token(Token { id, logprob, top: sampled.top.clone() }));
        if self.stop_tokens.binary_search(&id).is_ok() {
            return Some(FinishReason::Stop);
        }
        let text = self.decoder.push(id);
        if text.is_empty() {
            return None;
        }
        let scanned = self.stop_strings.push(&text);
        if !scanned.text.is_empty() {
            self.push(Event::Text(scanned.text));
        }
        scanned.stop.map(|_| FinishReason::StopString)
    }

    fn finish(&mut self, finished: Finished) {
        if finished.reason != FinishReason::StopString {
            let rest = self.decoder.finish();
            let scanned = self.stop_strings.push(&rest);
            let held =
                if scanned.stop.is_none() { self.stop_strings.finish() } else { String::new() };
            let text = scanned.text + &held;
            if !text.is_empty() {
                self.push(Event::Text(text));
            }
        }
        self.push(Event::Finished(finished));
    }

    fn fail(&mut self, error: GenerateError) {
        self.events.push(Err(error));
    }
}

/// A [`Detokenizer`] that owns what it reads from: tokens of a character that is not whole yet are
/// decoded again with the next one.
struct Decoder {
    tokenizer: Arc<Tokenizer>,
    /// Since the last boundary between characters that is also one between tokens.
    open: Vec<u32>,
    /// Bytes of their text that have been handed out.
    shown: usize,
}

impl Decoder {
    fn new(tokenizer: Arc<Tokenizer>) -> Self {
        Self { tokenizer, open: Vec::with_capacity(8), shown: 0 }
    }

    /// The text that `id` completes.
    fn push(&mut self, id: u32) -> String {
        self.open.push(id);
        let mut detokenizer = Detokenizer::continuing(&self.tokenizer);
        let mut text = String::new();
        self.open.iter().for_each(|&id| detokenizer.push_into(id, &mut text));
        let new = text.split_off(self.shown);
        self.shown += new.len();
        if detokenizer.finish().is_empty() {
            self.open.clear();
            self.shown = 0;
        }
        new
    }

    /// What is left of an unfinished character.
    fn finish(&mut self) -> String {
        let mut detokenizer = Detokenizer::continuing(&self.tokenizer);
        let mut text = String::new();
        std::mem::take(&mut self.open).iter().for_each(|&id| detokenizer.push_into(id, &mut text));
        detokenizer.finish()
    }
}
