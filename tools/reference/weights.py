"""Loads a checkpoint as a transformers model in f32 on dequantised weights.

A checkpoint is either a GGUF file or the directory of an mlx (or plain Hugging
Face) checkpoint.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from ggufread import Gguf


def mlx_tensors(directory: Path) -> dict[str, torch.Tensor]:
    """Every weight of an mlx checkpoint in f32, quantised ones as mlx dequantises them.

    mlx computes `scale * code + bias` in the type of the scales; they are made f32
    first, so that the result carries no rounding of a narrow type.
    """
    import mlx.core as mx
    import numpy as np

    quant = json.loads((directory / "config.json").read_text()).get("quantization", {})
    raw = {}
    for file in sorted(directory.glob("*.safetensors")):
        raw |= mx.load(str(file))
    out = {}
    for name, w in raw.items():
        stem = name.removesuffix(".weight")
        if name.endswith((".scales", ".biases")):
            continue
        if f"{stem}.scales" in raw:
            own = quant.get(stem, quant)
            scales = raw[f"{stem}.scales"].astype(mx.float32)
            biases = raw[f"{stem}.biases"].astype(mx.float32)
            w = mx.dequantize(w, scales, biases, group_size=own["group_size"], bits=own["bits"])
        out[name] = torch.from_numpy(np.array(w.astype(mx.float32)))
    return out


def load(path: str):
    """(model, config dictionary) for a GGUF file or a checkpoint directory."""
    import transformers

    place = Path(path)
    if place.is_dir():
        config = json.loads((place / "config.json").read_text())
        state = mlx_tensors(place)
    else:
        g = Gguf(path)
        config = g.hf_config()
        state = {k: torch.from_numpy(v) for k, v in g.dequantised().items()}
    if config["tie_word_embeddings"]:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    family = getattr(transformers, config["architectures"][0])
    drop = ("quantization", "quantization_config", "architectures", "rope_theta")
    settings = family.config_class(**{k: v for k, v in config.items() if k not in drop})
    settings._attn_implementation = "eager"
    settings.dtype = torch.float32
    with torch.device("meta"):
        model = family(settings)
    state = {k: v for k, v in state.items() if not k.endswith("inv_freq")}
    missing, unexpected = model.load_state_dict(state, strict=False, assign=True)
    assert not missing and not unexpected, (missing, unexpected)
    # Tables which are no weights (rotation frequencies, gemma's embedding scale) are
    # still on the meta device: take them from a model of the same settings but no size.
    small = dict(vocab_size=8, intermediate_size=8, pad_token_id=None, bos_token_id=None, eos_token_id=None)
    twin_settings = family.config_class(**(settings.to_dict() | small))
    twin = dict(family(twin_settings).named_buffers())
    for name, table in list(model.named_buffers()):
        owner, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(owner), leaf, twin[name].to(torch.float32))
    model.tie_weights()
    assert not any(p.is_meta for p in [*model.parameters(), *model.buffers()])
    return model.eval(), config


def tokenizer(path: str):
    """The reference tokenizer that belongs to a checkpoint."""
    import tokenizers

    from vocab import hf_tokenizer

    if Path(path).is_dir():
        return tokenizers.Tokenizer.from_file(str(Path(path) / "tokenizer.json"))
    return hf_tokenizer(Gguf(path))


def chat_template(path: str) -> str | None:
    if not Path(path).is_dir():
        return Gguf(path).get("tokenizer.chat_template")
    config = json.loads((Path(path) / "tokenizer_config.json").read_text())
    jinja = Path(path) / "chat_template.jinja"
    return config.get("chat_template") or (jinja.read_text() if jinja.exists() else None)


def bos_token(path: str) -> int | None:
    """The token that is put before every text, where the model wants one."""
    if Path(path).is_dir():
        return None  # the llama family of SmolLM2 adds none; no other is converted here
    g = Gguf(path)
    return g.get("tokenizer.ggml.bos_token_id") if g.get("tokenizer.ggml.add_bos_token") else None
