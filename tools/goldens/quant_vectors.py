"""Vectors for the quant crate: packed bits beside the f32 values they stand for.

mlx.safetensors    affine.b{2,3,4,5,6,8}.g{32,64,128}.{source,weight,scales,biases,expected}
                   {mxfp4,nvfp4,mxfp8}.{source,weight,scales,expected}
gguf.safetensors   {TYPE}.bytes, {TYPE}.expected, and {TYPE}.source where gguf-py can encode

`source` already holds values of the 16-bit type it was quantised from, so encoding it again in
f32 starts from the same numbers. Affine `expected` is scale * code + bias evaluated in f32.
"""

import argparse

import mlx.core as mx
import numpy as np
import torch

import blocks
import common

AFFINE_BITS = (2, 3, 4, 5, 6, 8)
AFFINE_GROUPS = (32, 64, 128)
SCALE_TYPES = (mx.float32, mx.float16, mx.bfloat16)
FP_MODES = {"mxfp4": (32, 4), "nvfp4": (16, 4), "mxfp8": (32, 8)}  # mode: (group, bits)


def unpack_codes(words: np.ndarray, bits: int, columns: int) -> np.ndarray:
    """Codes of packed little-endian u32 rows, by brute force: an independent check of mlx."""
    stream = np.unpackbits(words.view(np.uint8), axis=-1, bitorder="little")
    codes = stream.reshape(words.shape[0], columns, bits).astype(np.uint32)
    return (codes << np.arange(bits, dtype=np.uint32)).sum(-1)


def mlx_vectors(rng):
    out = {}
    rows, columns = 4, 128
    for i, bits in enumerate(AFFINE_BITS):
        for j, group in enumerate(AFFINE_GROUPS):
            source = rng.normal(0, 0.3, (rows, columns)) + rng.normal(0, 0.2, (rows, 1))
            if (bits, group) in ((4, 32), (8, 64)):
                source[0, :group] = 0.0  # a group without any range
            # Latin square: every bit width and every group size meets every scale type.
            source = mx.array(source.astype(np.float32)).astype(SCALE_TYPES[(i + j) % 3])
            weight, scales, biases = mx.quantize(source, group, bits)
            f32 = lambda a: a.astype(mx.float32)
            expected = mx.dequantize(weight, f32(scales), f32(biases), group, bits)
            codes = unpack_codes(np.array(weight), bits, columns)
            spread = lambda a: np.repeat(np.array(f32(a)), group, -1)
            by_hand = spread(scales) * codes.astype(np.float32) + spread(biases)
            np.testing.assert_allclose(np.array(expected), by_hand, rtol=0, atol=1e-6)
            key = f"affine.b{bits}.g{group}"
            out |= {
                f"{key}.source": common.from_mlx(f32(source)),
                f"{key}.weight": common.from_mlx(weight),
                f"{key}.scales": common.from_mlx(scales),
                f"{key}.biases": common.from_mlx(biases),
                f"{key}.expected": common.from_mlx(expected),
            }
    for mode, (group, bits) in FP_MODES.items():
        source = mx.array(rng.normal(0, 0.3, (rows, columns)).astype(np.float32))
        # Row 3 spans many powers of two, so that the group scales differ widely.
        source[3] *= mx.repeat(2.0 ** mx.arange(-6, 2), columns // 8)
        weight, scales = mx.quantize(source, group, bits, mode)
        expected = mx.dequantize(weight, scales, None, group, bits, mode, dtype=mx.float32)
        out |= {
            f"{mode}.source": common.from_mlx(source),
            f"{mode}.weight": common.from_mlx(weight),
            f"{mode}.scales": common.from_mlx(scales),
            f"{mode}.expected": common.from_mlx(expected),
        }
    return out


def gguf_vectors(rng):
    out = {}
    rows, columns = 3, 512
    for kind in blocks.ALL_TYPES:
        if kind in blocks.ENCODABLE:
            source = rng.normal(0, 0.1, (rows, columns)).astype(np.float32)
            source[1, 32:64] = 0.0  # an all-zero block
            if kind == "F16":
                source[2, :4] = [65504.0, -6.0e-8, 1.0e-5, -0.0]  # largest, subnormals, signed zero
            data = blocks.encode(kind, source)
            out[f"{kind}.source"] = torch.from_numpy(source)
        else:
            data = blocks.random_blocks(rng, kind, rows, columns, 0.1)
        expected = blocks.decode(kind, data)
        assert np.isfinite(expected).all() and expected.shape == (rows, columns)
        out[f"{kind}.bytes"] = torch.from_numpy(data)
        out[f"{kind}.expected"] = torch.from_numpy(expected)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    seed = parser.parse_args().seed
    out = common.QUANT_FIXTURES
    common.save(out / "mlx.safetensors", mlx_vectors(np.random.default_rng(seed)))
    common.save(out / "gguf.safetensors", gguf_vectors(np.random.default_rng(seed + 1)))


if __name__ == "__main__":
    main()
