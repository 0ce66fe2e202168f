"""Write tiny GGUF files under the names, metadata keys and layouts llama.cpp's converter uses.

What differs from the original checkpoint, by architecture:
    llama          query and key rows (and biases) reordered per head, so that a rotated pair lies
                   side by side; "llama3" scaling becomes divisors in `rope_freqs.weight`
    gemma2/3       one is added to every norm weight; the tied head is left out
    phi3           long-rope divisors in `rope_factors_{long,short}.weight`
Vectors are F32. Sliding windows of qwen2, qwen3 and mistral have no place in the format.

`python gguf_files.py` adds model.gguf to the cases in CASES; families.py must have run before.
"""

import json
import math
import pathlib
import tempfile

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from safetensors.torch import load_file
from transformers import AutoConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

import blocks
import common

# model_type, where not the same
ARCHITECTURES = {"mistral": "llama", "mixtral": "llama", "gemma3_text": "gemma3"}
ARCHITECTURES |= {"qwen3_5_text": "qwen35", "qwen3_5_moe_text": "qwen35moe"}
ARCHITECTURES |= {"qwen3_moe": "qwen3moe", "qwen3_next": "qwen3next", "gpt_oss": "gpt-oss"}
SENTENCEPIECE = {"gemma2", "gemma3", "phi3"}
CASES = {
    "llama_untied": "llama3_v5",
    "llama_bias": "default",
    "qwen2": "default",
    "qwen3": "default",
    "gemma2": "default",
    "gemma3_deep": "default",
    "phi3": "longrope",
}


def parse(config: dict):
    """The config as transformers understands it, with every default filled in."""
    with tempfile.TemporaryDirectory() as scratch:
        common.save_json(pathlib.Path(scratch) / "config.json", config)
        return AutoConfig.from_pretrained(scratch)


def architecture(config) -> str:
    return ARCHITECTURES.get(config.model_type, config.model_type)


def head_width(config) -> int:
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def rope_of(config) -> dict:
    """Rope settings of the layers that see everything."""
    return config.rope_parameters.get("full_attention", config.rope_parameters)


def pair_rows(rows: np.ndarray, heads: int) -> np.ndarray:
    """Rows of each head from halves order (0, d/2, ...) to pairs: row i and i + d/2 become neighbours."""
    return rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def unpair_rows(rows: np.ndarray, heads: int) -> np.ndarray:
    """The inverse of `pair_rows`."""
    return rows.reshape(heads, -1, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def paired_heads(config, name: str) -> int | None:
    """In how many heads the rows of this tensor are reordered, if they are."""
    if architecture(config) != "llama":
        return None
    if ".q_proj." in name:
        return config.num_attention_heads
    return config.num_key_value_heads if ".k_proj." in name else None


def add_metadata(writer: gguf.GGUFWriter, config):
    arch, rope = architecture(config), rope_of(config)
    writer.add_type("model")
    writer.add_name("Tessera test")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    if hasattr(config, "intermediate_size"):
        writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    width = head_width(config)
    if arch != "phi3" and width * config.num_attention_heads != config.hidden_size or arch in ("gemma2", "gemma3"):
        writer.add_key_length(width)
        writer.add_value_length(width)
    if arch != "gemma2":  # its converter relies on the default of 10000
        writer.add_rope_freq_base(rope["rope_theta"])
    if arch == "llama":
        writer.add_vocab_size(config.vocab_size)
    if arch in ("llama", "phi3"):
        writer.add_rope_dimension_count(int(width * rope.get("partial_rotary_factor", 1.0)))
    if arch in ("gemma2", "gemma3"):
        writer.add_sliding_window(config.sliding_window)
    if arch == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    if arch == "phi3":
        writer.add_sliding_window(config.sliding_window or 0)  # zero: none
        original = config.original_max_position_embeddings
        writer.add_rope_scaling_orig_ctx_len(original)
        if "long_factor" in rope:
            scale = config.max_position_embeddings / original
            writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(scale) / math.log(original)))
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])


