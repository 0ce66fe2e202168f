"""Holds tessera against the references that real.py makes.

    python compare.py TESSERA MODEL REFERENCE.ref.safetensors [--mode precise,int8]
                      [--only PARTS] [--same MODEL] [--threads N] [--json FILE]

Runs `tessera inspect` and `tessera perplexity` and prints one table: how far logits,
perplexity, greedy continuations and whole distributions are from the reference, with f32
activations (`--precise`) and with int8 ones (what runs by default). With --same it also
checks that a second checkpoint gives the same output bit for bit. README.md says what
the rows mean. The exit status is 1 if a figure is beyond its limit.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors import safe_open

HERE = Path(__file__).resolve().parent

# The limits, by mode. A figure without one is for information.
LIMITS = {
    ("precise", "logit"): 2e-3,
    ("precise", "perplexity"): 1e-3,
    ("int8", "kl_mean"): 5e-3,
}
# Continuations may part where the reference's two best logits are closer than this, twice
# the greatest error allowed to a logit.
CLOSE = 2 * LIMITS["precise", "logit"]


@dataclass
class Rows:
    """Logits of some positions, as far as tessera was asked to print them."""

    lse: np.ndarray  # [n], log of the sum of exp over the whole vocabulary, f64
    ids: list[np.ndarray]  # n of [top]
    logits: list[np.ndarray]  # n of [top], f32


@dataclass
class Tessera:
    """The program with the arguments that every call has."""

    program: str
    common: list[str]
    entries: int

    def run(self, *args: str) -> bytes:
        command = [self.program, *args, *self.common, "--quiet", "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)[:300]}: exit status {done.returncode}")
        return done.stdout

    def inspect(self, model: str, ids, top: int, continued: int) -> bytes:
        ids = ",".join(str(i) for i in ids)
        return self.run("inspect", model, "--ids", ids, "--top", str(top), "-n", str(continued))

    def rows(self, model: str, ids, vocab: int) -> Rows:
        """Logits after every one of `ids`: all of them while that is at most `entries` numbers,
        else the largest, as many of each position."""
        text = self.inspect(model, ids, min(vocab, self.entries // len(ids)), 0)
        return parse_rows(text, len(ids))

    def greedy(self, model: str, ids, count: int) -> list[tuple[int, float]]:
        """`count` tokens of greedy continuation with their margins. tessera stops after a stop
        token and the reference does not, so what is written is put behind the prompt again."""
        ids, found = [int(i) for i in ids], []
        while len(found) < count:
            step = json.loads(self.inspect(model, ids, 1, count - len(found)))["continuation"]
            if not step:
                raise SystemExit(f"{model}: no continuation after {len(ids)} tokens")
            found += [(it["id"], it["margin"]) for it in step]
            ids += [it["id"] for it in step]
        return found


NUMBER = rb"(-?[0-9.]+(?:[eE][-+]?[0-9]+)?)"
ENTRY = re.compile(rb'"id": ?(\d+),\s*"text": ?"(?:[^"\\]|\\.)*",\s*"logit": ?' + NUMBER)
LSE = re.compile(rb'"log_sum_exp": ?' + NUMBER)


def parse_rows(text: bytes, count: int) -> Rows:
    """The positions of an inspection. They run to gigabytes, of which json would make tens."""
    heads = list(LSE.finditer(text))
    if len(heads) != count:
        raise SystemExit(f"tessera printed {len(heads)} positions, not {count}")
    ends = [head.start() for head in heads[1:]] + [len(text)]
    ids, logits = [], []
    for head, end in zip(heads, ends):
        found = ENTRY.findall(text, head.end(), end)
        ids.append(np.array([int(i) for i, _ in found], dtype=np.int64))
        logits.append(np.array([float(x) for _, x in found], dtype=np.float64).astype(np.float32))
    return Rows(np.array([float(head[1]) for head in heads]), ids, logits)


@dataclass
class Figures:
    """What one mode comes to; NaN and -1 where it was not measured."""

    logit: float = math.nan
    logit_where: str = ""
    logit_rms: float = math.nan
    coverage: float = math.nan
    lse: float = math.nan
    perplexity: float = math.nan
    perplexity_own: float = math.nan
    window: float = math.nan
    greedy_equal: int = -1
    greedy_close: int = -1
    greedy_notes: list[str] = field(default_factory=list)
    kl_mean: float = math.nan
    kl_high: float = math.nan
    kl_max: float = math.nan
    kl_tail: float = math.nan
    same_best: float = math.nan


def prompts(ref) -> int:
    return sum(key.endswith(".greedy") for key in ref.keys())


def compare_logits(t: Tessera, model: str, ref, _text: str, out: Figures) -> None:
    out.logit, out.lse, out.coverage, squares, count = 0.0, 0.0, 1.0, 0.0, 0
    for i in range(prompts(ref)):
        tokens = ref.get_tensor(f"prompt.{i}.tokens")
        expected = ref.get_tensor(f"prompt.{i}.logits")
        rows = t.rows(model, tokens, expected.shape[1])
        for want, at in zip(expected, ref.get_tensor(f"prompt.{i}.positions")):
            ids = rows.ids[at]
            gap = np.abs(want[ids].astype(np.float64) - rows.logits[at])
            squares, count = squares + float((gap**2).sum()), count + len(gap)
            out.coverage = min(out.coverage, len(ids) / len(want))
            out.lse = max(out.lse, abs(log_sum_exp(want) - rows.lse[at]))
            if gap.max() > out.logit:
                worst = int(gap.argmax())
                out.logit = float(gap.max())
                out.logit_where = f"prompt {i}, position {at}, token {ids[worst]} (rank {worst})"
    out.logit_rms = math.sqrt(squares / count)


def compare_greedy(t: Tessera, model: str, ref, _text: str, out: Figures) -> None:
    out.greedy_equal = out.greedy_close = 0
    for i in range(prompts(ref)):
        want = ref.get_tensor(f"prompt.{i}.greedy").tolist()
        margins = ref.get_tensor(f"prompt.{i}.margin").tolist()
        found = t.greedy(model, ref.get_tensor(f"prompt.{i}.tokens"), len(want))
        parted = next((n for n, (a, (b, _)) in enumerate(zip(want, found)) if a != b), None)
        if parted is None:
            out.greedy_equal += 1
            continue
        out.greedy_close += margins[parted] <= CLOSE
        out.greedy_notes.append(
            f"prompt {i}: token {parted} is {found[parted][0]} for {want[parted]}; margin there "
            f"{margins[parted]:.5f} in the reference, {found[parted][1]:.5f} here"
        )


def compare_perplexity(t: Tessera, model: str, ref, text: str, out: Figures) -> None:
    meta = ref.metadata()
    args = ("--window", meta["window"], "--stride", meta["stride"])
    found = json.loads(t.run("perplexity", model, text, *args))
    nll = ref.get_tensor("ppl.nll").astype(np.float64)
    scored = int(np.isfinite(nll).sum())
    if (found["tokens"], found["scored"]) != (len(nll), scored):
        raise SystemExit(
            f"{model}: {found['tokens']} tokens, {found['scored']} scored; "
            f"the reference has {len(nll)} and {scored}"
        )
    want = float(ref.get_tensor("ppl.perplexity")[0])
    out.perplexity_own = found["perplexity"]
    out.perplexity = found["perplexity"] / want - 1
    out.window = 0.0
    for window in found["windows"]:
        own = nll[window["end"] - window["scored"] : window["end"]]
        gap = window["perplexity"] / math.exp(own.mean()) - 1
        out.window = gap if abs(gap) > abs(out.window) else out.window


def compare_distributions(t: Tessera, model: str, ref, _text: str, out: Figures) -> None:
    """KL(reference || tessera). Tokens that were not printed count as one, which can only
    make it smaller; `kl_tail` says how much of the reference's probability they hold."""
    expected = ref.get_slice("ppl.logprobs")
    count, vocab = expected.get_shape()
    bos = json.loads(ref.metadata()["bos"])
    lead = [] if bos is None else [bos]
    tokens = lead + ref.get_tensor("ppl.tokens")[:count].tolist()
    rows = t.rows(model, tokens, vocab)
    divergences, tails, best = [], [], 0
    for i in range(count):
        want = expected[i : i + 1][0].astype(np.float64)
        ids, at = rows.ids[i + len(lead)], i + len(lead)
        have = rows.logits[at].astype(np.float64) - rows.lse[at]
        p = np.exp(want[ids])
        kl = float((p * (want[ids] - have)).sum())
        rest = np.ones(vocab, dtype=bool)
        rest[ids] = False
        tail = float(np.exp(want[rest]).sum())
        if tail > 0:
            kl += tail * math.log(tail / max(1 - np.exp(have).sum(), 1e-12))
        divergences.append(kl)
        tails.append(tail)
        best += int(want.argmax()) == int(ids[0])
    out.kl_mean = float(np.mean(divergences))
    out.kl_high = float(np.quantile(divergences, 0.999))
    out.kl_max = float(np.max(divergences))
    out.kl_tail = float(np.mean(tails))
    out.same_best = best / count


