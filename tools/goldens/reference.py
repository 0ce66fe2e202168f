"""Run transformers in f32 on a tiny checkpoint, and make such checkpoints at random."""

import json
import pathlib
import tempfile
import zlib

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging

import common

logging.disable_progress_bar()
logging.set_verbosity_error()

SHORT, LONG = 7, 48  # tokens of the two sequences of every golden


def tokens(vocabulary: int, seed: int) -> list[list[int]]:
    """Two sequences of token ids; the longer passes every window and original context used here."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, vocabulary, n).tolist() for n in (SHORT, LONG)]


def spread(name: str, shape, rng: np.random.Generator, rules: dict) -> np.ndarray:
    """Random values for one parameter, wide enough that each part of the model shows in the logits.

    Scores between queries and keys get a spread of about 2.5, so attention is far from uniform.
    `rules` may override `embed` (spread of the embedding) and `norm` (centre of norm weights).
    """
    if name.endswith(".bias"):
        return rng.normal(0, 0.3, shape)
    if "q_norm" in name or "k_norm" in name:
        return rng.normal(rules.get("norm", 1.0) + 0.5, 0.25, shape)
    if "norm" in name:
        return rng.normal(rules.get("norm", 1.0), 0.25, shape)
    if "embed_tokens" in name:
        return rng.normal(0, rules.get("embed", 0.5), shape)
    if "lm_head" in name:
        return rng.normal(0, 0.4, shape)
    fan_in = shape[1] ** -0.5
    if "q_proj" in name or "k_proj" in name or "qkv_proj" in name:
        return rng.normal(0, 1.6 * fan_in, shape)
    return rng.normal(0, 1.1 * fan_in, shape)


def load(config: dict, weights: dict[str, torch.Tensor], dtype=torch.float32):
    """The transformers model of this config.json, holding exactly these weights."""
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        common.save_json(scratch / "config.json", config)
        common.save(scratch / "model.safetensors", weights, {"format": "pt"})
        model, info = AutoModelForCausalLM.from_pretrained(
            scratch, dtype=dtype, attn_implementation="eager", output_loading_info=True
        )
    problems = {k: v for k, v in info.items() if v}
    assert not problems, problems
    return model.eval()


def random_weights(config: dict, seed: int, rules: dict) -> dict[str, torch.Tensor]:
    """bf16 weights for this config, under the names transformers saves them with."""
    with tempfile.TemporaryDirectory() as scratch:
        common.save_json(pathlib.Path(scratch) / "config.json", config)
        parsed = AutoConfig.from_pretrained(scratch)
    model = AutoModelForCausalLM.from_config(parsed)
    weights = {}
    for name, parameter in model.named_parameters():
        # A stream per tensor, so that adding a tensor leaves the others as they were.
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        values = spread(name, tuple(parameter.shape), rng, rules)
        weights[name] = torch.from_numpy(values.astype(np.float32)).to(torch.bfloat16)
    return weights


@torch.no_grad()
def logits(model, sequences: list[list[int]]) -> list[torch.Tensor]:
    """Logits [n, vocabulary] of each sequence, each in a forward pass of its own."""
    return [model(torch.tensor([ids]), use_cache=False).logits[0] for ids in sequences]


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
