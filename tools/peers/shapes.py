"""Writes a GGUF file with the shape of a well-known model and random weights.

    python shapes.py {1b,3b,mamba2,moe,dense} OUT.gguf [--packing Q4_0] [--embedding Q6_K] [--seed 1]

Speed depends on the shape and the packing of a model, not on what it has learnt, so a shape that
no package registry has can still be measured. The matrices are Q4_0, Q8_0 or BF16; the embedding, which is
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


Matrix = tuple[str, str, tuple[int, ...]]  # name, packing, shape with rows last but one and columns last
Vector = tuple[str, tuple[int, ...], float]  # name, shape, value of every element


@dataclass
class Shape:
    """What every model here has: an embedding that is the output too, and a norm before it."""

    name: str
    layers: int
    width: int
    arch = ""
    vocab: int = 128_256
    context: int = 131_072

    def layer(self, packing: str) -> tuple[list[Matrix], list[Vector]]:
        """Matrices and vectors of a layer, without their prefix."""
        raise NotImplementedError

    def describe(self, writer: gguf.GGUFWriter) -> None:
        raise NotImplementedError

    def tensors(self, embedding: str, packing: str) -> tuple[list[Matrix], list[Vector]]:
        matrices: list[Matrix] = [("token_embd.weight", embedding, (self.vocab, self.width))]
        vectors: list[Vector] = [("output_norm.weight", (self.width,), 1.0)]
        for i in range(self.layers):
            more, rest = self.layer(packing)
            matrices += [(f"blk.{i}.{name}", kind, shape) for name, kind, shape in more]
            vectors += [(f"blk.{i}.{name}", shape, value) for name, shape, value in rest]
        return matrices, vectors


@dataclass
class Attention(Shape):
    """Layers with grouped-query attention."""

    heads: int = 0
    kv_heads: int = 0
    head: int = 0
    rope: float = 500_000.0

    def layer(self, packing: str) -> tuple[list[Matrix], list[Vector]]:
        queries, keys = self.heads * self.head, self.kv_heads * self.head
        matrices: list[Matrix] = [
            ("attn_q.weight", packing, (queries, self.width)),
            ("attn_k.weight", packing, (keys, self.width)),
            ("attn_v.weight", packing, (keys, self.width)),
            ("attn_output.weight", packing, (self.width, queries)),
        ]
        return matrices, [(f"{n}.weight", (self.width,), 1.0) for n in ("attn_norm", "ffn_norm")]

    def describe(self, writer: gguf.GGUFWriter) -> None:
        writer.add_head_count(self.heads)
        writer.add_head_count_kv(self.kv_heads)
        writer.add_key_length(self.head)
        writer.add_value_length(self.head)
        writer.add_rope_freq_base(self.rope)
        writer.add_rope_dimension_count(self.head)


@dataclass
class Llama(Attention):
    hidden: int = 0
    arch = "llama"

    def layer(self, packing: str) -> tuple[list[Matrix], list[Vector]]:
        matrices, vectors = super().layer(packing)
        for name, rows, columns in (
            ("ffn_gate", self.hidden, self.width),
            ("ffn_up", self.hidden, self.width),
            ("ffn_down", self.width, self.hidden),
        ):
            matrices.append((f"{name}.weight", packing, (rows, columns)))
        return matrices, vectors

    def describe(self, writer: gguf.GGUFWriter) -> None:
        super().describe(writer)
        writer.add_feed_forward_length(self.hidden)


@dataclass
class Mixture(Attention):
    """Qwen 3's mixture of experts."""

    experts: int = 0
    chosen: int = 0
    hidden: int = 0
    arch = "qwen3moe"

    def layer(self, packing: str) -> tuple[list[Matrix], list[Vector]]:
        matrices, vectors = super().layer(packing)
        matrices += [
            ("ffn_gate_inp.weight", "F32", (self.experts, self.width)),
            ("ffn_gate_exps.weight", packing, (self.experts, self.hidden, self.width)),
            ("ffn_up_exps.weight", packing, (self.experts, self.hidden, self.width)),
            ("ffn_down_exps.weight", packing, (self.experts, self.width, self.hidden)),
        ]
        vectors += [(f"attn_{n}_norm.weight", (self.head,), 1.0) for n in "qk"]
        return matrices, vectors

    def describe(self, writer: gguf.GGUFWriter) -> None:
        super().describe(writer)
        writer.add_feed_forward_length(self.hidden)
        writer.add_expert_feed_forward_length(self.hidden)
        writer.add_expert_count(self.experts)
        writer.add_expert_used_count(self.chosen)


