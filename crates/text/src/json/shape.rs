//! Recognising pre-tokenizers that are only patterns, so that they run without the general machinery.

use std::borrow::Cow;

use serde_json::Value;

use crate::gguf::pre::GPT2;

/// The patterns of a `pre_tokenizer` that cuts by patterns and then spells bytes, as nearly every
/// byte-level vocabulary's does; `None` for any other.
pub(crate) fn byte_level_patterns(pre: &Value) -> Option<Vec<Cow<'static, str>>> {
    let steps = match kind(pre)? {
        "Sequence" => pre.get("pretokenizers")?.as_array()?.as_slice(),
        _ => std::slice::from_ref(pre),
    };
    let (last, steps) = steps.split_last()?;
    let mut patterns: Vec<Cow<'static, str>> = steps.iter().map(pattern).collect::<Option<_>>()?;
    let spells = kind(last)? == "ByteLevel" && last.get("add_prefix_space")? == false;
    let splits = last.get("use_regex").is_none_or(|value| value == true);
    patterns.extend(splits.then_some(Cow::Borrowed(GPT2)));
    spells.then_some(patterns)
}

/// The pattern whose matches, each on its own, are what this step cuts out.
fn pattern(step: &Value) -> Option<Cow<'static, str>> {
    match kind(step)? {
        "Split" => {
            let plain = step.get("behavior")? == "Isolated"
                && step.get("invert").is_none_or(|value| value == false);
            let regex = step.get("pattern")?.get("Regex")?.as_str()?;
            plain.then(|| Cow::Owned(regex.to_owned()))
        }
        "Digits" => match step.get("individual_digits")?.as_bool()? {
            true => Some(r"\p{N}".into()),
            false => Some(r"\p{N}+".into()),
        },
        _ => None,
    }
}

fn kind(step: &Value) -> Option<&str> {
    step.get("type")?.as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn knows_patterns_from_everything_else() {
        let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "use_regex": false});
        let split = json!({"type": "Split", "pattern": {"Regex": "a+"}, "behavior": "Isolated"});
        let digits = json!({"type": "Digits", "individual_digits": true});
        let sequence = |steps: Value| json!({"type": "Sequence", "pretokenizers": steps});
        let found = byte_level_patterns(&sequence(json!([split, digits, bytes])));
        assert_eq!(found, Some(vec!["a+".into(), r"\p{N}".into()]));
        let alone = json!({"type": "ByteLevel", "add_prefix_space": false});
        assert_eq!(byte_level_patterns(&alone), Some(vec![GPT2.into()]));
        for other in [
            sequence(json!([split])),
            json!({"type": "ByteLevel", "add_prefix_space": true}),
            json!({"type": "Metaspace"}),
            json!(3),
        ] {
            assert_eq!(byte_level_patterns(&other), None, "{other}");
        }
    }
}
