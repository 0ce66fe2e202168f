//! What a `post_processor` puts before and after a text.

use serde_json::Value;
use tokenizers::{Encoding, PostProcessor as _, PostProcessorWrapper, Token};

use crate::{Error, Result, guard::guarded};

/// The ids before and after a single text, found by processing a text of one made-up token. They must lie
/// in a vocabulary of `size` tokens.
pub(super) fn frame(
    origin: &str,
    json: Option<&Value>,
    size: usize,
) -> Result<(Vec<u32>, Vec<u32>)> {
    const MARK: u32 = u32::MAX;
    let Some(json) = json else { return Ok(Default::default()) };
    let invalid = |detail| Error::Invalid { origin: origin.into(), what: "post_processor", detail };
    if let Some(problem) = dangling(json) {
        return Err(invalid(problem));
    }
    let ids = guarded(|| {
        let post: PostProcessorWrapper =
            serde_json::from_value(json.clone()).map_err(|error| error.to_string())?;
        let mark = Encoding::from_tokens(vec![Token::new(MARK, "x".into(), (0, 1))], 0);
        let framed = post.process(mark, None, true).map_err(|error| error.to_string())?;
        Ok(framed.get_ids().to_vec())
    });
    let ids = ids.map_err(invalid)?;
    if let Some(id) = ids.iter().find(|id| **id != MARK && **id as usize >= size) {
        return Err(invalid(format!("it writes id {id}, outside the vocabulary of {size} tokens")));
    }
    match ids.iter().position(|id| *id == MARK) {
        Some(at) => Ok((ids[..at].to_vec(), ids[at + 1..].to_vec())),
        None => Err(invalid("it drops the text".into())),
    }
}

/// What a template names that is not there, which the `tokenizers` crate finds out by a panic. Recursion is
/// bounded by the limits on a part.
fn dangling(post: &Value) -> Option<String> {
    let list = |key: &str| post.get(key).and_then(Value::as_array).into_iter().flatten();
    if post.get("type").is_some_and(|kind| kind == "TemplateProcessing") {
        let tokens = post.get("special_tokens");
        for piece in list("single") {
            let id = |kind: &str| piece.get(kind)?.get("id")?.as_str();
            match (id("SpecialToken"), id("Sequence")) {
                (Some(id), _) if tokens.and_then(|tokens| tokens.get(id)).is_none() => {
                    return Some(format!("its template has `{id}`, which special_tokens lacks"));
                }
                (_, Some("B")) => return Some("its template for one text has two".into()),
                _ => {}
            }
        }
    }
    list("processors").find_map(dangling)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn templates_give_their_ids() {
        let json = json!({"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "</s>", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [7, 8], "tokens": ["<s>", "x"]},
                "</s>": {"id": "</s>", "ids": [9], "tokens": ["</s>"]}}});
        assert_eq!(frame("t", Some(&json), 10).unwrap(), (vec![7, 8], vec![9]));
        let bytes = json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true});
        assert_eq!(frame("t", Some(&bytes), 10).unwrap(), (vec![], vec![]));
        assert!(frame("t", Some(&json!({"type": "Nonsense"})), 10).is_err());
        let error = frame("t", Some(&json), 9).unwrap_err().to_string();
        assert!(error.contains("id 9") && error.contains("9 tokens"), "{error}");
    }

    #[test]
    fn templates_that_name_what_is_not_there() {
        let template = |piece: Value| {
            json!({"type": "TemplateProcessing", "special_tokens": {}, "pair": [],
                "single": [{"Sequence": {"id": "A", "type_id": 0}}, piece]})
        };
        let token = template(json!({"SpecialToken": {"id": "<s>", "type_id": 0}}));
        let second = template(json!({"Sequence": {"id": "B", "type_id": 0}}));
        let nested = json!({"type": "Sequence", "processors": [token.clone()]});
        for (json, named) in [(token, "`<s>`"), (second, "has two"), (nested, "`<s>`")] {
            let error = frame("t.json", Some(&json), 10).unwrap_err().to_string();
            assert!(error.contains("t.json") && error.contains(named), "{error}");
        }
    }
}
