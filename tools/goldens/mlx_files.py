"""Tiny checkpoints of the hybrid families as mlx-lm converts and quantises them, and the f32 logits of the weights
their packed bits stand for.

    <family>_mlx/default/   config.json, model.safetensors, golden.safetensors as in families.py

mlx-lm renames, splits, stacks and moves axes on the way, and multiplies Falcon-H1's weights by their factors; all of
it is undone here, so that transformers can run what is left. `python mlx_files.py` makes all, or those named.
"""

import argparse
import importlib

import mlx.core as mx
import mlx.nn as nn
import torch
from mlx.utils import tree_flatten

import common
import hybrids
import reference
from mlx_forms import compare

GROUP, BITS = 32, 4
NUMBERED = {"w1": "gate_proj", "w3": "up_proj", "w2": "down_proj"}
WIDE = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}
FALCON = WIDE | {"mamba_d_ssm": 96, "mamba_d_head": 16, "intermediate_size": 64}
CASES = {
    "mamba2": hybrids.mamba2(hidden_size=64, num_heads=4, head_dim=32, time_step_rank="auto")
    | {"intermediate_size": 128},
    "falcon_h1": hybrids.falcon_h1(**FALCON),
    "falcon_h1_tied": hybrids.falcon_h1(**FALCON, **hybrids.TIED, num_hidden_layers=1),
    "lfm2": hybrids.lfm2(
        **WIDE, layer_types=["conv", "full_attention", "conv"], intermediate_size=96, block_dim=64
    ),
    "lfm2_moe": hybrids.lfm2_moe(
        **WIDE, layer_types=["conv", "full_attention", "conv"], num_hidden_layers=3, full_attn_idxs=[1],
        intermediate_size=32, moe_intermediate_size=32,
    ),
    "granitemoehybrid": hybrids.granitemoehybrid(
        **WIDE, intermediate_size=32, shared_intermediate_size=32, mamba_n_heads=4, mamba_d_head=32,
        attention_bias=False,
    ),
    "granitemoehybrid_dense": hybrids.granitemoehybrid(
        **WIDE, num_local_experts=0, num_experts_per_tok=0, intermediate_size=64, shared_intermediate_size=64, mamba_n_heads=4,
        mamba_d_head=32, attention_bias=False, tie_word_embeddings=True,
    ),
    "granite": hybrids.granite(**WIDE, attention_bias=False, mlp_bias=False),
    "granitemoe": hybrids.granitemoe(**WIDE, intermediate_size=32, attention_bias=False),
    "nemotron_h": hybrids.nemotron_h(
        "ME*-M", **WIDE, intermediate_size=64, mamba_head_dim=16, moe_intermediate_size=32,
        moe_shared_expert_intermediate_size=32, attention_bias=False, mamba_proj_bias=False,
    ),
}  # fmt: skip


def model_of(config: dict):
    module = importlib.import_module(f"mlx_lm.models.{config['model_type']}")
    return module.Model(module.ModelArgs.from_dict(config))


def converted(config: dict, weights: dict[str, torch.Tensor]) -> dict[str, mx.array]:
    """What mlx-lm makes of a checkpoint's tensors."""
    arrays = {name: mx.array(values.float().numpy()).astype(mx.bfloat16) for name, values in weights.items()}
    return model_of(config).sanitize(arrays)


def quantised(config: dict, tensors: dict[str, mx.array]) -> dict[str, mx.array]:
    """The same with every matrix packed whose rows are whole groups."""
    model = model_of(config)
    model.load_weights(list(tensors.items()))
    fits = lambda _, module: hasattr(module, "to_quantized") and module.weight.shape[-1] % GROUP == 0  # noqa: E731
    nn.quantize(model, GROUP, BITS, class_predicate=fits)
    return dict(tree_flatten(model.parameters()))


def exact(stored: dict[str, mx.array]) -> dict[str, torch.Tensor]:
    """The f32 values that packed tensors stand for, by the names of the unpacked ones."""
    out = {}
    for name, values in stored.items():
        module = name.removesuffix(".weight")
        if name.endswith((".scales", ".biases")):
            continue
        if f"{module}.scales" in stored:
            scales, biases = (stored[f"{module}.{part}"].astype(mx.float32) for part in ("scales", "biases"))
            values = mx.dequantize(values, scales, biases, GROUP, BITS)
        out[name] = common.from_mlx(values.astype(mx.float32))
    return out


def original(name: str, shape, values: dict[str, torch.Tensor]) -> torch.Tensor:
    """One of the original tensors, from those mlx-lm made of it."""
    block, projection = name.removesuffix(".weight").rpartition(".")[::2]
    layer = block.rpartition(".")[0]
    if name in values:
        found = values[name]
        return found.movedim(1, 2) if found.dim() == 3 else found
    if projection in ("input_linear", "output_linear"):
        place = f"{block}.switch_mlp" if "sparse" in block else f"{layer}.mlp"
        parts = ["down_proj"] if projection == "output_linear" else ["gate_proj", "up_proj"]
        return torch.cat([values[f"{place}.{part}.weight"] for part in parts], dim=-2)
    if projection in NUMBERED and ".experts." not in name:
        return values[f"{block}.{NUMBERED[projection]}.weight"]
    experts, index = block.rpartition(".")[::2]
    mixer = experts.removesuffix(".experts")
    renamed = NUMBERED.get(projection) or {"up_proj": "fc1", "down_proj": "fc2"}[projection]
    return values[f"{mixer}.switch_mlp.{renamed}.weight"][int(index)]


def make(family: str, seed: int):
    config = CASES[family]
    weights = reference.random_weights(config, seed, hybrids.RULES)
    stored = quantised(config, converted(config, weights))
    # What ones become is what weights are multiplied by.
    ones = {name: torch.ones_like(tensor) for name, tensor in weights.items()}
    factors = {name: common.from_mlx(f.astype(mx.float32)) for name, f in converted(config, ones).items()}
    values = {name: tensor / factors[name] for name, tensor in exact(stored).items()}
    plain = {name: original(name, tensor.shape, values).contiguous() for name, tensor in weights.items()}
    assert all(plain[name].shape == tensor.shape for name, tensor in weights.items())
    directory = common.fresh(common.MODEL_FIXTURES / f"{family}_mlx") / "default"
    sequences = reference.tokens(config["vocab_size"], seed, reference.RECURRENT)
    golden, error = reference.golden(config, plain, sequences)
    told = config | {"quantization": {"group_size": GROUP, "bits": BITS, "mode": "affine"}}
    common.save_json(directory / "config.json", told)
    common.save(directory / "golden.safetensors", golden)
    tensors = {name: common.from_mlx(values) for name, values in stored.items()}
    common.save(directory / "model.safetensors", tensors, {"format": "mlx"})
    print(f"{family}_mlx: f32 error {error:.1e}, {common.check_size(directory.parent)} bytes")
    compare(directory)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("families", nargs="*", help="which to make (default: all)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for family in arguments.families or CASES:
        make(family, arguments.seed)


if __name__ == "__main__":
    main()
