//! The named pre-tokenizers of GGUF files.
//!
//! A GGUF file stores only a name (`tokenizer.ggml.pre`); the patterns are those of the model's own
//! `tokenizer.json`.

use crate::{Error, Result};

/// GPT-2 (Radford et al. 2019).
pub(crate) const GPT2: &str =
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// Llama 3: like GPT-4's, digits by threes.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Qwen 2: Llama 3's with single digits.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Qwen 3.5: Qwen 2's with marks kept in their word.
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Mistral's Tekken: words end where capitals begin.
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// GPT-4o: Tekken's with contractions and digits by threes.
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Ideographs and kana, a stage of DeepSeek's.
const DEEPSEEK_CJK: &str = r"[一-龥\u3040-ゟ゠-ヿ]+";
/// The letters of DeepSeek LLM's second stage: cased scripts only.
const DEEPSEEK_LETTERS: &str = r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+";
/// DeepSeek V3's last stage.
const DEEPSEEK3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
/// Punctuation first, a stage of Falcon's and of files older than the name itself.
const PUNCTUATION: &str = r"[\p{P}\$\+<=>\^~\|`]+";

/// A pre-tokenizer's patterns and the defaults that come with the name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pre {
    /// Applied in turn.
    pub patterns: &'static [&'static str],
    /// Take words that are tokens whole, without merging.
    pub whole_words: bool,
    /// Whether a text begins with the BOS token where the file does not say.
    pub bos: bool,
    /// Whether text is brought into Unicode's composed form (NFC) first.
    pub compose: bool,
}

const fn cut(patterns: &'static [&'static str]) -> Pre {
    Pre { patterns, whole_words: false, bos: false, compose: false }
}

/// The pre-tokenizer called `name`.
pub(crate) fn named(origin: &str, name: &str) -> Result<Pre> {
    Ok(match name {
        "gpt-2" | "phi-2" | "mpt" | "olmo" | "jais" | "trillion" | "granite-docling"
        | "gigachat" | "a.x-4.0" | "mellum" | "modern-bert" => cut(&[GPT2]),
        "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" | "exaone" | "minerva-7b"
        | "mellum2" => cut(&[r"\p{N}", GPT2]),
        "llama-bpe" | "llama3" | "llama-v3" | "falcon3" | "falcon-h1" | "pixtral" | "midm-2.0"
        | "lfm2" => Pre { whole_words: true, bos: true, ..cut(&[LLAMA3]) },
        "dbrx" | "smaug-bpe" | "chatglm-bpe" => cut(&[LLAMA3]),
        "glm4" | "glm5" => Pre { whole_words: true, ..cut(&[LLAMA3]) },
        "qwen2" | "deepseek-r1-qwen" => Pre { compose: true, ..cut(&[QWEN2]) },
        "stablelm2" | "hunyuan" | "megrez" | "grok-2" => cut(&[QWEN2]),
        "qwen35" => Pre { compose: true, ..cut(&[QWEN35]) },
        "tekken" => Pre { whole_words: true, bos: true, ..cut(&[TEKKEN]) },
        "gpt-4o" | "llama4" | "kanana2" => cut(&[GPT4O]),
        "deepseek-llm" => cut(&[
            r"[\r\n]",
            DEEPSEEK_LETTERS,
            r"\s?[!-/:-~！-／：-～‘-‟\u3000-。]+",
            r"\s+$",
            r"[一-龥ࠀ-一가-\ud7ff]+",
            r"\p{N}+",
        ]),
        "deepseek-coder" => {
            cut(&[r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"[一-龥ࠀ-一가-\ud7ff]+", r"\p{N}"])
        }
        "deepseek-v3" | "hunyuan-dense" => cut(&[r"\p{N}{1,3}", DEEPSEEK_CJK, DEEPSEEK3]),
        "falcon" => cut(&[PUNCTUATION, GPT2, r"[0-9][0-9][0-9]"]),
        "default" => cut(&[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"]),
        _ => {
            return Err(Error::Unsupported {
                origin: origin.into(),
                what: "pre-tokenizer (tokenizer.ggml.pre)",
                name: name.into(),
                hint: "use the checkpoint in safetensors form, whose tokenizer.json spells it out",
            });
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::split::Splitter;

    const NAMES: [&str; 17] = [
        "gpt-2",
        "smollm",
        "llama-bpe",
        "llama3",
        "dbrx",
        "glm4",
        "qwen2",
        "stablelm2",
        "qwen35",
        "tekken",
        "gpt-4o",
        "deepseek-llm",
        "deepseek-coder",
        "deepseek-v3",
        "falcon",
        "default",
        "starcoder",
    ];

    #[test]
    fn every_name_compiles_and_cuts_without_loss() {
        let text = "It's 2024!  Don't\tGO-TO\r\n\n 日本語ｶﾅ  naïve 12345 +x==y;\u{301} ";
        for name in NAMES {
            let splitter = Splitter::new(name, named("t", name).unwrap().patterns.iter().copied());
            let words = splitter.unwrap().words(text).unwrap();
            let joined: String = words.iter().map(|range| &text[range.clone()]).collect();
            assert_eq!(joined, text, "{name}");
        }
    }

    #[test]
    fn an_unknown_name_is_an_error_that_says_it() {
        let error = named("m.gguf", "no-such-pre").unwrap_err().to_string();
        assert!(error.contains("m.gguf") && error.contains("no-such-pre"), "{error}");
    }

    #[test]
    fn digits_and_contractions_by_family() {
        let words = |name: &str, text: &str| -> Vec<String> {
            let splitter = Splitter::new(name, named("t", name).unwrap().patterns.iter().copied());
            let words = splitter.unwrap().words(text).unwrap();
            words.into_iter().map(|range| text[range].to_owned()).collect()
        };
        assert_eq!(words("gpt-2", "we'LL 1234"), ["we", "'", "LL", " 1234"]);
        assert_eq!(words("llama-bpe", "we'LL 1234"), ["we", "'LL", " ", "123", "4"]);
        assert_eq!(words("qwen2", "we'LL 12"), ["we", "'LL", " ", "1", "2"]);
        assert_eq!(words("smollm", "a 12"), ["a", " ", "1", "2"]);
        assert_eq!(words("tekken", "helloWorld"), ["hello", "World"]);
    }
}
