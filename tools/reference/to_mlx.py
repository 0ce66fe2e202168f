"""Makes mlx checkpoints out of a llama GGUF file with Q4_1 and Q8_0 tensors.

    python to_mlx.py MODEL.gguf OUT

writes OUT/<stem>-4bit and OUT/<stem>-8bit, quantised from the dequantised weights by
mlx_lm.convert in groups of 64, and OUT/<stem>-codes, which keeps the integer codes of
the GGUF file and so holds exactly its weights:

    Q4_1 (d, m, 32 codes)   4 bits, groups of 32: scale = d, bias = m
    Q8_0 (d, 32 codes)      8 bits, groups of 32: codes + 128, scale = d, bias = -128 d

All scales stay f16 (-128 d is exact: only the exponent changes). The program checks
that every tensor of the last dequantises to what gguf-py makes of the GGUF file.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Kind
from safetensors.numpy import save_file

from ggufread import Gguf
from vocab import tokenizer_json

BLOCK = 32


def codes_q4_1(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(codes u8 [rows, width], scales f16, biases f16) of Q4_1 rows."""
    blocks = raw.reshape(raw.shape[0], -1, 20)
    d = blocks[..., 0:2].copy().view(np.float16)[..., 0]
    m = blocks[..., 2:4].copy().view(np.float16)[..., 0]
    packed = blocks[..., 4:]
    codes = np.concatenate([packed & 15, packed >> 4], axis=-1)
    return codes.reshape(raw.shape[0], -1), d, m


def codes_q8_0(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    blocks = raw.reshape(raw.shape[0], -1, 34)
    d = blocks[..., 0:2].copy().view(np.float16)[..., 0]
    codes = (blocks[..., 2:].copy().view(np.int8).astype(np.int16) + 128).astype(np.uint8)
    bias = (d.astype(np.float32) * -128).astype(np.float16)
    assert np.array_equal(bias.astype(np.float32), d.astype(np.float32) * -128), "-128 d is no f16"
    return codes.reshape(raw.shape[0], -1), d, bias


def pack(codes: np.ndarray, bits: int) -> np.ndarray:
    """Codes as mlx packs them: u32 words, the first code in the lowest bits."""
    per = 32 // bits
    grouped = codes.reshape(codes.shape[0], -1, per).astype(np.uint32)
    shifts = np.arange(per, dtype=np.uint32) * bits
    return np.bitwise_or.reduce(grouped << shifts, axis=-1)


def write_tokenizer(g: Gguf, directory: Path) -> None:
    tokens = g.get("tokenizer.ggml.tokens")
    doc = tokenizer_json(g)
    (directory / "tokenizer.json").write_text(json.dumps(doc, ensure_ascii=False))
    name = lambda key: tokens[g.get(f"tokenizer.ggml.{key}_token_id")]
    config = {
        "added_tokens_decoder": {str(a["id"]): {k: v for k, v in a.items() if k != "id"} for a in doc["added_tokens"]},
        "add_prefix_space": False,
        "bos_token": name("bos"),
        "eos_token": name("eos"),
        "unk_token": name("unknown"),
        "pad_token": name("padding"),
        "chat_template": g.get("tokenizer.chat_template"),
        "clean_up_tokenization_spaces": False,
        "model_max_length": g.get("{arch}.context_length"),
        # Under its official class, GPT2Tokenizer, transformers 5 rebuilds the tokenizer and
        # silently drops the splitting of digits; this class takes tokenizer.json as it is.
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(config, ensure_ascii=False, indent=1) + "\n")


def write_config(g: Gguf, directory: Path, extra: dict) -> None:
    (directory / "config.json").write_text(json.dumps(g.hf_config() | extra, indent=1) + "\n")


def plain(g: Gguf, directory: Path) -> None:
    """An f32 Hugging Face checkpoint for mlx_lm.convert to read."""
    write_config(g, directory, {"torch_dtype": "float32"})
    write_tokenizer(g, directory)
    save_file(g.dequantised(), directory / "model.safetensors", metadata={"format": "pt"})


def keep_codes(g: Gguf, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    out, overrides = {}, {}
    for name, t, order in g.tensors():
        if t.tensor_type == Kind.F32:
            out[name] = np.array(t.data, dtype=np.float32)
            continue
        four = t.tensor_type == Kind.Q4_1
        assert four or t.tensor_type == Kind.Q8_0, (name, t.tensor_type)
        rows = int(t.shape[1])
        codes, scales, biases = (codes_q4_1 if four else codes_q8_0)(np.array(t.data).reshape(rows, -1))
        if order is not None:
            codes, scales, biases = codes[order], scales[order], biases[order]
        stem = name.removesuffix(".weight")
        out[name] = pack(codes, 4 if four else 8)
        out[f"{stem}.scales"] = np.ascontiguousarray(scales)
        out[f"{stem}.biases"] = np.ascontiguousarray(biases)
        if not four:
            overrides[stem] = {"group_size": BLOCK, "bits": 8, "mode": "affine"}
    quant = {"group_size": BLOCK, "bits": 4, "mode": "affine"} | overrides
    write_config(g, directory, {"quantization": quant, "quantization_config": quant})
    write_tokenizer(g, directory)
    save_file(out, directory / "model.safetensors", metadata={"format": "mlx"})


def check_codes(g: Gguf, directory: Path) -> None:
    from weights import mlx_tensors

    made = mlx_tensors(directory)
    want = g.dequantised()
    assert made.keys() == want.keys(), made.keys() ^ want.keys()
    for name, w in want.items():
        assert np.array_equal(made[name].numpy(), w), f"{name} differs"
    print(f"{directory.name}: all {len(want)} tensors equal the GGUF file's, bit for bit")


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("gguf")
    p.add_argument("out")
    args = p.parse_args()
    g = Gguf(args.gguf)
    out, stem = Path(args.out), Path(args.gguf).stem
    out.mkdir(parents=True, exist_ok=True)

    keep_codes(g, out / f"{stem}-codes")
    check_codes(g, out / f"{stem}-codes")

    from mlx_lm import convert

    with tempfile.TemporaryDirectory() as tmp:
        source = Path(tmp)
        plain(g, source)
        for bits, dtype in ((4, "bfloat16"), (8, "float16")):
            target = out / f"{stem}-{bits}bit"
            shutil.rmtree(target, ignore_errors=True)
            convert(str(source), str(target), quantize=True, q_group_size=64, q_bits=bits, dtype=dtype)
            written = json.loads((target / "tokenizer.json").read_text())
            ours = json.loads((source / "tokenizer.json").read_text())
            for key in ("normalizer", "pre_tokenizer", "added_tokens"):
                assert written[key] == ours[key], f"mlx_lm.convert changed the tokenizer's {key}"
            print(f"{target.name}: written")


if __name__ == "__main__":
    main()
