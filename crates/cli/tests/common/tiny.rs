//! A model small enough to be made for every test, and simple enough that its answers are known.
//!
//! Attention and network write nothing, embeddings are random signs, and the output row of a token is
//! the embedding of the token before it in a chain: after each token comes its successor, for certain.

use std::{collections::HashMap, path::Path};

use tessera_formats::{
    Dtype, Tensor,
    gguf::{Strings, Writer},
};

/// Width of everything.
const WIDTH: usize = 64;
/// Bytes, then control tokens, then tags of thinking.
const BYTES: usize = 256;
const START: usize = 256;
const END: usize = 257;
const THINK: usize = 258;
const THOUGHT: usize = 259;
const VOCABULARY: usize = 260;

const TEMPLATE: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n\
    {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\nOPENING{% endif %}";

/// What follows what.
pub struct Tiny {
    next: HashMap<usize, usize>,
    template: bool,
    /// What the template ends the prompt with.
    opening: &'static str,
    context: u32,
}

impl Tiny {
    /// A chat model that answers every message with `answer`, in which no byte may occur twice.
    pub fn chat(answer: &str) -> Self {
        let answer: Vec<usize> = answer.bytes().map(usize::from).collect();
        Self::chain(&[&[usize::from(b'\n')], &answer[..], &[END]].concat())
    }

    /// A chat model that thinks before it answers.
    pub fn thinking(thought: &str, answer: &str) -> Self {
        let ids = |text: &str| text.bytes().map(usize::from).collect::<Vec<_>>();
        let newline = usize::from(b'\n');
        Self::chain(
            &[&[newline, THINK], &ids(thought)[..], &[THOUGHT], &ids(answer)[..], &[END]].concat(),
        )
    }

    /// A chat model for whom the template opens the thinking.
    pub fn opened(thought: &str, answer: &str) -> Self {
        let ids = |text: &str| text.bytes().map(usize::from).collect::<Vec<_>>();
        let newline = usize::from(b'\n');
        let chain = [&[newline], &ids(thought)[..], &[THOUGHT], &ids(answer)[..], &[END]].concat();
        Self { opening: "<think>\n", ..Self::chain(&chain) }
    }

    /// A model that goes on with `ring` for ever.
    pub fn endless(ring: &str) -> Self {
        let mut ids: Vec<usize> = ring.bytes().map(usize::from).collect();
        ids.extend(ids.first().copied());
        Self { context: 1 << 20, template: false, ..Self::chain(&ids) }
    }

    /// The same model without a chat template.
    pub fn base(self) -> Self {
        Self { template: false, ..self }
    }

    fn chain(ids: &[usize]) -> Self {
        let next = ids.windows(2).map(|pair| (pair[0], pair[1])).collect();
        Self { next, template: true, opening: "", context: 256 }
    }

    /// Writes the model as a GGUF file.
    pub fn write(&self, path: &Path) {
        let mut tokens: Vec<String> = (0..=255u8).map(|byte| letter(byte).to_string()).collect();
        tokens.extend(["<|im_start|>", "<|im_end|>", "<think>", "</think>"].map(str::to_owned));
        // Normal, control and user-defined tokens, in ggml's numbers.
        let mut kinds = vec![1i32; BYTES];
        kinds.extend([3, 3, 4, 4]);
        let mut writer = Writer::new()
            .pair("general.architecture", "llama")
            .pair("general.license", "mit")
            .pair("llama.block_count", 1u32)
            .pair("llama.embedding_length", WIDTH as u32)
            .pair("llama.feed_forward_length", WIDTH as u32)
            .pair("llama.attention.head_count", 2u32)
            .pair("llama.attention.head_count_kv", 1u32)
            .pair("llama.attention.layer_norm_rms_epsilon", 1e-5f32)
            .pair("llama.context_length", self.context)
            .pair("llama.rope.dimension_count", WIDTH as u32 / 2)
            .pair("llama.rope.freq_base", 10_000f32)
            .pair("tokenizer.ggml.model", "gpt2")
            .pair("tokenizer.ggml.pre", "gpt-2")
            .pair("tokenizer.ggml.tokens", tokens.iter().collect::<Strings>())
            .pair("tokenizer.ggml.token_type", kinds)
            .pair("tokenizer.ggml.merges", Strings::default())
            .pair("tokenizer.ggml.bos_token_id", START as u32)
            .pair("tokenizer.ggml.eos_token_id", END as u32);
        if self.template {
            let template = TEMPLATE.replace("OPENING", self.opening);
            writer = writer.pair("tokenizer.chat_template", template.as_str());
        }
        for (name, shape, values) in self.tensors() {
            let bytes: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
            let tensor =
                Tensor { name: name.into(), dtype: Dtype::F32, shape, bytes: bytes.into() };
            writer = writer.tensor(tensor).expect("sound");
        }
        writer.write_file(path).expect("written");
    }

    fn tensors(&self) -> Vec<(&'static str, Vec<usize>, Vec<f32>)> {
        let embeddings = signs(VOCABULARY * WIDTH);
        let row = |id: usize| &embeddings[id * WIDTH..(id + 1) * WIDTH];
        // A token in no chain is followed by whatever its embedding happens to resemble.
        let mut output = vec![0f32; VOCABULARY * WIDTH];
        for (&id, &next) in &self.next {
            output[next * WIDTH..(next + 1) * WIDTH].copy_from_slice(row(id));
        }
        let zeros = |rows: usize| vec![0f32; rows * WIDTH];
        let ones = || vec![1f32; WIDTH];
        vec![
            ("token_embd.weight", vec![VOCABULARY, WIDTH], embeddings.clone()),
            ("output_norm.weight", vec![WIDTH], ones()),
            ("output.weight", vec![VOCABULARY, WIDTH], output),
            ("blk.0.attn_norm.weight", vec![WIDTH], ones()),
            ("blk.0.attn_q.weight", vec![WIDTH, WIDTH], signs(WIDTH * WIDTH)),
            ("blk.0.attn_k.weight", vec![WIDTH / 2, WIDTH], signs(WIDTH * WIDTH / 2)),
            ("blk.0.attn_v.weight", vec![WIDTH / 2, WIDTH], signs(WIDTH * WIDTH / 2)),
            ("blk.0.attn_output.weight", vec![WIDTH, WIDTH], zeros(WIDTH)),
            ("blk.0.ffn_norm.weight", vec![WIDTH], ones()),
            ("blk.0.ffn_gate.weight", vec![WIDTH, WIDTH], signs(WIDTH * WIDTH)),
            ("blk.0.ffn_up.weight", vec![WIDTH, WIDTH], signs(WIDTH * WIDTH)),
            ("blk.0.ffn_down.weight", vec![WIDTH, WIDTH], zeros(WIDTH)),
        ]
    }
}

/// Random signs, always the same (xorshift).
fn signs(n: usize) -> Vec<f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut sign = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        if state >> 40 & 1 == 0 { 1.0 } else { -1.0 }
    };
    (0..n).map(|_| sign()).collect()
}

/// How byte-level vocabularies spell a byte: visible Latin-1 as it is, the rest from U+0100 on.
fn letter(byte: u8) -> char {
    let visible = |b: u8| matches!(b, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    match visible(byte) {
        true => char::from(byte),
        false => {
            let before = (0..byte).filter(|&b| !visible(b)).count() as u32;
            char::from_u32(0x100 + before).unwrap_or('?')
        }
    }
}
