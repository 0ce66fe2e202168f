#!/usr/bin/env python3
"""Counts lines of kernels: ours, and those of llama.cpp and mlx that serve the same operations.

    pip download --no-deps --no-binary llama-cpp-python llama-cpp-python     # carries llama.cpp; unpack it
    pip download --no-deps --only-binary :all: --platform macosx_14_0_arm64 mlx-metal     # unpack it too
    tools/kernel-lines.py --llama UNPACKED/vendor/llama.cpp/ggml/src --mlx UNPACKED/mlx/include/mlx/backend/metal/kernels

A line counts if something other than a comment is on it. Of CUDA files, functions and declarations without `__device__` or
`__global__` are the host's and do not count. Of all, definitions for what our kernels do not do are left out by their names.
`--files` lists each file.
"""

import argparse
import re
from pathlib import Path

# What the files of each set serve. Files that are not here serve what we have no kernel for.
OURS = {
    "shared": ["lib", "cache", "check", "codes", "end", "manifest", "pack", "sight", "stage", "tables", "tune", "unit"],
    "products of few vectors": ["matvec"],
    "products of many vectors, experts'": ["matmul", "experts"],
    "attention": ["attend", "attend_join", "attend_tile"],
    "norms": ["rms_norm", "layer_norm"],
    "rotary embedding": ["rope", "turn"],
    "element by element": ["pointwise"],
    "rows of tables, caches": ["append", "embed", "select"],
    "choice of experts, drawing": ["route", "sample"],
    "convolution, state spaces": ["conv", "scan", "recurrence", "chunks"],
    "delta rules": ["delta"],
}
METAL = {
    "shared": ["common.h", "dequantize.h"],
    "products of few vectors": ["mul_mv.metal"],
    "products of many vectors, experts'": ["mul_mm.metal"],
    "attention": ["fa_aux.metal", "fa_common.metal", "fa_f16.metal", "fa_f32.metal", "fa_vec_common.metal",
                  "fa_vec_f16.metal", "fa_vec_f32.metal"],
    "norms": ["norm.metal"],
    "rotary embedding": ["rope.metal"],
    "element by element": ["binbcast.metal", "unary.metal"],
    "rows of tables, caches": ["quantize.metal"],
    "choice of experts, drawing": ["argsort.metal", "softmax.metal", "reduce.metal"],
    "convolution, state spaces": ["ssm.metal"],
    "delta rules": ["gated_delta_net.metal", "solve_tri.metal"],
}
CUDA = {
    "shared": ["common.cuh", "dequantize.cuh", "cp-async.cuh", "mma.cuh"],
    "products of few vectors": ["mmvf.cu", "mmvf.cuh", "mmvq.cu", "mmvq.cuh", "vecdotq.cuh", "quantize.cu", "quantize.cuh"],
    "products of many vectors, experts'": [
        "mmf.cu", "mmf.cuh", "mmq.cu", "mmq.cuh", "mmq-load-tiles.cuh", "mmq-vec-dot.cuh", "mmq-config-ampere.cuh", "mmid.cu",
        "mmid.cuh", "moe-weighted-reduction.cu", "moe-weighted-reduction.cuh", "add-id.cu", "add-id.cuh"],
    "attention": ["fattn.cu", "fattn.cuh", "fattn-common.cuh", "fattn-mma-f16.cuh", "fattn-vec.cuh"],
    "norms": ["norm.cu", "norm.cuh"],
    "rotary embedding": ["rope.cu", "rope.cuh"],
    "element by element": ["binbcast.cu", "binbcast.cuh", "unary.cu", "unary.cuh", "scale.cu", "scale.cuh", "softcap.cu",
                           "softcap.cuh"],
    "rows of tables, caches": ["getrows.cu", "getrows.cuh", "set-rows.cu", "set-rows.cuh"],
    "choice of experts, drawing": ["topk-moe.cu", "topk-moe.cuh", "argmax.cu", "argmax.cuh", "argsort.cu", "argsort.cuh",
                                   "softmax.cu", "softmax.cuh", "cumsum.cu", "cumsum.cuh"],
    "convolution, state spaces": ["ssm-conv.cu", "ssm-conv.cuh", "ssm-scan.cu", "ssm-scan.cuh"],
    "delta rules": ["gated_delta_net.cu", "gated_delta_net.cuh", "solve_tri.cu", "solve_tri.cuh"],
}
MLX = {
    "shared": ["utils.h", "bf16.h", "bf16_math.h", "defines.h", "fp4.h", "fp8.h", "erf.h", "expm1f.h", "atomic.h",
               "steel/defines.h", "steel/utils.h", "steel/utils/integral_constant.h", "steel/utils/type_traits.h"],
    "products of few vectors": ["gemv.h", "quantized.h", "fp_quantized.h", "quantized_utils.h"],
    "products of many vectors, experts'": [
        "steel/gemm/gemm.h", "steel/gemm/loader.h", "steel/gemm/mma.h", "steel/gemm/params.h", "steel/gemm/transforms.h",
        "steel/gemm/kernels/steel_gemm_fused.h", "steel/gemm/kernels/steel_gemm_gather.h",
        "steel/gemm/kernels/steel_gemm_splitk.h"],
    "attention": ["sdpa_vector.h", "steel/attn/attn.h", "steel/attn/loader.h", "steel/attn/mma.h", "steel/attn/params.h",
                  "steel/attn/transforms.h", "steel/attn/kernels/steel_attention.h"],
    "element by element": ["binary.h", "binary_ops.h", "unary.h", "unary_ops.h", "copy.h"],
    "rows of tables, caches": ["indexing/gather.h", "indexing/scatter.h", "indexing/indexing.h"],
    "choice of experts, drawing": ["softmax.h", "logsumexp.h", "sort.h", "scan.h"],
    "delta rules": ["gated_delta_update.h"],
}
# By the names of what they define: packings that our kernels do not read (or read as others), caches of packed keys, backward passes.
LEFT_OUT = re.compile(r"iq[123]|tq[12]_|\bq1_0|_q1_0|_back\b|l2_norm|group_norm|kernel_(?:leaky|hard|elu)|cpy_f|kernel_cpy|complex64", re.I)

