"""Random but well-behaved GGUF block bytes, for the types gguf-py can decode but not encode.

Codes and sub-block scales are uniform random bits, so every code value turns up; only the
16-bit super-scales are chosen, so that the decoded weights have roughly the wanted spread.
"""

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type
from gguf.quants import dequantize, quantize

ENCODABLE = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "F16", "BF16"]
RANDOM_ONLY = ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS"]
ALL_TYPES = ENCODABLE + RANDOM_ONLY + ["MXFP4"]  # last, so that the random numbers of the others stay
ENCODABLE += ["MXFP4"]

# Byte offset of each f16 super-scale in a block: d (and, where the type has one, dmin).
SUPER_SCALES = {
    "Q2_K": (80, 82),
    "Q3_K": (108,),
    "Q4_K": (0, 2),
    "Q5_K": (0, 2),
    "Q6_K": (208,),
    "IQ4_NL": (0,),
    "IQ4_XS": (0,),
}


def random_blocks(rng: np.random.Generator, kind: str, rows: int, columns: int, std: float):
    """Bytes [rows, row_bytes] of type `kind` that decode to weights of standard deviation ~`std`."""
    block, size = GGML_QUANT_SIZES[Type[kind]]
    count = rows * columns // block
    raw = rng.integers(0, 256, (count, size), dtype=np.uint8)
    offsets = SUPER_SCALES[kind]
    # Relative super-scales within a factor of two. A lone d takes either sign, as encoders make it;
    # with a dmin both are positive, as in w = d * code - dmin.
    relative = rng.uniform(0.7, 1.4, (count, len(offsets)))
    if len(offsets) == 1:
        relative *= rng.choice([-1.0, 1.0], (count, 1))
    else:
        # Balance the two terms, so that the mean is near zero: dmin = d * E[code].
        relative[:, 1] *= {"Q2_K": 1.5, "Q4_K": 7.5, "Q5_K": 15.5}[kind]

    def with_scales(unit):
        for column, offset in enumerate(offsets):
            half = (relative[:, column] * unit).astype(np.float16)
            raw[:, offset : offset + 2] = half[:, None].view(np.uint8)
        return raw.reshape(rows, -1)

    probe = dequantize(with_scales(1.0 / 1024), Type[kind])
    return with_scales(std / float(probe.std()) / 1024)


def encode(kind: str, values: np.ndarray) -> np.ndarray:
    """`values` [rows, columns] f32 in type `kind`, as bytes [rows, row_bytes]."""
    encoded = quantize(np.ascontiguousarray(values, np.float32), Type[kind])
    return np.ascontiguousarray(encoded).view(np.uint8)


def decode(kind: str, data: np.ndarray) -> np.ndarray:
    """Bytes [rows, row_bytes] of type `kind` as f32 [rows, columns]."""
    return np.array(dequantize(data, Type[kind]), np.float32)
