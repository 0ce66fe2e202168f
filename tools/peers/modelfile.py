"""What a GGUF file says about the work of one token: bytes to read and products to make."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
# One layer in this many sees everything, where the file names a window but no pattern.
GLOBAL_EVERY = {"gemma2": 2, "gemma3": 6}


@dataclass
class Work:
    """Sizes from which the machine's limits follow."""

    weight_bytes: int  # read once a step, whatever its rows
    products: int  # multiply-adds of one row with the layers' matrices
    output_products: int  # and with the output matrix, made only where logits are wanted
    layers: int
    width: int  # of all heads together
    kv_width: int
    window: int | None
    global_every: int
    context: int

    def positions(self, depth: float) -> float:
        """Positions seen by one row at `depth`, summed over the layers."""
        if self.window is None:
            return self.layers * depth
        whole = self.layers // self.global_every
        return whole * depth + (self.layers - whole) * min(depth, self.window)

    def step_bytes(self, depth: float, streams: int) -> float:
        """Bytes a decode step reads: weights, and f16 keys and values of every stream."""
        return self.weight_bytes + streams * self.positions(depth) * self.kv_width * 2 * 2

    def row_ops(self, depth: float, output: bool) -> float:
        """Operations (two a multiply-add) of one row at `depth`: products with weights, keys and values."""
        attention = 2 * self.positions(depth) * self.width
        return 2 * (self.products + attention + (self.output_products if output else 0))


def _scalar(file: BinaryIO, letter: str):
    letter = "<" + letter
    return struct.unpack(letter, file.read(struct.calcsize(letter)))[0]


def _string(file: BinaryIO) -> bytes:
    return file.read(_scalar(file, "Q"))


def _value(file: BinaryIO, kind: int):
    """A value; of an array only its length, but for arrays of integers, which may differ by layer."""
    if kind in SCALARS:
        return _scalar(file, SCALARS[kind])
    if kind == STRING:
        return _string(file).decode(errors="replace")
    if kind != ARRAY:
        raise SystemExit(f"GGUF value of unknown type {kind}")
    of, count = _scalar(file, "I"), _scalar(file, "Q")
    if of == STRING:
        for _ in range(count):
            file.seek(_scalar(file, "Q"), 1)
        return count
    return [_value(file, of) for _ in range(count)]


def read(path: Path) -> Work:
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise SystemExit(f"{path} is no GGUF file; the limits need one")
        version, tensor_count, pairs = struct.unpack("<IQQ", file.read(20))
        if version not in (2, 3):
            raise SystemExit(f"{path} is GGUF version {version}; this script reads 2 and 3")
        meta = {}
        for _ in range(pairs):
            key = _string(file).decode()
            meta[key] = _value(file, _scalar(file, "I"))
        tensors = []  # (offset, name, shape)
        for _ in range(tensor_count):
            name = _string(file).decode()
            shape = [_scalar(file, "Q") for _ in range(_scalar(file, "I"))]
            _kind = _scalar(file, "I")
            tensors.append((_scalar(file, "Q"), name, shape))
        align = meta.get("general.alignment", 32)
        begin = -(-file.tell() // align) * align
    tensors.sort()
    # A tensor ends where the next one begins: to the alignment's precision, and no table of packings.
    ends = [offset for offset, *_ in tensors[1:]] + [path.stat().st_size - begin]
    size = {name: end - offset for (offset, name, _), end in zip(tensors, ends)}
    shapes = {name: shape for _, name, shape in tensors}
    untied = "output.weight" in size
    # Of an embedding that is not the output, a token reads one row.
    read_whole = [n for n in size if not (untied and n == "token_embd.weight")]
    arch = meta["general.architecture"]

    def setting(name, default=None):
        return meta.get(f"{arch}.{name}", default)

    heads = setting("attention.head_count")
    head = setting("attention.key_length") or setting("embedding_length") // heads
    window = setting("attention.sliding_window")
    pattern = setting("attention.sliding_window_pattern")
    return Work(
        weight_bytes=sum(size[n] for n in read_whole),
        products=sum(prod(s) for n, s in shapes.items() if len(s) == 2 and n.startswith("blk.")),
        output_products=prod(shapes["output.weight" if untied else "token_embd.weight"]),
        layers=setting("block_count"),
        width=heads * head,
        kv_width=setting("attention.head_count_kv", heads) * head,
        window=window if window and arch in GLOBAL_EVERY else None,
        global_every=pattern if isinstance(pattern, int) else GLOBAL_EVERY.get(arch, 1),
        context=setting("context_length"),
    )
