"""The mixtures and hybrids as mlx stores them, and gpt-oss as published, with logits from transformers.

    <family>_mlx/default   experts stacked, kernels' axes moved, norms' ones added, matrices quantised: all
                           by mlx-lm's own `sanitize`, and checked by running mlx-lm on the files
    gpt_oss/<case>         experts in blocks of mxfp4, rows of gate and up taking turns
    gpt_oss_dense/default  experts in plain floats, as transformers computes with them: a row an input, columns of gate
                           and up taking turns; hidden width and experts' are the same, as in the published models
    gpt_oss_mlx/default    the same bytes as mlx-lm rearranges them

Weights are quantised first and rearranged then, so that the reference can compute with what the codes stand
for, under the original names.

`python mlx_forms.py` makes all; names of directories as arguments make only those.
"""

import argparse

import mlx.core as mx
import torch
from mlx_lm.utils import _get_classes, load_model

import common
import reference
from configs import V5, base, without
from families import FAMILIES, resolve

# mlx-lm ignores the windows of two families; rows of one are no whole groups otherwise.
CHANGES = {
    "mistral": {"sliding_window": None},
    "gemma2": {"sliding_window": 256},
    "phimoe": {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 32},
}
EXPERTS, ROUTERS = (4, 32), (8, 64)  # bits and group of most matrices, and of routers and gates


def to_mlx(tensor: torch.Tensor) -> mx.array:
    if tensor.dtype == torch.bfloat16:
        return mx.array(tensor.view(torch.int16).numpy()).view(mx.bfloat16)
    return mx.array(tensor.numpy())


def recipe(name: str, shape) -> tuple[int, int] | None:
    """Bits and group of a tensor; None where it stays as it is."""
    if len(shape) < 2 or "conv1d" in name or not (name.endswith(".weight") or ".experts." in name):
        return None
    bits, group = ROUTERS if name.endswith(("mlp.gate.weight", "_gate.weight")) else EXPERTS
    return (bits, group) if shape[-1] % group == 0 else None


def quantised(weights: dict[str, torch.Tensor]):
    """Codes (and what is not packed), scales and biases by original name, and the f32 weights they are."""
    codes, scales, biases, exact = {}, {}, {}, {}
    for name, tensor in weights.items():
        values = to_mlx(tensor)
        if (packing := recipe(name, values.shape)) is None:
            codes[name], exact[name] = values, tensor.float()
            continue
        bits, group = packing
        codes[name], scales[name], biases[name] = mx.quantize(values, group, bits)
        as_f32 = [x[name].astype(mx.float32) for x in (scales, biases)]
        exact[name] = common.from_mlx(mx.dequantize(codes[name], *as_f32, group, bits))
    return codes, scales, biases, exact


def sanitised(config: dict, parts: list[dict[str, mx.array]]) -> dict[str, mx.array]:
    """Codes, scales and biases as mlx-lm rearranges weights."""
    model_class, args_class = _get_classes(config)
    codes, *companions = parts

    def sanitize(weights):
        model = model_class(args_class.from_dict(config))  # some can do it but once, some leave all as it is
        return model.sanitize(weights) if hasattr(model, "sanitize") else weights

    out = dict(sanitize(dict(codes)))
    for kind, companion in zip((".scales", ".biases"), companions):
        # Where a companion is missing its codes fill the place: stacks must be whole.
        whole = sanitize({name: companion.get(name, codes[name]) for name in codes})
        plain = sanitize(dict(codes))
        for name, tensor in whole.items():
            if tensor.shape != plain[name].shape or tensor.dtype != plain[name].dtype:
                out[name.removesuffix(".weight") + kind] = tensor
    return out


def nested(config: dict) -> dict:
    """A text model's configuration inside a multimodal one's, as Qwen3.5's are published."""
    kind = config["model_type"].removesuffix("_text")
    architecture = config["architectures"][0].replace("CausalLM", "ConditionalGeneration")
    return {"architectures": [architecture], "model_type": kind, "text_config": config}


def write_mlx(directory, config: dict, parts):
    stored = sanitised(config, parts)
    quantization = {"group_size": EXPERTS[1], "bits": EXPERTS[0]}
    for name, tensor in stored.items():
        path = name.removesuffix(".scales")
        if path != name and path.endswith(("mlp.gate", "shared_expert_gate")):
            quantization[path] = {"group_size": ROUTERS[1], "bits": ROUTERS[0]}
    config = config | {"quantization": quantization, "quantization_config": quantization}
    tensors = {name: common.from_mlx(tensor) for name, tensor in stored.items()}
    common.save(directory / "model.safetensors", tensors, {"format": "mlx"})
    common.save_json(directory / "config.json", config)


def make_mlx(family: str, seed: int):
    rules, cases = FAMILIES[family]
    config = resolve(next(iter(cases.values()))) | CHANGES.get(family, {})
    if family.startswith("qwen3_5"):
        # The only spelling of the rotation that mlx-lm reads here, and the only one of the pattern.
        interval = {"full_attention_interval": config["full_attention_interval"]}
        config = reference.transformers5_json(config) | interval
    codes, scales, biases, exact = quantised(reference.random_weights(config, seed, rules))
    directory = common.fresh(common.MODEL_FIXTURES / f"{family}_mlx") / "default"
    published = nested(config) if family.startswith("qwen3_5") else config
    write_mlx(directory, published, [codes, scales, biases])
    finish(directory, config, exact, rules, seed)
    compare(directory)


