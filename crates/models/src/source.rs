//! A checkpoint as families see it: Hugging Face fields, whatever the files are.

use tessera_formats::{Checkpoint, Config, Kind};

use crate::{BuildOptions, Result, blocks, families, gguf, names::Names};

/// A checkpoint's configuration, normalised.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// The text model's fields, with their Hugging Face names.
    pub(crate) config: Config,
    /// What the files are; a few conventions differ.
    pub(crate) kind: Kind,
    /// How graph names become the file's.
    pub(crate) names: Names,
    /// Whether kernels of convolutions have their channel's one input last, `[channels, kernel, 1]`: how mlx
    /// stores them, and nothing else does.
    pub(crate) channels_last: bool,
    /// [`BuildOptions::context`].
    pub(crate) context: Option<usize>,
}

impl Source {
    pub(crate) fn read(checkpoint: &Checkpoint, options: &BuildOptions) -> Result<Self> {
        let (config, names) = match checkpoint.gguf() {
            Some(file) => {
                let config = gguf::config(file, checkpoint.config().origin())?;
                let names = gguf::names(&config)?;
                (config, names)
            }
            None => match checkpoint.config().opt_sub("text_config")? {
                // A multimodal checkpoint, of which we take the text part.
                Some(text) => (inherit(checkpoint.config(), text)?, Names::nested(checkpoint)),
                None => {
                    let config = checkpoint.config().clone();
                    let spelling = families::spelling(checkpoint)?;
                    (config, Names::Plain(spelling))
                }
            },
        };
        let kind = checkpoint.kind();
        let channels_last = kind == Kind::SafeTensors && channels_last(checkpoint);
        Ok(Self { config, kind, names, channels_last, context: options.context })
    }

    /// What is added to norm weights that the original checkpoints store centred on zero (Gemma):
    /// converters to GGUF have added it already, mlx leaves them as they are.
    pub(crate) fn centred_norm_offset(&self) -> f32 {
        if self.kind == Kind::Gguf { 0.0 } else { 1.0 }
    }

    /// The same for Qwen's hybrids, where mlx adds it too, and at that very step moves the axes of the
    /// convolutions: by their layout it knows, and so do we, whether it has been done.
    pub(crate) fn folded_norm_offset(&self) -> f32 {
        if self.channels_last { 0.0 } else { self.centred_norm_offset() }
    }

    /// `x` rounded to the type the model was trained in, where the files say (GGUF files do not).
    pub(crate) fn round(&self, x: f32) -> Result<f32> {
        let dtype = match self.config.opt_str("dtype")? {
            Some(dtype) => Some(dtype),
            None => self.config.opt_str("torch_dtype")?,
        };
        Ok(match dtype {
            Some("bfloat16") => half::bf16::from_f32(x).to_f32(),
            Some("float16") => half::f16::from_f32(x).to_f32(),
            _ => x,
        })
    }
}

fn channels_last(checkpoint: &Checkpoint) -> bool {
    let mut kernels = checkpoint.tensors().filter(|t| t.name.ends_with("conv1d.weight"));
    kernels.any(|kernel| matches!(kernel.shape[..], [_, _, 1]))
}

/// A multimodal configuration's text part. Whether the head is tied may be said outside alone.
fn inherit(whole: &Config, text: Config) -> Result<Config> {
    const KEY: &str = "tie_word_embeddings";
    match whole.opt_bool(KEY)? {
        Some(tied) => blocks::with_defaults(&text, serde_json::json!({ KEY: tied })),
        None => Ok(text),
    }
}
