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
const DEEPSEEK_LETTERS: &str = r"\s?[A-Za-z\u{b5}\u{c0}-\u{d6}\u{d8}-\u{f6}\u{f8}-\u{1ba}\u{1bc}-\u{1bf}\u{1c4}-\u{293}\u{295}-\u{2af}\u{370}-\u{373}\u{376}\u{377}\u{37b}-\u{37d}\u{37f}\u{386}\u{388}-\u{38a}\u{38c}\u{38e}-\u{3a1}\u{3a3}-\u{3f5}\u{3f7}-\u{481}\u{48a}-\u{52f}\u{531}-\u{556}\u{10a0}-\u{10c5}\u{13a0}-\u{13f5}\u{13f8}-\u{13fd}\u{1c90}-\u{1cba}\u{1cbd}-\u{1cbf}\u{1d00}-\u{1d2b}\u{1d6b}-\u{1d77}\u{1d79}-\u{1d9a}\u{1e00}-\u{1f15}\u{1f18}-\u{1f1d}\u{1f20}-\u{1f45}\u{1f48}-\u{1f4d}\u{1f50}-\u{1f57}\u{1f59}\u{1f5b}\u{1f5d}\u{1f5f}-\u{1f7d}\u{1f80}-\u{1fb4}\u{1fb6}-\u{1fbc}\u{1fbe}\u{1fc2}-\u{1fc4}\u{1fc6}-\u{1fcc}\u{1fd0}-\u{1fd3}\u{1fd6}-\u{1fdb}\u{1fe0}-\u{1fec}\u{1ff2}-\u{1ff4}\u{1ff6}-\u{1ffc}\u{2102}\u{2107}\u{210a}-\u{2113}\u{2115}\u{2119}-\u{211d}\u{2124}\u{2126}\u{2128}\u{212a}-\u{212d}\u{212f}-\u{2134}\u{2139}\u{213c}-\u{213f}\u{2145}-\u{2149}\u{214e}\u{2183}\u{2184}\u{2c00}-\u{2c7b}\u{2c7e}-\u{2ce4}\u{2ceb}-\u{2cee}\u{2cf2}\u{2cf3}\u{a640}-\u{a66d}\u{a680}-\u{a69b}\u{a722}-\u{a76f}\u{a771}-\u{a787}\u{a78b}-\u{a78e}\u{ab70}-\u{abbf}\u{fb00}-\u{fb06}\u{fb13}-\u{fb17}\u{ff21}-\u{ff3a}\u{ff41}-\u{ff5a}\u{10400}-\u{1044f}\u{104b0}-\u{104d3}\u{104d8}-\u{104fb}\u{10c80}-\u{10cb2}\u{10cc0}-\u{10cf2}\u{118a0}-\u{118df}\u{1e900}-\u{1e943}]+";
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