def gpt_oss(**more) -> dict:
    values = {
        "num_attention_heads": 3,
        "num_key_value_heads": 1,
        "head_dim": 24,
        "intermediate_size": 32,
        "num_local_experts": 5,
        "num_experts_per_tok": 2,
        "experts_per_token": 2,
        "attention_bias": True,
        "sliding_window": 8,
        "layer_types": ["sliding_attention", "full_attention"],
        "swiglu_limit": 1.5,  # low enough to clip a good part
        "initial_context_length": 32,
        "rope_theta": 150000.0,
        "rope_scaling": {
            "rope_type": "yarn",
            "factor": 8.0,
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "truncate": False,
            "original_max_position_embeddings": 32,
        },
    }
    return base("gpt_oss", "GptOssForCausalLM", **(values | more))


GPT_OSS = {
    "default": gpt_oss(),
    "published": gpt_oss(swiglu_limit=7.0),  # which GGUF files do not say
    "swapped_v5": V5(gpt_oss(layer_types=["full_attention", "sliding_attention"], num_experts_per_tok=3)),
}
MXFP4 = {"modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"], "quant_method": "mxfp4"}


def gpt_oss_weights(seed: int):
    """The published form, and the weights it stands for."""
    weights = reference.random_weights(GPT_OSS["default"], seed, {})
    stored, exact = {}, {}
    for name, tensor in weights.items():
        if not name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            stored[name], exact[name] = tensor, tensor.float()
            continue
        # transformers multiplies from the right, files hold an output a row
        rows = to_mlx(tensor.transpose(1, 2).contiguous())
        words, scales = mx.quantize(rows, 32, 4, "mxfp4")
        blocks = common.from_mlx(words.view(mx.uint8))
        stored[f"{name}_blocks"] = blocks.reshape(*scales.shape, 16)
        stored[f"{name}_scales"] = common.from_mlx(scales)
        values = mx.dequantize(words, scales, None, 32, 4, "mxfp4", dtype=mx.float32)
        exact[name] = common.from_mlx(values).transpose(1, 2).contiguous()
    return stored, exact


def make_gpt_oss(_: str, seed: int):
    stored, exact = gpt_oss_weights(seed)
    directory = common.fresh(common.MODEL_FIXTURES / "gpt_oss")
    common.save(directory / "model.safetensors", stored, {"format": "pt"})
    for case, config in GPT_OSS.items():
        config = resolve(config)
        common.save_json(directory / case / "config.json", config | {"quantization_config": MXFP4})
        finish(directory / case, config, exact, {}, seed)


def make_gpt_oss_dense(_: str, seed: int):
    config = gpt_oss(intermediate_size=64, num_local_experts=3)
    weights = reference.random_weights(config, seed, {})
    directory = common.fresh(common.MODEL_FIXTURES / "gpt_oss_dense") / "default"
    common.save(directory.parent / "model.safetensors", weights, {"format": "pt"})
    common.save_json(directory / "config.json", config)
    finish(directory, config, {name: tensor.float() for name, tensor in weights.items()}, {}, seed)


def make_gpt_oss_mlx(_: str, seed: int):
    stored, exact = gpt_oss_weights(seed)
    # mlx-lm knows no other limit, and ignores `truncate`.
    rope = GPT_OSS["default"]["rope_scaling"] | {"truncate": True}
    config = gpt_oss(swiglu_limit=7.0, rope_scaling=rope)
    model_class, args_class = _get_classes(config)
    tensors = model_class(args_class.from_dict(config)).sanitize({n: to_mlx(t) for n, t in stored.items()})
    directory = common.fresh(common.MODEL_FIXTURES / "gpt_oss_mlx") / "default"
    tensors = {name: common.from_mlx(tensor) for name, tensor in tensors.items()}
    common.save(directory / "model.safetensors", tensors, {"format": "mlx"})
    quantization = {"group_size": 32, "bits": 4, "mode": "mxfp4"}
    common.save_json(directory / "config.json", config | {"quantization": quantization, "quantization_config": MXFP4})
    finish(directory, config, exact, {}, seed)
    compare(directory)


def finish(directory, config: dict, weights, rules: dict, seed: int):
    sequences = reference.tokens(config["vocab_size"], seed, rules.get("long", reference.LONG))
    golden, error = reference.golden(without(config, "quantization_config"), weights, sequences)
    common.save(directory / "golden.safetensors", golden)
    size = common.check_size(directory.parent)
    spread = float(golden["logits.1"].std())
    print(f"{directory.parent.name}/{directory.name}: {size} bytes, spread {spread:.2f}, f32 error {error:.1e}")


def compare(directory):
    """mlx-lm itself loads the checkpoint and, with f32 activations, gives the same logits."""
    model, _ = load_model(directory)
    model.set_dtype(mx.float32)
    golden = mx.load(str(directory / "golden.safetensors"))
    for i in range(2):
        out = model(golden[f"tokens.{i}"][None])[0]
        error = mx.abs(out - golden[f"logits.{i}"]).max().item()
        print(f"    mlx-lm agrees within {error:.1e}")
        assert error < 2e-3, error


MIXTURES = ("qwen3_moe", "mixtral", "phimoe", "qwen3_next", "qwen3_5", "qwen3_5_moe")
DENSE = ("llama_untied", "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "phi3", "olmo2")
MAKERS = {f"{family}_mlx": make_mlx for family in MIXTURES + DENSE}
MAKERS |= {"gpt_oss": make_gpt_oss, "gpt_oss_dense": make_gpt_oss_dense, "gpt_oss_mlx": make_gpt_oss_mlx}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directories", nargs="*", help="which to make (default: all)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for directory in arguments.directories or MAKERS:
        MAKERS[directory](directory.removesuffix("_mlx"), arguments.seed)


if __name__ == "__main__":
    main()
