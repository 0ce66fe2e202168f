//! Rendering a conversation.

use std::time::SystemTime;

use minijinja::{Environment, ErrorKind};
use serde_json::{Map, Value};
use tessera_formats::Checkpoint;

use super::{
    checked,
    environment::{self, Refusal},
    json,
    marks::{self, Controls, Marker},
    message::{Message, Shape},
    prompt::Prompt,
    source::{self, Source},
};
use crate::{Error, Result, Tokenizer};

/// Work a render may do, in the template engine's units: an instruction or 64 bytes written each. A
/// few thousand make an ordinary prompt; this is enough for seconds of work and 64 MB, no more.
const FUEL: u64 = 1_000_000;

/// A model's chat template. That a model has one is what makes it an instruct model.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    sources: Vec<Source>,
    controls: Controls,
    /// `bos_token`, `eos_token` and the like.
    tokens: Map<String, Value>,
    shape: Shape,
}

/// What goes into a prompt besides the messages.
#[derive(Debug, Clone)]
pub struct RenderOptions {
    /// Ends the prompt where the assistant's answer begins.
    pub add_generation_prompt: bool,
    /// Tools the model may call, as JSON schemas of functions.
    pub tools: Vec<Value>,
    /// Further variables for the template, such as `enable_thinking`.
    pub variables: Map<String, Value>,
    /// Date and time the template may ask for; the clock's when `None`. Always UTC.
    pub now: Option<SystemTime>,
}

impl Default for RenderOptions {
    fn default() -> Self {
        let (tools, variables) = (Vec::new(), Map::new());
        Self { add_generation_prompt: true, tools, variables, now: None }
    }
}

impl ChatTemplate {
    /// The template of a checkpoint; `None` for a base model.
    pub fn from_checkpoint(checkpoint: &Checkpoint, tokenizer: &Tokenizer) -> Result<Option<Self>> {
        let sources = source::find(checkpoint)?;
        if sources.is_empty() { Ok(None) } else { Self::new(sources, tokenizer).map(Some) }
    }

    /// Compiles templates; one of them must be called `default` unless there is only one.
    pub fn new(sources: Vec<Source>, tokenizer: &Tokenizer) -> Result<Self> {
        let mut environment = environment::new();
        for source in &sources {
            let text = environment::adapt(&source.text);
            let text = checked::unfolded(&text, environment.syntax());
            environment
                .add_template_owned(source.name.clone(), text)
                .map_err(|error| template_error(&source.origin, error))?;
        }
        let roles = tokenizer.roles();
        let named = [
            ("bos_token", roles.bos),
            ("eos_token", roles.eos),
            ("pad_token", roles.pad),
            ("unk_token", roles.unknown),
        ];
        let text = |id: Option<u32>| Some(Value::from(tokenizer.token(id?)?));
        let tokens = named.into_iter().filter_map(|(key, id)| Some((key.to_owned(), text(id)?)));
        let mut template = Self {
            environment,
            sources,
            controls: Controls::new(tokenizer),
            tokens: tokens.collect(),
            shape: Shape::Text,
        };
        template.source(false)?;
        template.shape = template.probe();
        Ok(template)
    }

    /// The templates' texts.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Whether a template spells `text` out.
    pub fn mentions(&self, text: &str) -> bool {
        self.sources.iter().any(|source| source.text.contains(text))
    }

    /// Renders a conversation.
    ///
    /// Fails with [`Error::Refused`] when the template rejects the messages, [`Error::Runaway`] when
    /// it exceeds its budget, and [`Error::Template`] on any other error of its own.
    pub fn apply(&self, messages: &[Message], options: &RenderOptions) -> Result<Prompt> {
        let source = self.source(!options.tools.is_empty())?;
        let mut texts: Vec<&str> = self.sources.iter().map(|s| s.text.as_str()).collect();
        messages.iter().for_each(|message| message.strings(&mut |text| texts.push(text)));
        let values = options.tools.iter().chain(options.variables.values());
        values.for_each(|value| marks::strings(value, &mut |text| texts.push(text)));
        let bytes: usize = texts.iter().map(|text| text.len()).sum();
        let marker = Marker::new(&self.controls, texts.into_iter())
            .ok_or_else(|| Error::Encode("the text uses every private character".into()))?;

        let mut context = self.tokens.clone();
        let messages =
            messages.iter().map(|message| message.to_json(&marker, self.shape)).collect();
        context.insert("messages".into(), messages);
        let tools: Vec<Value> = options.tools.iter().map(|tool| marker.json(tool)).collect();
        context.insert("tools".into(), if tools.is_empty() { Value::Null } else { tools.into() });
        context.insert("documents".into(), Value::Null);
        context.insert("add_generation_prompt".into(), options.add_generation_prompt.into());
        let variables = options.variables.iter();
        context.extend(variables.map(|(key, value)| (key.clone(), marker.json(value))));

        let rendered = self.render(source, Value::Object(context), options.now, bytes)?;
        Ok(Prompt::unmark(&rendered, marker.mark))
    }

    /// The template for a conversation with or without tools.
    fn source(&self, tools: bool) -> Result<&Source> {
        let named = |name: &str| self.sources.iter().find(|source| source.name == name);
        let single = || self.sources.first().filter(|_| self.sources.len() == 1);
        let chosen = if tools { named("tool_use") } else { None };
        chosen.or_else(|| named("default")).or_else(single).ok_or_else(|| Error::Missing {
            origin: self.sources.first().map(|s| s.origin.clone()).unwrap_or_default(),
            what: "a chat template called `default`",
        })
    }

    /// Renders with a budget that grows with the conversation: `bytes` is the size of its strings.
    fn render(
        &self,
        source: &Source,
        context: Value,
        now: Option<SystemTime>,
        bytes: usize,
    ) -> Result<String> {
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(FUEL + bytes as u64));
        environment::set_clock(&mut environment, now);
        checked::render(&environment, &source.name, json::value(context))
            .map_err(|error| template_error(&source.origin, error))
    }

    /// Finds out which forms of content the template understands, by trying both.
    fn probe(&self) -> Shape {
        const WORD: &str = "tessera probe";
        let writes = |content: Value| {
            let mut context = self.tokens.clone();
            context.insert(
                "messages".into(),
                serde_json::json!([{"role": "user", "content": content}]),
            );
            context.insert("tools".into(), Value::Null);
            context.insert("add_generation_prompt".into(), true.into());
            let source = self.source(false).ok()?;
            self.render(source, Value::Object(context), None, 0).ok()
        };
        let text = writes(WORD.into()).is_some_and(|out| out.contains(WORD));
        let parts = writes(serde_json::json!([{"type": "text", "text": WORD}]))
            .is_some_and(|out| out.contains(WORD) && !out.contains(&format!("'{WORD}'")));
        match (text, parts) {
            (true, true) => Shape::Both,
            (false, true) => Shape::Parts,
            _ => Shape::Text,
        }
    }
}

/// Sorts the template engine's errors.
fn template_error(origin: &str, error: minijinja::Error) -> Error {
    let origin = origin.to_owned();
    if let Some(refusal) = environment::refusal(&error) {
        let Refusal(message) = refusal;
        return Error::Refused(message.clone());
    }
    let runaway = |what| Error::Runaway { origin: origin.clone(), what };
    match error.kind() {
        ErrorKind::OutOfFuel => runaway("budget of work and output"),
        _ => Error::Template { origin, detail: format!("{error:#}") },
    }
}
