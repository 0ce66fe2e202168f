//! Chat templates: from a conversation to the text a model was trained on.

mod checked;
mod environment;
mod json;
mod marks;
mod message;
mod prompt;
mod python;
mod source;
mod template;
mod time;

pub use message::{Content, Function, Message, Part, Role, ToolCall};
pub use prompt::Prompt;
pub use source::Source;
pub use template::{ChatTemplate, RenderOptions};
