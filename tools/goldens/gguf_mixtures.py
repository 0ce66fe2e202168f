"""GGUF files of the mixtures and hybrids, as llama.cpp's converter writes them, in `<family>_gguf/default`.

Beside what gguf_files.py says, experts are stacked; and by architecture:
    qwen3next   one is added to norms (but the gated one); q, k, v and z are no longer interleaved by head,
                b and a still are; the rate of decay is stored itself, not its logarithm
    qwen35*     likewise, and value heads that share a key head, side by side in the original, take turns: rows of
                v, z, b and a, rates and biases of heads, channels of the convolution, columns of the output
                matrix. Behind the last layer of qwen35 is one that guesses further tokens, and is not used; the first
                layer of qwen35moe has experts' gate and up in one tensor, which the converter does when asked to
    gpt-oss     rows of gate and up are apart, and the nibbles of mxfp4 in ggml's order

The goldens are those of the originals: `families.py` and `mlx_forms.py` must have run before.
"""

import json
import re
import shutil
import sys

import gguf
import numpy as np
import torch
from safetensors.torch import load_file

import blocks
import common
import gguf_files

ARCHITECTURES = {
    "qwen3_moe": "qwen3moe",
    "mixtral": "llama",
    "olmo2": "olmo2",
    "gpt_oss": "gpt-oss",
    "qwen3_next": "qwen3next",
    "qwen3_5": "qwen35",
    "qwen3_5_moe": "qwen35moe",
}
CASES = {"gpt_oss": "published"}  # the case, where not the default
EXPERT = re.compile(r"(.*)\.(?:mlp|block_sparse_moe)\.experts\.(\d+)\.(\w+)\.weight")
PROJECTIONS = {"w1": "gate_proj", "w3": "up_proj", "w2": "down_proj"}


