"""Tiny quantised Llama checkpoints, and the f32 logits of the weights their packed bits stand for.

    packings/mlx_g32, mlx_g64, mlx_g128   affine 2-8 bits, told per tensor in config.json;
                                          scales bf16, f16 and f32 respectively
    packings/mlx_fp                       mxfp4, nvfp4 and mxfp8 in one checkpoint
    packings/mlx_derived                  tensors differ, config.json does not say so: the shapes do
    packings/gguf_a, gguf_b               every GGUF block type but one
    packings/gguf_mxfp4                   that one, in every matrix

`golden.safetensors` is as in families.py; the reference is transformers on the dequantised weights.
"""

import argparse
import zlib

import mlx.core as mx
import numpy as np
import torch

import blocks
import common
import gguf_files
import reference

OUT = common.MODEL_FIXTURES / "packings"
MODES = {"mxfp4": (32, 4), "nvfp4": (16, 4), "mxfp8": (32, 8)}  # mode: (group, bits)
DENSE = "dense"  # left as it is, and config.json does not mention it
DENSE_FALSE = "dense, told"  # left as it is, and config.json says `false`


def llama(**more) -> dict:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": 64,
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "hidden_act": "silu",
        "max_position_embeddings": 256,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
    } | more


def full_name(short: str) -> str:
    """Module path of a linear or embedding of the only layer."""
    if short == "embed":
        return "model.embed_tokens"
    if short == "head":
        return "lm_head"
    part = "self_attn" if short in ("q_proj", "k_proj", "v_proj", "o_proj") else "mlp"
    return f"model.layers.0.{part}.{short}"