PARTS = {
    "logits": compare_logits,
    "greedy": compare_greedy,
    "kl": compare_distributions,
    "perplexity": compare_perplexity,
}


def log_sum_exp(logits: np.ndarray) -> float:
    logits = logits.astype(np.float64)
    top = logits.max()
    return float(top + np.log(np.exp(logits - top).sum()))


def same(t: Tessera, model: str, other: str, ref) -> list[str]:
    """Where two checkpoints differ: everything printed but the name, so every bit of it."""
    differ = []
    for i in range(prompts(ref)):
        tokens = ref.get_tensor(f"prompt.{i}.tokens")
        top = min(ref.get_tensor(f"prompt.{i}.logits").shape[1], t.entries // len(tokens))
        one, two = (
            re.sub(rb'"model": ?"[^"]*"', b"", t.inspect(m, tokens, top, 64), count=1)
            for m in (model, other)
        )
        if one != two:
            a, b = parse_rows(one, len(tokens)), parse_rows(two, len(tokens))
            n = next((n for n in range(len(tokens)) if a.lse[n] != b.lse[n]), None)
            gap = np.abs(a.lse - b.lse).max()
            differ.append(f"prompt {i}: from position {n} on, log_sum_exp by up to {gap:.3g}")
    return differ


def table(name: str, found: dict[str, Figures], count: int) -> tuple[str, bool]:
    """The figures as text, and whether all are within their limits."""
    good = True
    rows = [["", *found]]

    def row(title: str, key: str, show, suffix: str = "") -> None:
        """A line of the table, unless no mode measured it."""
        nonlocal good
        cells = []
        for mode, f in found.items():
            value, limit = getattr(f, key), LIMITS.get((mode, key))
            if value == -1 or math.isnan(value):
                cells.append("")
                continue
            text = show(value) + suffix
            if limit is not None:
                good &= abs(value) <= limit
                text += f" {'<=' if abs(value) <= limit else 'EXCEEDS'} {limit:g}"
            cells.append(text)
        if any(cells):
            rows.append([title, *cells])

    def percent(digits: int, sign: str = "") -> Callable[[float], str]:
        return lambda x: f"{100 * x:{sign}.{digits}f} %"

    small = "{:.2e}".format
    row("logits, max |difference|", "logit", small)
    row("  rms", "logit_rms", small)
    row("  least part of a row compared", "coverage", percent(1))
    row("  log of the sum of exp, max", "lse", small)
    row("perplexity", "perplexity_own", "{:.4f}".format)
    row("  beyond the reference's", "perplexity", percent(4, "+"))
    row("  worst window", "window", percent(4, "+"))
    row("greedy continuations equal", "greedy_equal", str, f" of {count}")
    row("  others that part at a near tie", "greedy_close", str)
    row("KL divergence, mean", "kl_mean", small)
    row("  99.9 %", "kl_high", small)
    row("  max", "kl_max", small)
    row("  probability not told apart", "kl_tail", small)
    row("  same most likely token", "same_best", percent(1))
    widths = [max(len(r[n]) for r in rows) for n in range(len(rows[0]))]
    lines = [name]
    for r in rows:
        lines.append("  ".join(c.ljust(w) for c, w in zip(r, widths)).rstrip())
    for mode, f in found.items():
        if f.logit_where:
            lines.append(f"{mode}: the logit furthest off: {f.logit_where}")
        lines += [f"{mode}: {note}" for note in f.greedy_notes]
    if "precise" in found and found["precise"].greedy_equal >= 0:
        good &= found["precise"].greedy_equal + found["precise"].greedy_close == count
    return "\n".join(lines), good


def main() -> None:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("tessera", help="the program")
    p.add_argument("model", help="the checkpoint the reference was made of")
    p.add_argument("reference", help="its .ref.safetensors")
    p.add_argument("--mode", default="precise,int8", help="precise, int8 or both")
    p.add_argument("--only", default=",".join(PARTS), metavar="PARTS", help="of %(default)s")
    p.add_argument("--same", metavar="MODEL", help="a checkpoint whose output must be the same")
    p.add_argument("--threads", default="1")
    p.add_argument("--tessera-arg", action="append", default=[], metavar="ARG", help="passed on")
    p.add_argument("--text", default=str(HERE.parents[1] / "tests/data/perplexity.txt"))
    p.add_argument("--entries", type=int, default=500_000, help="logits asked for in one call")
    p.add_argument("--json", metavar="FILE", help="also write the figures there")
    args = p.parse_args()
    found, lines, good = {}, [], True
    common = ["--threads", args.threads, *args.tessera_arg]
    with safe_open(args.reference, framework="np") as ref:
        for mode in args.mode.split(","):
            extra = {"precise": ["--precise"], "int8": []}[mode]
            t = Tessera(args.tessera, common + extra, args.entries)
            f = found[mode] = Figures()
            for part in args.only.split(","):
                begun = time.time()
                PARTS[part](t, args.model, ref, args.text, f)
                print(f"{mode}: {part}: {time.time() - begun:.0f} s", file=sys.stderr, flush=True)
            if args.same:
                differ = same(t, args.model, args.same, ref)
                good &= not differ
                lines += [f"{mode}: {args.same} differs: {it}" for it in differ]
                if not differ:
                    lines.append(f"{mode}: {args.same} gives the same, bit for bit")
        text, within = table(ref.metadata()["model"], found, prompts(ref))
        print("\n".join([text, *lines]))
    if args.json:
        figures = {mode: vars(f) for mode, f in found.items()}
        Path(args.json).write_text(json.dumps(figures, indent=1) + "\n")
    raise SystemExit(0 if within and good else 1)


if __name__ == "__main__":
    main()