def stacked(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Experts' matrices in one tensor of each layer and projection."""
    out, stacks = {}, {}
    for name, values in weights.items():
        if (match := EXPERT.fullmatch(name)) is None:
            out[name] = values
            continue
        layer, index, projection = match.groups()
        projection = PROJECTIONS.get(projection, projection)
        stacks.setdefault(f"{layer}.mlp.experts.{projection}.weight", {})[int(index)] = values
    return out | {name: np.stack([stack[i] for i in range(len(stack))]) for name, stack in stacks.items()}


def mxfp4(packed: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """ggml's blocks: the scale, then bytes of elements i and i + 16, where the original has 2i and 2i + 1."""
    codes = np.stack([packed & 15, packed >> 4], axis=-1).reshape(*packed.shape[:-1], 32)
    packed = codes[..., :16] | codes[..., 16:] << 4
    whole = np.concatenate([scales[..., None], packed], axis=-1)
    return whole.reshape(*whole.shape[:-2], -1)


def gpt_oss(weights: dict[str, np.ndarray]) -> dict:
    out = {}
    for name, values in weights.items():
        if name.endswith("_scales"):
            continue
        base = name.removesuffix("_blocks").removesuffix("_bias")
        kind = "bias" if name.endswith("_proj_bias") else "weight"
        if name.endswith("_blocks"):
            values = ("MXFP4", mxfp4(values, weights[f"{base}_scales"]))
        if not base.endswith("experts.gate_up_proj") and not base.endswith("experts.down_proj"):
            out[name + ".weight" if name.endswith("sinks") else name] = values
        elif base.endswith("down_proj"):
            out[f"{base}.{kind}"] = values
        else:
            rows_of_both = values[1] if isinstance(values, tuple) else values
            for first, part in enumerate(("gate_proj", "up_proj")):
                rows = np.ascontiguousarray(rows_of_both[:, first::2])
                stem = base.removesuffix("gate_up_proj")
                out[f"{stem}{part}.{kind}"] = ("MXFP4", rows) if kind == "weight" else rows
    return out


def tiled(name: str, values: np.ndarray, config: dict) -> np.ndarray:
    """Value heads in turns: from [key heads, sharing heads, elements] to [sharing heads, key heads, elements]."""
    keys = 2 * config["linear_num_key_heads"] * config["linear_key_head_dim"]
    within = {"in_proj_qkv.weight": (0, keys), "conv1d.weight": (0, keys), "out_proj.weight": (1, 0)}
    within |= dict.fromkeys(("in_proj_z.weight", "in_proj_a.weight", "in_proj_b.weight", "A_log", "dt_bias"), (0, 0))
    axis, first = within.get(name.rpartition("linear_attn.")[2], (None, None))
    if axis is None or "linear_attn" not in name:
        return values
    values = np.moveaxis(values, axis, 0)
    before, heads = values[:first], values[first:]
    sharing = config["linear_num_value_heads"] // config["linear_num_key_heads"]
    turns = heads.reshape(config["linear_num_key_heads"], sharing, -1, *heads.shape[1:]).swapaxes(0, 1)
    return np.moveaxis(np.concatenate([before, turns.reshape(heads.shape)]), 0, axis)


def qwen3_next(weights: dict[str, np.ndarray], config: dict) -> dict:
    heads, key = config["linear_num_key_heads"], config["linear_key_head_dim"]
    values_of = config["linear_num_value_heads"] // heads * config["linear_value_head_dim"]
    out = {}
    for name, values in weights.items():
        if config["model_type"].startswith("qwen3_5"):
            values = tiled(name, values, config)
        if name.endswith("A_log"):
            values = -np.exp(values)
        elif name.endswith("dt_bias"):
            name = name.removesuffix("dt_bias") + "dt_proj.bias"
        elif "conv1d" in name:
            values = values.squeeze(1)
        elif name.endswith("norm.weight") and "linear_attn" not in name:
            values = values + np.float32(1)
        if not name.endswith("in_proj_qkvz.weight"):
            out[name] = values
            continue
        parts = np.split(values.reshape(heads, -1, values.shape[1]), np.cumsum([key, key, values_of]), axis=1)
        q, k, v, z = (part.reshape(-1, values.shape[1]) for part in parts)
        layer = name.split(".")[2]
        out[f"blk.{layer}.attn_qkv.weight"] = np.concatenate([q, k, v])
        out[f"blk.{layer}.attn_gate.weight"] = z
    return out


def unstacked(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Stacks of experts' gate and up apart, but in the first layer."""
    out = {}
    for name, values in weights.items():
        stem = name.removesuffix("gate_up_proj")
        if stem == name:
            out[name + ".weight" if name.endswith("experts.down_proj") else name] = values
        elif ".layers.0." in name:
            out["blk.0.ffn_gate_up_exps.weight"] = values
        else:
            out[f"{stem}gate_proj.weight"], out[f"{stem}up_proj.weight"] = np.split(values, 2, axis=1)
    return out


def further(weights: dict[str, np.ndarray], config: dict) -> dict[str, np.ndarray]:
    """A layer that guesses further tokens, behind the others: one of attention (here without its network, to stay
    small), and what leads into it."""
    layers, hidden = config["num_hidden_layers"], config["hidden_size"]
    attends = next(n for n in weights if n.endswith("self_attn.q_proj.weight")).split(".self_attn")[0]
    of_it = [name for name in weights if name.startswith(attends + ".") and ".mlp." not in name]
    out = {name.replace(attends, f"model.layers.{layers}"): weights[name] for name in of_it}
    norms = {f"blk.{layers}.nextn.{norm}.weight": np.ones(hidden) for norm in ("enorm", "hnorm", "shared_head_norm")}
    return out | norms | {f"blk.{layers}.nextn.eh_proj.weight": np.ones((hidden, 2 * hidden))}


def add_metadata(writer: gguf.GGUFWriter, arch: str, config: dict):
    number = config.get
    if arch not in ("olmo2", "qwen35"):
        writer.add_expert_count(number("num_experts") or number("num_local_experts"))
        writer.add_expert_used_count(config["num_experts_per_tok"])
    if arch == "gpt-oss":
        rope = config["rope_scaling"]
        writer.add_sliding_window(config["sliding_window"])
        writer.add_expert_feed_forward_length(config["intermediate_size"])
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        writer.add_rope_scaling_yarn_beta_fast(rope["beta_fast"])
        writer.add_rope_scaling_yarn_beta_slow(rope["beta_slow"])
    if arch in ("qwen3moe", "qwen3next", "qwen35moe"):
        writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    if arch in ("qwen3next", "qwen35moe"):
        writer.add_expert_shared_feed_forward_length(config["shared_expert_intermediate_size"])
    if arch == "qwen35":
        # As where the configuration lists layers; the converter counts the one behind them.
        interval, layers = config["full_attention_interval"], config["num_hidden_layers"]
        recurrent = [(i + 1) % interval != 0 for i in range(layers)] + [False]
        writer.add_array(f"{arch}.attention.recurrent_layers", recurrent)
        writer.add_nextn_predict_layers(1)
    if arch in ("qwen35", "qwen35moe"):
        writer.add_rope_dimension_sections([11, 11, 10, 0])
    if arch in ("qwen3next", "qwen35", "qwen35moe"):
        heads, width = config["linear_num_value_heads"], config["linear_value_head_dim"]
        writer.add_ssm_conv_kernel(config["linear_conv_kernel_dim"])
        writer.add_ssm_state_size(config["linear_key_head_dim"])
        writer.add_ssm_group_count(config["linear_num_key_heads"])
        writer.add_ssm_time_step_rank(heads)
        writer.add_ssm_inner_size(heads * width)
        writer.add_full_attention_interval(config["full_attention_interval"])
        writer.add_rope_dimension_count(int(config["head_dim"] * config["partial_rotary_factor"]))


def make(family: str):
    arch, source = ARCHITECTURES[family], common.MODEL_FIXTURES / family
    case = source / CASES.get(family, "default")
    config = json.loads((case / "config.json").read_text())
    config.pop("quantization_config", None)
    parsed = gguf_files.parse(config)
    loaded = load_file(source / "model.safetensors")
    plain = {n: (t if t.dtype == torch.uint8 else t.float()).numpy() for n, t in loaded.items()}
    if arch == "llama":
        heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
        for name in plain:
            if (projection := name.split(".")[-2]) in heads:
                plain[name] = gguf_files.pair_rows(plain[name], heads[projection])
    tensors = gpt_oss(plain) if family == "gpt_oss" else stacked(plain)
    if family in ("qwen3_next", "qwen3_5", "qwen3_5_moe"):
        tensors = unstacked(qwen3_next(tensors, config))
    if arch == "qwen35":
        tensors |= further(tensors, config)
        parsed.num_hidden_layers += 1
    directory = common.fresh(common.MODEL_FIXTURES / f"{family}_gguf") / "default"
    directory.mkdir()
    ids = {name: i for i, name in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(ids[arch], parsed.num_hidden_layers)
    writer = gguf.GGUFWriter(directory / "model.gguf", arch)
    gguf_files.add_metadata(writer, parsed)
    add_metadata(writer, arch, config)
    gguf_files.add_tokenizer(writer, parsed)
    for name, values in tensors.items():
        renamed = name if name.startswith("blk.") else names.get_name(name, try_suffixes=(".weight", ".bias"))
        if name.endswith("A_log"):
            renamed = names.get_name(name)
        assert renamed, name
        kind, data = values if isinstance(values, tuple) else (None, values)
        if kind:
            writer.add_tensor(renamed, data, raw_dtype=gguf.GGMLQuantizationType[kind])
        elif data.ndim == 1 or renamed.endswith((".bias", "ssm_conv1d.weight")):
            writer.add_tensor(renamed, np.ascontiguousarray(data, np.float32))
        else:
            packed = blocks.encode("BF16", data.reshape(-1, data.shape[-1]).astype(np.float32))
            packed = packed.reshape(*data.shape[:-1], -1)
            writer.add_tensor(renamed, packed, raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    shutil.copy(case / "golden.safetensors", directory / "golden.safetensors")
    print(f"{family}_gguf: {common.check_size(directory.parent)} bytes")


if __name__ == "__main__":
    for family in sys.argv[1:] or ARCHITECTURES:
        make(family)
