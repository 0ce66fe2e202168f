"""Writes a GGUF file with the shape of a well-known model and random weights.

    python shapes.py {1b,3b} OUT.gguf [--embedding Q6_K] [--seed 1]

Speed depends on the shape and the packing of a model, not on what it has learnt, so a shape that
no package registry has can still be measured. The matrices are Q4_0; the embedding, which is
the output too, is Q6_K as `llama-quantize` makes it beside Q4_0, or Q8_0. Blocks are drawn in their packed form: every code is
equally likely and only the scales are chosen, so that activations stay near one. The same
seed gives the same file. Needs numpy and gguf.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass

import gguf
import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type


@dataclass
class Shape:
    name: str
    layers: int
    width: int
    hidden: int
    heads: int
    kv_heads: int
    head: int
    vocab: int = 128_256
    context: int = 131_072
    rope: float = 500_000.0


SHAPES = {
    "1b": Shape("Llama 3.2 1B shape, random weights", 16, 2048, 8192, 32, 8, 64),
    "3b": Shape("Llama 3.2 3B shape, random weights", 28, 3072, 8192, 24, 8, 128),
}
SPECIAL = ["<|begin_of_text|>", "<|end_of_text|>"]


def matrices(shape: Shape, embedding: str) -> list[tuple[str, str, int, int]]:
    """(name, packing, rows, columns) of every matrix, in file order."""
    keys = shape.kv_heads * shape.head
    out = [("token_embd.weight", embedding, shape.vocab, shape.width)]
    for i in range(shape.layers):
        for name, rows, columns in (
            ("attn_q", shape.heads * shape.head, shape.width),
            ("attn_k", keys, shape.width),
            ("attn_v", keys, shape.width),
            ("attn_output", shape.width, shape.heads * shape.head),
            ("ffn_gate", shape.hidden, shape.width),
            ("ffn_up", shape.hidden, shape.width),
            ("ffn_down", shape.width, shape.hidden),
        ):
            out.append((f"blk.{i}.{name}.weight", "Q4_0", rows, columns))
    return out


def vectors(shape: Shape) -> list[str]:
    norms = [f"blk.{i}.{n}.weight" for i in range(shape.layers) for n in ("attn_norm", "ffn_norm")]
    return [*norms, "output_norm.weight"]


def blocks(rng: np.random.Generator, packing: str, rows: int, columns: int) -> np.ndarray:
    """Bytes [rows, bytes of a row] of random weights, their standard deviation near 1 / sqrt(columns)."""
    weights, size = GGML_QUANT_SIZES[Type[packing]]
    count = rows * columns // weights
    raw = np.frombuffer(rng.bytes(count * size), np.uint8).reshape(count, size).copy()
    if packing == "Q4_0":  # f16 scale, then codes; uniform over -8..7
        scale_at, spread = 0, 4.6
    elif packing == "Q8_0":  # f16 scale, then codes; uniform over -128..127
        scale_at, spread = 0, 74.0
    elif packing == "Q6_K":  # codes over -32..31; 16 int8 scales, drawn here from -32..31; f16 scale
        raw[:, 192:208] = rng.integers(-32, 32, (count, 16), np.int8).view(np.uint8)
        scale_at, spread = 208, 18.5 * 18.5
    else:
        raise ValueError(f"packing {packing}: this script draws Q4_0, Q8_0 and Q6_K")
    # Either sign: codes reach one further down than up, and the mean should be zero.
    signs = rng.choice(np.float32([-1, 1]), count)
    scales = (signs * rng.uniform(0.7, 1.3, count) / (spread * math.sqrt(columns))).astype(np.float16)
    raw[:, scale_at : scale_at + 2] = scales[:, None].view(np.uint8)
    return raw.reshape(rows, -1)


def byte_letters() -> list[str]:
    """The letter that stands for each byte in byte-level BPE: itself if printable, else the next from U+0100."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    unprintable = iter(range(0x100, 0x200))
    return [chr(b) if b in printable else chr(next(unprintable)) for b in range(256)]


def tokenizer(vocab: int) -> tuple[list[str], list[str]]:
    """(tokens, merges): bytes, then pairs of bytes, then a pair and a byte, as many as fit; last the specials.

    Every token but bytes and specials is made by one merge, as in a trained vocabulary of this size, so that
    loading costs what it costs there."""
    letters = byte_letters()
    tokens, merges = list(letters), []
    pairs = [(a, b) for a in letters for b in letters]
    longer = ((a + b, c) for a, b in pairs for c in letters)
    for left, right in (*pairs, *(pair for pair, _ in zip(longer, range(vocab)))):
        if len(tokens) == vocab - len(SPECIAL):
            break
        tokens.append(left + right)
        merges.append(f"{left} {right}")
    return tokens + SPECIAL, merges


def describe(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_type("model")
    writer.add_name(shape.name)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_block_count(shape.layers)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head)
    writer.add_value_length(shape.head)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(shape.rope)
    writer.add_rope_dimension_count(shape.head)
    writer.add_vocab_size(shape.vocab)
    tokens, merges = tokenizer(shape.vocab)
    kinds = [gguf.TokenType.NORMAL] * (len(tokens) - len(SPECIAL)) + [gguf.TokenType.CONTROL] * len(SPECIAL)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(shape.vocab - 2)
    writer.add_eos_token_id(shape.vocab - 1)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("shape", choices=SHAPES)
    p.add_argument("out")
    p.add_argument("--embedding", choices=["Q6_K", "Q8_0"], default="Q6_K")
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    shape, rng = SHAPES[args.shape], np.random.default_rng(args.seed)
    writer = gguf.GGUFWriter(args.out, "llama")
    describe(writer, shape)
    # First what each tensor is, then one after the other, so that one tensor is in memory at a time.
    todo = matrices(shape, args.embedding)
    for name, packing, rows, columns in todo:
        weights, size = GGML_QUANT_SIZES[Type[packing]]
        row = columns // weights * size
        writer.add_tensor_info(name, [rows, row], np.dtype(np.uint8), rows * row, raw_dtype=Type[packing])
    for name in vectors(shape):
        writer.add_tensor_info(name, [shape.width], np.dtype(np.float32), 4 * shape.width)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for _, packing, rows, columns in todo:
        writer.write_tensor_data(blocks(rng, packing, rows, columns))
    for _ in vectors(shape):
        writer.write_tensor_data(np.ones(shape.width, np.float32))
    writer.close()


if __name__ == "__main__":
    main()
