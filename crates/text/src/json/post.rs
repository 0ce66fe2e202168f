//! What a `post_processor` puts before and after a text.

use serde_json::Value;
use tokenizers::{Encoding, PostProcessor as _, PostProcessorWrapper, Token};

use crate::{Error, Result, guard::guarded};

/// The ids before and after a single text, found by processing a text of one made-up token.
pub(super) fn frame(origin: &str, json: Option<&Value>) -> Result<(Vec<u32>, Vec<u32>)> {
    const MARK: u32 = u32::MAX;
    let Some(json) = json else { return Ok(Default::default()) };
    let ids = guarded(|| {
        let post: PostProcessorWrapper =
            serde_json::from_value(json.clone()).map_err(|error| error.to_string())?;
        let mark = Encoding::from_tokens(vec![Token::new(MARK, "x".into(), (0, 1))], 0);
        let framed = post.process(mark, None, true).map_err(|error| error.to_string())?;
        Ok(framed.get_ids().to_vec())
    });
    let invalid = |detail| Error::Invalid { origin: origin.into(), what: "post_processor", detail };
    let ids = ids.map_err(invalid)?;
    match ids.iter().position(|id| *id == MARK) {
        Some(at) => Ok((ids[..at].to_vec(), ids[at + 1..].to_vec())),
        None => Err(invalid("it drops the text".into())),
    }
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
        assert_eq!(frame("t", Some(&json)).unwrap(), (vec![7, 8], vec![9]));
        let bytes = json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true});
        assert_eq!(frame("t", Some(&bytes)).unwrap(), (vec![], vec![]));
        assert!(frame("t", Some(&json!({"type": "Nonsense"}))).is_err());
    }
}
