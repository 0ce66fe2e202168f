"""Run transformers in f32 on a tiny checkpoint, and make such checkpoints at random."""

import functools
import json
import pathlib
import tempfile
import zlib

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging

import common

logging.disable_progress_bar()
logging.set_verbosity_error()
# Nothing here runs on a GPU, and a build of torch that could, with stubs for its libraries, dies of the question.
torch.cuda.is_current_stream_capturing = lambda: False

SHORT, LONG = 7, 48  # tokens of the two sequences of every golden
RECURRENT = 200  # tokens of the longer where layers are recurrent: three chunks of 64 and a rest


def tokens(vocabulary: int, seed: int, long: int = LONG) -> list[list[int]]:
    """Two sequences of token ids; the longer passes every window and original context used here."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, vocabulary, n).tolist() for n in (SHORT, long)]


def spread(name: str, shape, rng: np.random.Generator, rules: dict) -> np.ndarray:
    """Random values for one parameter, wide enough that each part of the model shows in the logits.

    Scores between queries and keys get a spread of about 2.5, so attention is far from uniform.
    `rules` may override `embed` and `head` (spread of both ends), `norm` (centre of norm weights) and `sharp`
    (what norms of queries and keys have more).
    """
    if name.endswith((".bias", "_proj_bias")):
        return rng.normal(0, 0.3, shape)
    if rules.get("ssm") and (values := state_space(name, shape, rng)) is not None:
        return values
    if name.endswith("A_log"):
        return rng.normal(-0.5, 0.7, shape)
    if name.endswith("dt_bias"):
        return rng.normal(0, 0.5, shape)
    if name.endswith("sinks"):
        return rng.normal(1, 1, shape)
    if "linear_attn.norm" in name:  # plain, where the others are centred on zero
        return rng.normal(1.0, 0.25, shape)
    if "conv1d" in name:
        return rng.normal(0, 0.6, shape)
    if "q_norm" in name or "k_norm" in name:
        return rng.normal(rules.get("norm", 1.0) + rules.get("sharp", 0.5), 0.25, shape)
    if "norm" in name:
        return rng.normal(rules.get("norm", 1.0), 0.25, shape)
    if "embed" in name:
        return rng.normal(0, rules.get("embed", 0.5), shape)
    if "lm_head" in name:
        return rng.normal(0, rules.get("head", 0.4), shape)
    fan_in = shape[-1] ** -0.5
    if name.endswith((".gate.weight", ".router.weight")):  # routes are far from ties, and from one expert
        return rng.normal(0, 2.0 * fan_in, shape)
    if "q_proj" in name or "k_proj" in name or "qkv_proj" in name:
        return rng.normal(0, 1.6 * fan_in, shape)
    return rng.normal(0, 1.1 * fan_in, shape)


def state_space(name: str, shape, rng: np.random.Generator) -> np.ndarray | None:
    """Values of Mamba-2 as it is trained: rates from 1 to 16, steps from a hundredth to a third, so that heads
    remember from one token to hundreds."""
    if name.endswith("A_log"):
        return np.log(rng.uniform(1, 16, shape))
    if name.endswith("dt_bias"):
        step = np.exp(rng.uniform(np.log(0.01), np.log(0.3), shape))
        return step + np.log(-np.expm1(-step))
    return rng.normal(1, 0.3, shape) if name.endswith(".D") else None


def load(config: dict, weights: dict[str, torch.Tensor], dtype=torch.float32):
    """The transformers model of this config.json, holding exactly these weights."""
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        common.save_json(scratch / "config.json", config)
        common.save(scratch / "model.safetensors", weights, {"format": "pt"})
        model, info = AutoModelForCausalLM.from_pretrained(
            scratch,
            dtype=dtype,
            attn_implementation="eager",
            experts_implementation="eager",
            output_loading_info=True,
        )
    problems = {k: v for k, v in info.items() if v}
    assert not problems, problems
    return model.eval()


def random_weights(config: dict, seed: int, rules: dict) -> dict[str, torch.Tensor]:
    """bf16 weights for this config, under the names transformers saves them with (with the rule `fused`, under
    those it computes with: some published files have stacks of experts)."""
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        common.save_json(scratch / "config.json", config)
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(scratch))
        if rules.get("fused"):
            shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
        else:
            model.save_pretrained(scratch)
            saved = load_file(scratch / "model.safetensors")
            shapes = {name: tuple(tensor.shape) for name, tensor in saved.items()}
    weights = {}
    for name, shape in shapes.items():
        # A stream per tensor, so that adding a tensor leaves the others as they were.
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        values = spread(name, shape, rng, rules)
        if rules.get("fold") and len(shape) == 1 and "norm" in name and "linear_attn" not in name:
            # one added to it, as mlx and GGUF do, is exact in bf16
            values = np.clip(np.round(values * 128) / 128, -0.99, 0.99)
        weights[name] = torch.from_numpy(values.astype(np.float32)).to(torch.bfloat16)
    return weights


@torch.no_grad()
def logits(model, sequences: list[list[int]]) -> list[torch.Tensor]:
    """Logits [n, vocabulary] of each sequence, each in a forward pass of its own."""
    out = []
    for ids in sequences:
        # Of this class transformers asks for the factors of no length, which are the short ones; the code published
        # with the model has the long ones for long sequences.
        for module in model.modules():
            if type(module).__name__ == "PhimoeRotaryEmbedding":
                function = getattr(module.rope_init_fn, "func", module.rope_init_fn)
                module.rope_init_fn = functools.partial(function, seq_len=len(ids))
        out.append(model(torch.tensor([ids]), use_cache=False).logits[0])
    return out


def golden(config: dict, weights: dict[str, torch.Tensor], sequences):
    """tokens.N and logits.N, and how far f32 rounding moves the logits (checked to be very little)."""
    as_f32 = {k: v.float() for k, v in weights.items()}
    out = logits(load(config, as_f32), sequences)
    exact = logits(load(config, as_f32, torch.float64), sequences)
    error = max(float((a - b).abs().max()) for a, b in zip(out, exact))
    assert all(torch.isfinite(rows).all() and rows.std() > 1.0 for rows in out), "logits too flat"
    assert error < 1e-4, error
    tensors = {}
    for i, (ids, rows) in enumerate(zip(sequences, out)):
        tensors[f"tokens.{i}"] = torch.tensor(ids, dtype=torch.int32)
        tensors[f"logits.{i}"] = rows.float().clone()
    return tensors, error


def transformers5_json(config: dict) -> dict:
    """The same config as transformers 5 would save it (`rope_parameters` and no `rope_theta`)."""
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        common.save_json(scratch / "config.json", config)
        AutoConfig.from_pretrained(scratch).save_pretrained(scratch)
        return json.loads((scratch / "config.json").read_text())