def add_tokenizer(writer: gguf.GGUFWriter, config):
    """A vocabulary of single characters: enough to be loaded, not meant to be good."""
    sentencepiece = architecture(config) in SENTENCEPIECE
    special = {"<unk>": 0}
    special |= {"<s>": config.bos_token_id, "</s>": config.eos_token_id}
    if architecture(config).startswith("gemma"):
        special = {"<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3}
    merged = [] if sentencepiece else ["th", "the", "\u0120the"]
    space = "\u2581" if sentencepiece else "\u0120"
    letters = [space] + [chr(c) for c in (*range(ord("a"), ord("z") + 1), *range(ord("!"), ord("a")))]
    letters = letters[: config.vocab_size - len(special) - len(merged)]
    tokens = sorted(special, key=special.get) + letters + merged
    tokens += [f"<extra_{i}>" for i in range(config.vocab_size - len(tokens))]
    kinds = [gguf.TokenType.NORMAL] * len(tokens)
    for token, i in special.items():
        kinds[i] = gguf.TokenType.UNKNOWN if token == "<unk>" and sentencepiece else gguf.TokenType.CONTROL
    writer.add_tokenizer_model("llama" if sentencepiece else "gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    if sentencepiece:
        writer.add_token_scores([-float(i) for i in range(len(tokens))])
    writer.add_token_types(kinds)
    if not sentencepiece:
        writer.add_token_merges(["t h", "th e", "\u0120 the"])
    writer.add_bos_token_id(config.bos_token_id)
    writer.add_eos_token_id(config.eos_token_id)
    writer.add_add_bos_token(sentencepiece)


def rope_divisors(config) -> dict[str, np.ndarray]:
    """Tensors that divide the rotation frequencies."""
    rope = rope_of(config)
    if rope["rope_type"] == "llama3":
        scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config)
        exponents = torch.arange(0, head_width(config), 2).double() / head_width(config)
        plain = rope["rope_theta"] ** -exponents
        return {"rope_freqs.weight": (plain / scaled).float().numpy()}
    if rope["rope_type"] == "longrope":
        return {
            f"rope_factors_{kind}.weight": np.array(rope[f"{kind}_factor"], np.float32)
            for kind in ("long", "short")
        }
    return {}


def write(path: pathlib.Path, config: dict, tensors: dict[str, tuple[str, np.ndarray]]):
    """One GGUF file. `tensors` maps original names to a type and its bytes (or F32 values of a vector)."""
    config = parse(config)
    arch = architecture(config)
    ids = {name: i for i, name in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(ids[arch], config.num_hidden_layers)
    writer = gguf.GGUFWriter(path, arch)
    add_metadata(writer, config)
    add_tokenizer(writer, config)
    for name, values in rope_divisors(config).items():
        writer.add_tensor(name, values)
    for name, (kind, data) in tensors.items():
        renamed = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert renamed, name
        if kind == "F32":
            writer.add_tensor(renamed, data)
        else:
            writer.add_tensor(renamed, data, raw_dtype=Type[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def convert(config: dict, weights: dict[str, torch.Tensor]) -> dict[str, tuple[str, np.ndarray]]:
    """A bf16 checkpoint in the layout of its GGUF file, without loss: matrices BF16, vectors F32."""
    parsed = parse(config)
    centred = architecture(parsed).startswith("gemma")
    out = {}
    for name, tensor in weights.items():
        values = tensor.float().numpy()
        if centred and name.endswith("norm.weight"):
            values = values + np.float32(1.0)
        if heads := paired_heads(parsed, name):
            values = pair_rows(values, heads)
        out[name] = ("F32", values) if values.ndim == 1 else ("BF16", blocks.encode("BF16", values))
    return out


def main():
    for family, case in CASES.items():
        directory = common.MODEL_FIXTURES / family
        config = json.loads((directory / case / "config.json").read_text())
        weights = load_file(directory / "model.safetensors")
        write(directory / case / "model.gguf", config, convert(config, weights))
        print(f"{family}/{case}/model.gguf: directory now {common.check_size(directory)} bytes")


if __name__ == "__main__":
    main()
