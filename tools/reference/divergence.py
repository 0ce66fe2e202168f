"""Holds tessera's fast path against its own `--precise`, over the whole text.

    python divergence.py TESSERA MODEL REFERENCE.ref.safetensors [--windows N] [--top N]
                         [--fast-arg=ARG ...] [--keep FILE.npz] [--json FILE]

The reference only lends its tokens, so any one of the same tokenizer will do. README.md
says what the figures are. The exit status is 1 if one is beyond its limit.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path

import numpy as np
from safetensors import safe_open

from compare import HERE, Rows, Tessera, parse_rows

WINDOW, STRIDE = 512, 256
LIMITS = {"kl_mean": 5e-3, "kl_high": 5e-2, "perplexity": 3e-3}


def rows(t: Tessera, model: str, windows: list[list[int]], top: int) -> Rows:
    """The largest `top` logits after every token of every window, ids in ascending order."""
    all_rows = Rows(np.zeros(0), [], [])
    for ids in windows:
        found = parse_rows(t.inspect(model, ids, top, 0), len(ids))
        all_rows.lse = np.append(all_rows.lse, found.lse)
        for one, logits in zip(found.ids, found.logits):
            order = np.argsort(one)
            all_rows.ids.append(one[order].astype(np.int32))
            all_rows.logits.append(logits[order])
    return all_rows


def kept(path: str | None, make) -> Rows:
    """Rows from a file, made and written first where there is none."""
    if path is None:
        return make()
    if not Path(path).exists():
        made = make()
        np.savez(path, lse=made.lse, ids=np.stack(made.ids), logits=np.stack(made.logits))
    with np.load(path) as file:
        return Rows(file["lse"], list(file["ids"]), list(file["logits"]))


def divergences(precise: Rows, fast: Rows) -> tuple[np.ndarray, np.ndarray]:
    """KL(precise || fast) of every position, and the probability that was not told apart: tokens that
    one side did not print count as one, which can only make the divergence smaller. `precise` may go on
    for longer than `fast`."""
    kl, rest = [], []
    for i in range(len(fast.lse)):
        _, at, to = np.intersect1d(
            precise.ids[i], fast.ids[i], assume_unique=True, return_indices=True
        )
        want = precise.logits[i][at].astype(np.float64) - precise.lse[i]
        have = fast.logits[i][to].astype(np.float64) - fast.lse[i]
        p, q = np.exp(want), np.exp(have)
        left, right = max(1 - p.sum(), 0.0), max(1 - q.sum(), 1e-12)
        value = float((p * (want - have)).sum())
        kl.append(value + (left * math.log(left / right) if left > 0 else 0.0))
        rest.append(left)
    return np.array(kl), np.array(rest)


def perplexity(t: Tessera, model: str, text: str, windows: int) -> float:
    args = ["perplexity", model, text, "--window", str(WINDOW), "--stride", str(STRIDE)]
    if windows:
        args += ["--windows", str(windows)]
    return json.loads(t.run(*args))["perplexity"]


def main() -> None:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("tessera", help="the program")
    p.add_argument("model")
    p.add_argument("reference", help="a .ref.safetensors of the same tokenizer")
    p.add_argument("--windows", type=int, default=0, help="of the text, instead of all")
    p.add_argument("--top", type=int, default=1000, help="logits asked for at a position")
    p.add_argument("--threads", default="1")
    p.add_argument("--fast-arg", action="append", default=[], metavar="ARG", help="for the fast path")
    p.add_argument("--keep", metavar="NPZ", help="where rows of --precise are kept between calls")
    p.add_argument("--no-perplexity", action="store_true")
    p.add_argument("--text", default=str(HERE.parents[1] / "tests/data/perplexity.txt"))
    p.add_argument("--json", metavar="FILE", help="also write the figures there")
    args = p.parse_args()
    with safe_open(args.reference, framework="np") as ref:
        tokens = ref.get_tensor("ppl.tokens").tolist()
        bos = json.loads(ref.metadata()["bos"])
    lead = [] if bos is None else [bos]
    windows = [lead + tokens[i : i + WINDOW] for i in range(0, len(tokens), WINDOW)]
    windows = windows[: args.windows or None]
    common = ["--threads", args.threads]
    slow = Tessera(args.tessera, [*common, "--precise"], 0)
    fast = Tessera(args.tessera, common + args.fast_arg, 0)
    begun = time.time()
    want = kept(args.keep, lambda: rows(slow, args.model, windows, args.top))
    have = rows(fast, args.model, windows, args.top)
    kl, rest = divergences(want, have)
    figures = {
        "positions": len(kl),
        "kl_mean": float(kl.mean()),
        "kl_high": float(np.quantile(kl, 0.999)),
        "kl_max": float(kl.max()),
        "not_told_apart": float(rest.mean()),
    }
    if not args.no_perplexity:
        base = perplexity(slow, args.model, args.text, args.windows)
        figures["perplexity_precise"] = base
        figures["perplexity"] = perplexity(fast, args.model, args.text, args.windows) / base - 1
    print(f"{args.model}: {time.time() - begun:.0f} s", file=sys.stderr)
    good = True
    for key, value in figures.items():
        limit = LIMITS.get(key)
        good &= limit is None or abs(value) <= limit
        beside = "" if limit is None else f"  {'<=' if abs(value) <= limit else 'EXCEEDS'} {limit:g}"
        print(f"{key:20} {value:.6g}{beside}")
    if args.json:
        Path(args.json).write_text(json.dumps(figures, indent=1) + "\n")
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