# Files of ours, and beginnings of definitions, that are the host's: geometry, conditions, tuning, the list of what is compiled.
OURS_OF_HOST = ("check.rs", "manifest.rs", "tune.rs", "impl Spec for", "impl Tunable for")

COMMENT = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/', re.S)


def without_comments(text):
    """The lines that are left, of a language with C's comments."""
    def blank(found):
        return found[0] if found[0].startswith('"') else "\n" * found[0].count("\n")
    return [line for line in COMMENT.sub(blank, text).split("\n") if line.strip()]


def items(lines):
    """Definitions and declarations of a file: runs of lines that end where no brace or bracket is open."""
    item, depth, before = [], 0, []
    continued = False
    for line in lines:
        item.append(line)
        if continued or line.lstrip().startswith("#"):
            word = re.match(r"\s*#\s*(\w+)", line)
            if not continued and word and word[1].startswith("if"):
                before.append(depth)
            elif not continued and word and word[1] in ("else", "elif") and before:
                depth = before[-1]
            elif not continued and word and word[1] == "endif" and before:
                before.pop()
            continued = line.rstrip().endswith("\\")
            if depth == 0 and not continued and len(item) == 1:
                yield item
                item = []
            continue
        depth += sum(line.count(c) for c in "{([") - sum(line.count(c) for c in "})]")
        if depth <= 0 and line.rstrip().endswith(("}", ";")):
            yield item
            item, depth = [], 0
    if item:
        yield item


def of_host(item):
    """Whether an item of a CUDA file is the host's: a function without a word that says otherwise."""
    text = "\n".join(item)
    head = text.split("{")[0]
    if text.lstrip().startswith("#") or re.search(r"__(device|global|constant)__", text):
        return False
    return "(" in head and not re.search(r"\b(struct|enum|union|namespace)\b", head) and "#define" not in text


def count(path, cuda=False):
    total = 0
    for item in items(without_comments(path.read_text(encoding="utf-8"))):
        head = "\n".join(item).split("{")[0]
        if not LEFT_OUT.search(head) and not (cuda and of_host(item)):
            total += len(item)
    return total


def ours(folder):
    """Lines of Rust for each file, without the modules of tests: all, and those of what runs on the host only."""
    counts = {}
    for path in sorted(folder.rglob("*.rs")):
        text = path.read_text(encoding="utf-8").split("#[cfg(test)]\nmod tests")[0]
        lines = without_comments(text)
        host = [item for item in items(lines) if path.name in OURS_OF_HOST or item[0].startswith(OURS_OF_HOST)]
        counts[path.relative_to(folder)] = (len(lines), sum(map(len, host)))
    return counts


def theirs(folder, groups, cuda):
    """Lines of each file of a set, and the files that it should have."""
    paths = [(file, folder / file) for files in groups.values() for file in files]
    missing = [file for file, path in paths if not path.is_file()]
    if missing:
        raise SystemExit(f"{folder} is another version's: it lacks {', '.join(missing)}")
    return {file: count(path, cuda) for file, path in paths}


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--llama", type=Path, help="llama.cpp's ggml/src")
    options.add_argument("--mlx", type=Path, help="the folder of mlx's Metal kernels")
    options.add_argument("--files", action="store_true", help="list each file")
    asked = options.parse_args()
    root = Path(__file__).resolve().parent.parent
    counts = ours(root / "crates/kernels/src")
    modules = {}
    for path, (lines, _) in counts.items():
        module = path.parts[0].removesuffix(".rs")
        modules[module] = modules.get(module, 0) + lines
    unknown = set(modules) ^ set(sum(OURS.values(), []))
    if unknown:
        raise SystemExit(f"OURS and the modules of kernels differ: {', '.join(sorted(unknown))}")
    sets = [("ours, both targets", OURS, modules)]
    if asked.llama:
        metal, cuda = asked.llama / "ggml-metal/kernels", asked.llama / "ggml-cuda"
        sets.append(("llama.cpp, Metal", METAL, theirs(metal, METAL, False)))
        sets.append(("llama.cpp, CUDA", CUDA, theirs(cuda, CUDA, True)))
    if asked.mlx:
        sets.append(("mlx, Metal", MLX, theirs(asked.mlx, MLX, False)))

    def row(first, *rest):
        print("| " + " | ".join([first, *map(str, rest)]) + " |")

    row("", *(name for name, _, _ in sets))
    row("---", *("--:" for _ in sets))
    for what in OURS:
        row(what, *(sum(lines[file] for file in groups.get(what, [])) for _, groups, lines in sets))
    row("**in all**", *(sum(lines.values()) for _, _, lines in sets))
    device = sum(lines - host for lines, host in counts.values())
    print(f"\nours in {len(counts)} files; without what only the host runs {device}")
    if asked.files:
        for name, _, lines in sets:
            print(f"\n{name}:")
            for file, count_of_file in lines.items():
                print(f"{count_of_file:7} {file}")


if __name__ == "__main__":
    main()
