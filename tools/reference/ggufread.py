"""Reads a GGUF file with gguf-py and gives it as the reference tools want it.

Nothing here is clever on purpose: the weights come out as f32 numpy arrays under
the names and in the row order of a Hugging Face checkpoint, so that transformers
can run them and an engine can be compared with it.
"""

from __future__ import annotations

import gguf
import numpy as np

# GGUF block tensor -> Hugging Face name inside `model.layers.<n>.`
LAYER_NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
}
# The norm in front of the feed-forward block carries another name in each family.
FFN_NORM = {
    "llama": {"ffn_norm": "post_attention_layernorm"},
    "qwen2": {"ffn_norm": "post_attention_layernorm"},
    "gemma3": {
        "ffn_norm": "pre_feedforward_layernorm",
        "post_attention_norm": "post_attention_layernorm",
        "post_ffw_norm": "post_feedforward_layernorm",
    },
}
TOP_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}


class Gguf:
    """One GGUF file: its metadata, and its tensors under Hugging Face names."""

    def __init__(self, path: str):
        self.reader = gguf.GGUFReader(path)
        self.arch = self.get("general.architecture")

    def get(self, key: str, default=None):
        """The value of a metadata key; `{arch}` in the key stands for the architecture."""
        if "{arch}" in key:
            key = key.format(arch=self.arch)
        field = self.reader.fields.get(key)
        return default if field is None else field.contents()

    def hf_name(self, name: str) -> str:
        stem, suffix = name.rsplit(".", 1)
        if stem in TOP_NAMES:
            return f"{TOP_NAMES[stem]}.{suffix}"
        blk, layer, stem = stem.split(".", 2)
        assert blk == "blk", name
        inner = LAYER_NAMES.get(stem) or FFN_NORM[self.arch][stem]
        return f"model.layers.{layer}.{inner}.{suffix}"

    def row_order(self, name: str, rows: int) -> np.ndarray | None:
        """The order in which to take the rows of a tensor, or None for their own order.

        For the `llama` architecture llama.cpp's converter interleaves the two halves
        of every q and k head (so that it may rotate neighbouring pairs); taking the
        rows in this order gives the halves back as transformers wants them.
        """
        stem = name.split(".")[-2]
        if self.arch != "llama" or stem not in ("attn_q", "attn_k"):
            return None
        key = "{arch}.attention.head_count" + ("_kv" if stem == "attn_k" else "")
        heads = self.get(key)
        index = np.arange(rows).reshape(heads, rows // heads // 2, 2)
        return index.swapaxes(1, 2).reshape(rows)

    def tensors(self):
        """Yields (Hugging Face name, GGUF tensor, row order or None)."""
        for t in self.reader.tensors:
            yield self.hf_name(t.name), t, self.row_order(t.name, int(t.shape[-1]))

    def dequantised(self) -> dict[str, np.ndarray]:
        out = {}
        for name, t, order in self.tensors():
            w = gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32)
            shape = [int(n) for n in reversed(t.shape)]
            w = w.reshape(shape)
            if order is not None:
                w = w[order]
            # The converter adds one to every gemma norm; transformers adds it at run time.
            if self.arch == "gemma3" and name.endswith("norm.weight"):
                w = w - np.float32(1.0)
            out[name] = np.ascontiguousarray(w)
        return out

    def hf_config(self) -> dict:
        """The config.json of the matching transformers model, as a dictionary."""
        heads = self.get("{arch}.attention.head_count")
        hidden = self.get("{arch}.embedding_length")
        theta = float(self.get("{arch}.rope.freq_base", 10000.0))
        names = {t.name for t in self.reader.tensors}
        eps = self.get("{arch}.attention.layer_norm_rms_epsilon")
        config = {
            "hidden_size": hidden,
            "intermediate_size": self.get("{arch}.feed_forward_length"),
            "num_hidden_layers": self.get("{arch}.block_count"),
            "num_attention_heads": heads,
            "num_key_value_heads": self.get("{arch}.attention.head_count_kv", heads),
            "max_position_embeddings": self.get("{arch}.context_length"),
            # the metadata holds it as an f32; the decimal that was meant is the shortest one
            "rms_norm_eps": float(np.format_float_positional(np.float32(eps))),
            "vocab_size": len(self.get("tokenizer.ggml.tokens")),
            "tie_word_embeddings": "output.weight" not in names,
            "bos_token_id": self.get("tokenizer.ggml.bos_token_id"),
            "eos_token_id": self.get("tokenizer.ggml.eos_token_id"),
            "head_dim": self.get("{arch}.attention.key_length", hidden // heads),
        }
        if self.arch == "gemma3":
            layers = config["num_hidden_layers"]
            full = lambda i: (i + 1) % 6 == 0  # one global layer in six, the sixth first
            config |= {
                "model_type": "gemma3_text",
                "architectures": ["Gemma3ForCausalLM"],
                "hidden_activation": "gelu_pytorch_tanh",
                "query_pre_attn_scalar": config["head_dim"],
                "sliding_window": self.get("{arch}.attention.sliding_window"),
                "layer_types": ["full_attention" if full(i) else "sliding_attention" for i in range(layers)],
                "rope_parameters": {
                    "full_attention": {"rope_type": "default", "rope_theta": theta},
                    "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
                },
            }
        else:
            qwen = self.arch == "qwen2"
            config |= {
                "model_type": "qwen2" if qwen else "llama",
                "architectures": ["Qwen2ForCausalLM" if qwen else "LlamaForCausalLM"],
                "hidden_act": "silu",
                "rope_parameters": {"rope_type": "default", "rope_theta": theta},
                # older readers look for it here only
                "rope_theta": theta,
            }
            if qwen:
                del config["head_dim"]
        return config
