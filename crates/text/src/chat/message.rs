//! Conversations, in the shape chat templates expect.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::marks::Marker;

/// Who speaks.
///
/// A closed list, not a string: some templates build control tokens from the role's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // the names say it
pub enum Role {
    System,
    Developer,
    User,
    Assistant,
    Tool,
}

impl Role {
    /// The name templates know.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// What a message says: a text, or parts of several kinds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[allow(missing_docs)]
pub enum Content {
    Text(String),
    Parts(Vec<Part>),
}

/// One part of a message. Media hold their place only; their data travels beside the prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Part {
    Text { text: String },
    Image,
    Audio,
    Video,
}

/// A call the assistant made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Identifier that the tool's answer refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What was called.
    pub function: Function,
}

/// A function's name and arguments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its arguments: an object, or the text of one.
    #[serde(default)]
    pub arguments: Value,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said; an assistant's message that only calls tools has none.
    #[serde(default)]
    pub content: Option<Content>,
    /// The assistant's reasoning, where it was separated from the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// Calls the assistant made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// The call this tool message answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// Name of the speaker or tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Message {
    /// A message of text.
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self {
            role,
            content: Some(Content::Text(text.into())),
            reasoning_content: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
            name: None,
        }
    }

    /// A system message.
    pub fn system(text: impl Into<String>) -> Self {
        Self::new(Role::System, text)
    }

    /// A user's message.
    pub fn user(text: impl Into<String>) -> Self {
        Self::new(Role::User, text)
    }

    /// An answer.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::new(Role::Assistant, text)
    }

    /// Every string in it.
    pub(super) fn strings<'m>(&'m self, visit: &mut impl FnMut(&'m str)) {
        match &self.content {
            Some(Content::Text(text)) => visit(text),
            Some(Content::Parts(parts)) => parts.iter().for_each(|part| {
                if let Part::Text { text } = part {
                    visit(text);
                }
            }),
            None => {}
        }
        let named = [&self.reasoning_content, &self.tool_call_id, &self.name];
        named.into_iter().flatten().for_each(|text| visit(text));
        for call in &self.tool_calls {
            call.id.iter().for_each(|id| visit(id));
            visit(&call.function.name);
            super::marks::strings(&call.function.arguments, visit);
        }
    }

    /// The object a template sees, with the user's strings marked. `shape` says which form of content
    /// the template understands.
    pub(super) fn to_json(&self, marker: &Marker<'_>, shape: Shape) -> Value {
        let mut map = Map::new();
        map.insert("role".into(), self.role.name().into());
        let content = self.content.as_ref().map(|content| shape.fit(content));
        map.insert(
            "content".into(),
            match content {
                None => Value::Null,
                Some(Content::Text(text)) => marker.content(&text).into(),
                Some(Content::Parts(parts)) => parts.iter().map(|p| part(p, marker)).collect(),
            },
        );
        if let Some(text) = &self.reasoning_content {
            map.insert("reasoning_content".into(), marker.content(text).into());
        }
        let named = [("tool_call_id", &self.tool_call_id), ("name", &self.name)];
        for (key, text) in named {
            if let Some(text) = text {
                map.insert(key.into(), marker.json(&text.as_str().into()));
            }
        }
        if !self.tool_calls.is_empty() {
            let calls = self.tool_calls.iter().map(|call| tool_call(call, marker)).collect();
            map.insert("tool_calls".into(), calls);
        }
        Value::Object(map)
    }
}

fn part(part: &Part, marker: &Marker<'_>) -> Value {
    match part {
        Part::Text { text } => json!({"type": "text", "text": marker.content(text)}),
        Part::Image => json!({"type": "image"}),
        Part::Audio => json!({"type": "audio"}),
        Part::Video => json!({"type": "video"}),
    }
}

/// Templates expect arguments as an object; clients often send its text.
fn tool_call(call: &ToolCall, marker: &Marker<'_>) -> Value {
    let parsed = call.function.arguments.as_str().and_then(|text| serde_json::from_str(text).ok());
    let arguments = match parsed {
        Some(object @ Value::Object(_)) => marker.json(&object),
        _ => marker.json(&call.function.arguments),
    };
    let name = marker.json(&call.function.name.as_str().into());
    let mut map = Map::new();
    map.insert("type".into(), "function".into());
    if let Some(id) = &call.id {
        map.insert("id".into(), marker.json(&id.as_str().into()));
    }
    map.insert("function".into(), json!({"name": name, "arguments": arguments}));
    Value::Object(map)
}

/// Which forms of content a template understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Strings only.
    Text,
    /// Parts only.
    Parts,
    /// Either.
    Both,
}

impl Shape {
    /// `content` in a form the template understands, where that loses nothing.
    fn fit(self, content: &Content) -> Content {
        let only_text = |parts: &[Part]| {
            let texts = parts.iter().map(|part| match part {
                Part::Text { text } => Some(text.as_str()),
                _ => None,
            });
            texts.collect::<Option<Vec<&str>>>().map(|texts| texts.join("\n"))
        };
        match (self, content) {
            (Self::Parts, Content::Text(text)) => {
                Content::Parts(vec![Part::Text { text: text.clone() }])
            }
            (Self::Text, Content::Parts(parts)) => {
                only_text(parts).map_or_else(|| content.clone(), Content::Text)
            }
            _ => content.clone(),
        }
    }
}