@dataclass
class Mamba2(Shape):
    inner: int = 0
    heads: int = 0
    state: int = 0
    groups: int = 1
    kernel: int = 4
    arch = "mamba2"

    def layer(self, packing: str) -> tuple[list[Matrix], list[Vector]]:
        channels = self.inner + 2 * self.groups * self.state
        matrices: list[Matrix] = [
            ("ssm_in.weight", packing, (self.inner + channels + self.heads, self.width)),
            ("ssm_out.weight", packing, (self.width, self.inner)),
            ("ssm_conv1d.weight", "F32", (channels, self.kernel)),
        ]
        # steps near 0.02 and rates near 1: states that live for about fifty tokens
        return matrices, [
            ("attn_norm.weight", (self.width,), 1.0),
            ("ssm_conv1d.bias", (channels,), 0.0),
            ("ssm_dt.bias", (self.heads,), -4.0),
            ("ssm_a", (self.heads, 1), -1.0),
            ("ssm_d", (self.heads, 1), 1.0),
            ("ssm_norm.weight", (self.groups, self.inner // self.groups), 1.0),
        ]

    def describe(self, writer: gguf.GGUFWriter) -> None:
        writer.add_head_count(0)
        writer.add_feed_forward_length(0)
        writer.add_ssm_conv_kernel(self.kernel)
        writer.add_ssm_inner_size(self.inner)
        writer.add_ssm_state_size(self.state)
        writer.add_ssm_time_step_rank(self.heads)
        writer.add_ssm_group_count(self.groups)


def llama(name: str, layers: int, width: int, hidden: int, heads: int, kv_heads: int, head: int) -> Llama:
    return Llama(name, layers, width, heads=heads, kv_heads=kv_heads, head=head, hidden=hidden)


SHAPES: dict[str, Shape] = {
    "1b": llama("Llama 3.2 1B shape, random weights", 16, 2048, 8192, 32, 8, 64),
    "3b": llama("Llama 3.2 3B shape, random weights", 28, 3072, 8192, 24, 8, 128),
    "mamba2": Mamba2(
        "Mamba-2 130M shape, random weights", 24, 768, vocab=50_288, inner=1536, heads=24, state=128
    ),
    "moe": Mixture(
        "64 experts of which 8, random weights", 8, 1024, vocab=32_000,
        heads=16, kv_heads=4, head=64, experts=64, chosen=8, hidden=512, rope=1e6,
    ),
    # The same without a choice: as many products for a token.
    "dense": llama("The mixture's dense equivalent, random weights", 8, 1024, 4096, 16, 4, 64),
}
SPECIAL = ["<|begin_of_text|>", "<|end_of_text|>"]


def blocks(rng: np.random.Generator, packing: str, rows: int, columns: int) -> np.ndarray:
    """Bytes [rows, bytes of a row] of random weights, their standard deviation near 1 / sqrt(columns)."""
    if packing in ("F32", "BF16"):
        values = rng.standard_normal((rows, columns), np.float32) / math.sqrt(columns)
        if packing == "F32":
            return values.view(np.uint8)
        return (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
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
        raise ValueError(f"packing {packing}: this script draws Q4_0, Q8_0, Q6_K, BF16 and F32")
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


KINDS = {
    "Q4_0": gguf.LlamaFileType.MOSTLY_Q4_0,
    "Q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    "BF16": gguf.LlamaFileType.MOSTLY_BF16,
}


def describe(writer: gguf.GGUFWriter, shape: Shape, packing: str) -> None:
    writer.add_type("model")
    writer.add_name(shape.name)
    writer.add_file_type(KINDS[packing])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_block_count(shape.layers)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shape.vocab)
    shape.describe(writer)
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
    p.add_argument("--packing", choices=KINDS, default="Q4_0")
    p.add_argument("--embedding", choices=["Q6_K", "Q8_0", "BF16"], default="Q6_K")
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    shape, rng = SHAPES[args.shape], np.random.default_rng(args.seed)
    writer = gguf.GGUFWriter(args.out, shape.arch)
    describe(writer, shape, args.packing)
    # First what each tensor is, then one after the other, so that one tensor is in memory at a time.
    matrices, vectors = shape.tensors(args.embedding, args.packing)
    for name, packing, dims in matrices:
        weights, size = GGML_QUANT_SIZES[Type[packing]]
        dims = (*dims[:-1], dims[-1] // weights * size)
        writer.add_tensor_info(name, dims, np.dtype(np.uint8), math.prod(dims), raw_dtype=Type[packing])
    for name, dims, _ in vectors:
        writer.add_tensor_info(name, dims, np.dtype(np.float32), 4 * math.prod(dims))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for _, packing, dims in matrices:
        writer.write_tensor_data(blocks(rng, packing, math.prod(dims[:-1]), dims[-1]))
    for _, dims, value in vectors:
        writer.write_tensor_data(np.full(dims, value, np.float32))
    writer.close()


if __name__ == "__main__":
    main()
