//! From a request to work: validated, rendered, tokenised. Requests come from outside, and are hostile
//! until proven otherwise.

use tessera_text::RenderOptions;

use crate::{
    Event, GenerateError, MAX_TOP_LOGPROBS, Prompt, Request,
    model::Inner,
    queue::{Reader, queue},
    sampling::random_seed,
    text::{Encoded, TextSink},
    work::Work,
};

/// A request has at most this many stop tokens of its own.
const MAX_STOP_TOKENS: usize = 1024;
/// Events that a reader's queue has room for from the beginning.
const EVENTS: usize = 64;

/// Checks `request` and turns it into work, with the reader's end of its events.
pub(crate) fn prepare(
    model: &Inner,
    request: Request,
) -> Result<(Work, Reader<Result<Event, GenerateError>>), GenerateError> {
    check_stops(model, &request)?;
    let session = match &request.session {
        Some(session) => {
            let id = session.id_at(&model.commands);
            Some(id.ok_or(GenerateError::ForeignSession)?)
        }
        None => None,
    };
    let mut sampling = request.sampling.or(&model.info.sampling).resolve(model.info.vocabulary)?;
    sampling.seed = request.seed.unwrap_or_else(random_seed);
    sampling.logprobs = request.logprobs;
    sampling.top_logprobs = request.top_logprobs as u32;
    let Encoded { tokens, thinking } = encode(model, &request)?;
    check_tokens(model, &tokens, 1)?;

    let (writer, reader) = queue(EVENTS);
    let sink = TextSink::new(model, &request, thinking, writer)?;
    let max_tokens = request.max_tokens.unwrap_or(usize::MAX);
    let context = model.info.context.tokens;
    let mut work = Work::new(tokens, max_tokens, context, sampling, Box::new(sink));
    work.session = session;
    Ok((work, reader))
}

/// Refuses prompts that are empty, do not leave `room` in the context, or have tokens the model lacks.
pub(crate) fn check_tokens(
    model: &Inner,
    tokens: &[u32],
    room: usize,
) -> Result<(), GenerateError> {
    let (context, vocabulary) = (model.info.context.tokens, model.token_ids);
    if tokens.is_empty() {
        return Err(GenerateError::EmptyPrompt);
    }
    if tokens.len() + room > context {
        return Err(GenerateError::PromptTooLong { tokens: tokens.len(), context });
    }
    match tokens.iter().find(|&&token| token as usize >= vocabulary) {
        Some(&token) => Err(GenerateError::UnknownToken { field: "prompt", token, vocabulary }),
        None => Ok(()),
    }
}

/// The prompt as token ids.
fn encode(model: &Inner, request: &Request) -> Result<Encoded, GenerateError> {
    let system = request.system.as_deref();
    let (tools, variables) = (request.tools.clone(), request.variables.clone());
    let options = RenderOptions { tools, variables, ..RenderOptions::default() };
    match &request.prompt {
        Prompt::Tokens(_) if system.is_some() => Err(GenerateError::Invalid {
            field: "system",
            value: "given with token ids".into(),
            allowed: "part of the tokens, or given with text or messages".into(),
        }),
        Prompt::Tokens(tokens) => Ok(tokens.clone().into()),
        Prompt::Text(text) => model.text.encode_text(text, system, request.template, &options),
        Prompt::Messages(messages) => model.text.encode_messages(messages, system, &options),
    }
}

fn check_stops(model: &Inner, request: &Request) -> Result<(), GenerateError> {
    let invalid = |field, value: String, allowed: String| {
        Err(GenerateError::Invalid { field, value, allowed })
    };
    if request.max_tokens == Some(0) {
        return invalid("max_tokens", "0".into(), "at least 1".into());
    }
    if request.top_logprobs > MAX_TOP_LOGPROBS {
        let allowed = format!("at most {MAX_TOP_LOGPROBS}");
        return invalid("top_logprobs", request.top_logprobs.to_string(), allowed);
    }
    if request.stop_tokens.len() > MAX_STOP_TOKENS {
        let value = format!("{} tokens", request.stop_tokens.len());
        return invalid("stop_tokens", value, format!("at most {MAX_STOP_TOKENS} tokens"));
    }
    let vocabulary = model.token_ids;
    match request.stop_tokens.iter().find(|&&token| token as usize >= vocabulary) {
        Some(&token) => {
            Err(GenerateError::UnknownToken { field: "stop_tokens", token, vocabulary })
        }
        None => Ok(()),
    }
}