def seeded(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


# What each tensor is packed as: (bits, group), a mode of MODES, or one of the two DENSE.
MLX = {
    "mlx_g32": (
        mx.bfloat16,
        {"bits": 4, "group_size": 32},
        {"embed": (6, 32), "q_proj": (2, 32), "k_proj": (3, 32), "v_proj": (5, 32), "o_proj": (8, 32),
         "gate_proj": (4, 32), "up_proj": (3, 32), "down_proj": (5, 32), "head": (4, 32)},
    ),
    "mlx_g64": (
        mx.float16,
        {"bits": 4, "group_size": 64, "mode": "affine"},
        {"embed": (4, 64), "q_proj": (3, 64), "k_proj": (2, 64), "v_proj": (8, 64), "o_proj": (5, 64),
         "gate_proj": (6, 64), "up_proj": (4, 64), "down_proj": (2, 64)},
    ),
    "mlx_g128": (
        mx.float32,
        {"bits": 4, "group_size": 128, "mode": "affine"},
        {"embed": (8, 128), "q_proj": (5, 128), "k_proj": DENSE, "v_proj": DENSE_FALSE, "o_proj": (3, 128),
         "gate_proj": (2, 128), "up_proj": (6, 128), "down_proj": (4, 128), "head": (6, 128)},
    ),
    "mlx_fp": (
        mx.bfloat16,
        {"bits": 4, "group_size": 32, "mode": "mxfp4"},
        {"embed": "mxfp8", "q_proj": "mxfp4", "k_proj": "nvfp4", "v_proj": "mxfp8", "o_proj": "nvfp4",
         "gate_proj": "mxfp4", "up_proj": "nvfp4", "down_proj": "mxfp8", "head": (6, 64)},
    ),
    "mlx_derived": (
        mx.bfloat16,
        {"bits": 4, "group_size": 64},
        {"embed": (8, 64), "q_proj": (3, 64), "k_proj": (6, 64), "v_proj": (4, 32), "o_proj": (8, 128),
         "gate_proj": (2, 64), "up_proj": (5, 64), "down_proj": (4, 64), "head": (6, 32)},
    ),
}  # fmt: skip


def quantisation_entry(packing, default: dict):
    """What config.json says about one tensor; None where the default already says it."""
    if packing == DENSE_FALSE:
        return False
    if packing == DENSE:
        return None
    if isinstance(packing, str):
        group, bits = MODES[packing]
        entry = {"group_size": group, "bits": bits, "mode": packing}
    else:
        entry = {"group_size": packing[1], "bits": packing[0]}
        if "mode" in default:
            entry["mode"] = "affine"
    return None if entry == default else entry


def pack_mlx(name: str, values: mx.array, packing):
    """The stored tensors of one matrix, and the f32 matrix they stand for."""
    if packing in (DENSE, DENSE_FALSE):
        return {f"{name}.weight": values}, values.astype(mx.float32)
    if isinstance(packing, str):
        group, bits = MODES[packing]
        weight, scales = mx.quantize(values, group, bits, packing)
        exact = mx.dequantize(weight, scales, None, group, bits, packing, dtype=mx.float32)
        return {f"{name}.weight": weight, f"{name}.scales": scales}, exact
    bits, group = packing
    weight, scales, biases = mx.quantize(values, group, bits)
    as_f32 = [x.astype(mx.float32) for x in (scales, biases)]
    stored = {f"{name}.weight": weight, f"{name}.scales": scales, f"{name}.biases": biases}
    return stored, mx.dequantize(weight, *as_f32, group, bits)


def make_mlx(case: str, seed: int):
    dtype, default, packings = MLX[case]
    config = llama(tie_word_embeddings="head" not in packings)
    shapes = {n: tuple(w.shape) for n, w in reference.random_weights(config, seed, {}).items()}
    stored, exact = {}, {}
    quantization = dict(default)
    by_path = {full_name(short): packing for short, packing in packings.items()}
    for name, shape in shapes.items():
        values = reference.spread(name, shape, seeded(seed, case + name), {})
        values = mx.array(values.astype(np.float32)).astype(dtype)
        path = name.removesuffix(".weight")
        if path not in by_path:
            stored[name], exact[name] = values, values.astype(mx.float32)
            continue
        tensors, exact[name] = pack_mlx(path, values, by_path[path])
        stored |= tensors
        entry = quantisation_entry(by_path[path], default)
        if entry is not None and case != "mlx_derived":
            quantization[path] = entry
    config |= {"quantization": quantization, "quantization_config": quantization}
    weights = {n: common.from_mlx(w) for n, w in exact.items()}
    directory = common.fresh(OUT / case)
    stored = {n: common.from_mlx(t) for n, t in stored.items()}
    common.save(directory / "model.safetensors", stored, {"format": "mlx"})
    common.save_json(directory / "config.json", config)
    plain = {k: v for k, v in config.items() if not k.startswith("quantization")}
    finish(directory, plain, weights, seed)
    if case != "mlx_derived":  # mlx-lm believes config.json alone
        compare_with_mlx_lm(directory)


def compare_with_mlx_lm(directory):
    """mlx-lm itself loads the checkpoint and, with f32 activations, gives the same logits."""
    from mlx_lm.utils import load_model

    model, _ = load_model(directory)
    model.set_dtype(mx.float32)
    golden = mx.load(str(directory / "golden.safetensors"))
    for i in range(2):
        out = model(golden[f"tokens.{i}"][None])[0]
        error = mx.abs(out - golden[f"logits.{i}"]).max().item()
        assert error < 1e-3, f"{directory.name}: mlx-lm differs by {error}"
        print(f"    mlx-lm agrees within {error:.1e}")


GGUF = {
    "gguf_a": {"embed": "Q8_0", "q_proj": "Q4_K", "k_proj": "F16", "v_proj": "Q4_1", "o_proj": "Q5_0",
               "gate_proj": "Q2_K", "up_proj": "Q3_K", "down_proj": "Q6_K", "head": "Q4_0"},
    "gguf_b": {"embed": "BF16", "q_proj": "IQ4_XS", "k_proj": "Q5_1", "v_proj": "Q6_K", "o_proj": "IQ4_NL",
               "gate_proj": "Q5_K", "up_proj": "Q2_K", "down_proj": "Q4_1"},
    "gguf_mxfp4": dict.fromkeys(("embed", "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj",
                                 "down_proj", "head"), "MXFP4"),
}  # fmt: skip


def make_gguf(case: str, seed: int):
    kinds = {full_name(short) + ".weight": kind for short, kind in GGUF[case].items()}
    config = llama(
        hidden_size=256,
        intermediate_size=256,
        num_key_value_heads=1 if case == "gguf_a" else 2,
        tie_word_embeddings="head" not in GGUF[case],
    )
    parsed = gguf_files.parse(config)
    shapes = {n: tuple(w.shape) for n, w in reference.random_weights(config, seed, {}).items()}
    stored, weights = {}, {}
    for name, shape in shapes.items():
        rng = seeded(seed, case + name)
        values = reference.spread(name, shape, rng, {}).astype(np.float32)
        kind = kinds.get(name, "F32")
        if kind == "F32":
            stored[name], exact = (kind, values), values
        else:
            if kind in blocks.ENCODABLE:
                data = blocks.encode(kind, values)
            else:
                data = blocks.random_blocks(rng, kind, *shape, float(values.std()))
            if kind == "F16":
                data = data.view(np.float16)  # the type gguf-py expects for it
            stored[name], exact = (kind, data), blocks.decode(kind, data)
        # The file's rows are the reordered ones; transformers wants the original order.
        heads = gguf_files.paired_heads(parsed, name)
        weights[name] = torch.from_numpy(gguf_files.unpair_rows(exact, heads) if heads else exact)
    directory = common.fresh(OUT / case)
    gguf_files.write(directory / "model.gguf", config, stored)
    finish(directory, config, weights, seed)


def finish(directory, config, weights, seed):
    sequences = reference.tokens(config["vocab_size"], seed)
    golden, error = reference.golden(config, weights, sequences)
    common.save(directory / "golden.safetensors", golden)
    spread = float(golden["logits.1"].std())
    size = common.check_size(directory)
    print(f"packings/{directory.name}: {size} bytes, spread {spread:.2f}, f32 error {error:.1e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", help="which to make (default: all)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for case in arguments.cases or (*MLX, *GGUF):
        (make_mlx if case in MLX else make_gguf)(case, arguments.seed)


if __name__ == "__main__":
    main()
