//! One file a command.

pub mod bench;
pub mod completions;
pub mod detokenize;
pub mod doctor;
pub mod inspect;
pub mod list;
pub mod perplexity;
pub mod pull;
pub mod rm;
pub mod run;
pub mod show;
pub mod tokenize;
pub mod tune;

use crate::context::DEFAULT_MODEL;

/// Tells a model's name from a text: a single argument that no model could be called (it holds white
/// space, and no such file exists) is a text for the default model.
pub fn model_and_text(first: Option<String>, second: Option<String>) -> (String, Option<String>) {
    match (first, second) {
        (Some(text), None) if is_text(&text) => (DEFAULT_MODEL.to_owned(), Some(text)),
        (model, text) => (model.unwrap_or_else(|| DEFAULT_MODEL.to_owned()), text),
    }
}

fn is_text(argument: &str) -> bool {
    argument.contains(char::is_whitespace) && !std::path::Path::new(argument).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_no_model() {
        let pair =
            |a: Option<&str>, b: Option<&str>| model_and_text(a.map(Into::into), b.map(Into::into));
        assert_eq!(pair(None, None), ("smollm2".into(), None));
        assert_eq!(pair(Some("m"), None), ("m".into(), None));
        assert_eq!(pair(Some("Hi there"), None), ("smollm2".into(), Some("Hi there".into())));
        assert_eq!(pair(Some("m"), Some("Hi")), ("m".into(), Some("Hi".into())));
    }
}
