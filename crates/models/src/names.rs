//! What files call the tensors.

use tessera_formats::Checkpoint;

use crate::Capability;

/// What the tensors beside the language model are called in multimodal safetensors, and what they serve.
const TOWERS: [(&str, Capability); 10] = [
    ("vision_tower.", Capability::ImageIn),
    ("multi_modal_projector.", Capability::ImageIn),
    ("embed_vision.", Capability::ImageIn),
    ("visual.", Capability::ImageIn),
    ("model.vision_tower.", Capability::ImageIn),
    ("model.multi_modal_projector.", Capability::ImageIn),
    ("model.embed_vision.", Capability::ImageIn),
    ("model.visual.", Capability::ImageIn),
    ("audio_tower.", Capability::AudioIn),
    ("model.audio_tower.", Capability::AudioIn),
];

/// The same in GGUF files that hold everything.
const GGUF_TOWERS: [(&str, Capability); 3] =
    [("v.", Capability::ImageIn), ("mm.", Capability::ImageIn), ("a.", Capability::AudioIn)];

/// What tensors begin with that guess further tokens, wherever the text model is.
const GUESSING: [&str; 3] = ["mtp.", "model.mtp.", "language_model.mtp."];

/// The capability that a tensor of this name serves, and nothing else; `None` for the language model's.
pub(crate) fn serves(tensor: &str) -> Option<Capability> {
    let all = TOWERS.iter().chain(&GGUF_TOWERS);
    all.clone().find(|(prefix, _)| tensor.starts_with(prefix)).map(|&(_, capability)| capability)
}

/// What a family's files call modules, where that is not what the graph calls them: pairs of ours and theirs, of
/// modules of the model (`model.norm`) or of a layer (`mlp.up_proj`).
pub(crate) type Spelling = &'static [(&'static str, &'static str)];

/// `name` as a family's files spell it.
fn spelled(spelling: Spelling, name: &str) -> String {
    let apply = |path: &str| {
        let renamed = spelling.iter().find_map(|(ours, theirs)| {
            let rest = path.strip_prefix(ours)?;
            (rest.is_empty() || rest.starts_with('.')).then(|| format!("{theirs}{rest}"))
        });
        renamed.unwrap_or_else(|| path.into())
    };
    let layer = name.strip_prefix(LAYERS).and_then(|rest| rest.split_once('.'));
    match layer {
        Some((index, module)) => {
            format!("{}.{}", apply(&format!("{LAYERS}{index}")), apply(module))
        }
        None => apply(name),
    }
}

const LAYERS: &str = "model.layers.";

/// How a tensor's name in the graph becomes the file's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Names {
    /// As the family spells them.
    Plain(Spelling),
    /// The text model inside a multimodal one: what `model.` and `lm_head.` become.
    Nested { model: &'static str, head: &'static str },
    /// GGUF names.
    Gguf(crate::gguf::Names),
}

impl Names {
    /// How a multimodal checkpoint spells its text model, judged by where the embedding is.
    pub(crate) fn nested(checkpoint: &Checkpoint) -> Self {
        let known = [
            ("language_model.model.", "language_model.lm_head."),
            ("model.language_model.", "lm_head."),
        ];
        let has = |model: &str| checkpoint.tensor(&format!("{model}embed_tokens.weight")).is_some();
        match known.into_iter().find(|(model, _)| has(model)) {
            Some((model, head)) => Self::Nested { model, head },
            None => Self::Plain(&[]),
        }
    }

    /// The file's name of a tensor. A name the file's scheme has no word for stays as it is, and is
    /// then reported as missing.
    pub(crate) fn stored(&self, name: &str) -> String {
        let renamed = match self {
            Self::Plain(spelling) => Some(spelled(spelling, name)),
            Self::Nested { model, head } => {
                let body = name.strip_prefix("model.").map(|rest| format!("{model}{rest}"));
                body.or_else(|| name.strip_prefix("lm_head.").map(|rest| format!("{head}{rest}")))
            }
            Self::Gguf(names) => names.stored(name),
        };
        renamed.unwrap_or_else(|| name.into())
    }

    /// In how many heads the rows of a tensor are stored as neighbouring pairs, if they are.
    pub(crate) fn paired_heads(&self, name: &str) -> Option<usize> {
        match self {
            Self::Gguf(names) => names.paired_heads(name),
            _ => None,
        }
    }

    /// Whether a tensor of the file is part of what guesses further tokens (multi-token prediction). The model's own
    /// answer does not need it.
    pub(crate) fn guesses(&self, tensor: &str) -> bool {
        match self {
            Self::Gguf(names) => names.guesses(tensor),
            _ => GUESSING.iter().any(|prefix| tensor.starts_with(prefix)),
        }
    }

    /// Whether a tensor of the file may go unused: what the configuration already says (rotary
    /// frequencies), a copy of the tied embedding, layers that guess further tokens (which the model's own answer
    /// does not need), and the other half of a multimodal model.
    pub(crate) fn ignores(&self, tensor: &str, tied: bool) -> bool {
        match self {
            _ if self.guesses(tensor) => true,
            Self::Gguf(_) if GGUF_TOWERS.iter().any(|(prefix, _)| tensor.starts_with(prefix)) => {
                true
            }
            Self::Gguf(_) => ["rope_freqs.", "rope_factors_long.", "rope_factors_short."]
                .iter()
                .any(|prefix| tensor.starts_with(prefix)),
            _ if tensor.ends_with(".rotary_emb.inv_freq") => true,
            _ if tied && tensor.starts_with(self.stored("lm_head.").as_str()) => true,
            Self::Nested { .. } => TOWERS.iter().any(|(prefix, _)| tensor.starts_with(prefix)),
            Self::Plain(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_spelled_as_the_family_does() {
        let spelling: Spelling = &[
            ("model.layers", "backbone.layers"),
            ("model.norm", "backbone.norm_f"),
            ("mamba", "mixer"),
        ];
        let names = Names::Plain(spelling);
        assert_eq!(names.stored("model.norm.weight"), "backbone.norm_f.weight");
        assert_eq!(names.stored("model.layers.10.mamba.D"), "backbone.layers.10.mixer.D");
        assert_eq!(names.stored("model.layers.1.mamba2.D"), "backbone.layers.1.mamba2.D");
        assert_eq!(names.stored("lm_head.weight"), "lm_head.weight");
        assert_eq!(Names::Plain(&[]).stored("model.norm.weight"), "model.norm.weight");
    }
}
