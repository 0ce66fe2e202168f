"""Runs our benchmark and our peers' on the same models, turn about, and makes one table of it.

    python bench.py MODEL.gguf ... [--best FILE.gguf ...] --tessera PROGRAM --llama-bench PROGRAM
                    --llama-batched-bench PROGRAM --openvino PYTHON
                    [-p 512,4096] [-n 64] [-d 0,2048,8192] [--streams 1,4,16] [-t 1,2] [-r 5] [--json FILE]

A round measures every case at every thread count once. Within a case the engines follow each
other directly, each round in another order, and the machine's limits are sampled just before and after
ours: so a slow minute of the machine falls on all. Figures are medians over the rounds with the range beside
them; ratios and fractions of the limit are taken within a round first. "start" is the wall time of a
process that loads the model and evaluates one token.

modelfile.py says what a token costs, limits.py what the machine can do, engines.py how each
engine is asked. A new engine is one more function there.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import modelfile
from engines import START, Case, Engine, Failed, engines, run
from limits import fraction, sample_or_none
from table import show


def cases(args, work: modelfile.Work) -> list[Case]:
    """Prefill of each length, decode at each depth, then several streams."""
    out = [Case(p, 0, 0, 1) for p in args.p if p]
    if args.n:
        # A file that was trained for 8,192 positions is measured as deep as it goes.
        depths = dict.fromkeys(min(d, work.context - args.n) for d in args.d)
        if 1 in args.streams:
            out += [Case(0, args.n, d, 1) for d in depths]
        out += [Case(0, args.n, args.stream_depth, s) for s in args.streams if s > 1]
    return out


class Figures:
    """The figures of one model: a row for each measure, its values by engine and round."""

    def __init__(self) -> None:
        self.rows: dict[tuple, dict] = {}
        self.failures: dict[tuple, str] = {}

    def row(self, what: str, unit: str, threads: int) -> dict:
        empty = {"what": what, "unit": unit, "threads": threads, "engines": {}, "peak_mb": {}}
        empty |= {"limits": [], "of_limit": []}
        return self.rows.setdefault((what, unit, threads), empty)

    def put(self, row: dict, engine: str, value: float | None, peak_mb: float | None = None) -> None:
        """One round's value, or None: the place in the list is the round."""
        row["engines"].setdefault(engine, []).append(value)
        row["peak_mb"].setdefault(engine, []).append(peak_mb)

    def plain(self) -> dict:
        failures = [{"engine": e, "what": w, "threads": t, "why": y} for (e, w, t), y in self.failures.items()]
        return {"rows": list(self.rows.values()), "failures": failures}


def attempt(figures: Figures, engine: Engine, case: Case, threads: int):
    """One run, or None; what failed once is not tried again in later rounds."""
    key = (engine.name, str(case), threads)
    if key in figures.failures:
        return None
    try:
        return run(engine, case, threads)
    except Failed as why:
        figures.failures[key] = str(why)
        print(f"{engine.name}, {case}, {threads} threads: {why}", file=sys.stderr)
        return None


def limits_now(figures: Figures, model: str, args, work, case: Case, threads: int) -> dict[str, float]:
    limit = sample_or_none(args.tessera, model, work, threads)
    if "failed" in limit:
        figures.failures.setdefault(("limits", str(case), threads), limit.pop("failed"))
    return limit


def one_case(figures, order: list[Engine], ours: str, args, model, work, case: Case, threads: int) -> None:
    row = figures.row(str(case), "tok/s", threads)
    for engine in order:
        if engine.name != ours:
            it = attempt(figures, engine, case, threads)
            figures.put(row, engine.name, it and it.rate, it and it.peak_mb)
            continue
        # Other work on the machine can only lower a sample, so the higher of two counts.
        before = limits_now(figures, model, args, work, case, threads)
        it = attempt(figures, engine, case, threads)
        after = limits_now(figures, model, args, work, case, threads)
        limit = {kind: max(before.get(kind, 0), after.get(kind, 0)) for kind in before | after}
        figures.put(row, engine.name, it and it.rate, it and it.peak_mb)
        row["limits"].append(limit)
        row["of_limit"].append(it and fraction(work, case, it.rate, limit))


def measure(figures: Figures, round_: int, model: str, best: str | None, args) -> None:
    """One round of one model."""
    work = modelfile.read(Path(model))
    every = engines(args, model, best)
    turn = round_ % len(every)
    order = every[turn:] + every[:turn]
    # Without tessera the first peer's share of the limit is shown.
    ours = every[0].name
    for threads in args.t:
        for case in cases(args, work):
            one_case(figures, order, ours, args, model, work, case, threads)
    for engine in order:
        it = attempt(figures, engine, START, args.t[0])
        figures.put(figures.row("start", "s", args.t[0]), engine.name, it and it.seconds)
        figures.put(figures.row("memory after start", "MB", args.t[0]), engine.name, it and it.peak_mb)


def numbers(text: str) -> list[int]:
    return [int(n) for n in text.split(",")]


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("models", nargs="+")
    p.add_argument("--best", action="append", default=[], metavar="FILE",
                   help="the same model in the peers' best packing; once a model, in order; '-' for none")  # fmt: skip
    p.add_argument("--tessera", help="our program")
    p.add_argument("--llama-bench", help="llama.cpp's llama-bench")
    p.add_argument("--llama-batched-bench", help="llama.cpp's llama-batched-bench, for several streams")
    p.add_argument("--openvino", metavar="PYTHON", help="a Python that has openvino-genai")
    for name in ("tessera", "llama", "openvino"):
        p.add_argument(f"--{name}-arg", action="append", default=[], help="one more argument for it")
    p.add_argument("-p", type=numbers, default=[512, 4096], help="prompt tokens (0 for none)")
    p.add_argument("-n", type=int, default=64, help="generated tokens (0 for none)")
    p.add_argument("-d", type=numbers, default=[0, 2048, 8192], help="depths: tokens already in the context")
    p.add_argument("--streams", type=numbers, default=[1, 4, 16], help="sequences that decode together")
    p.add_argument("--stream-depth", type=int, default=0, help="the depth of each where there are several")
    p.add_argument("-t", type=numbers, default=[1, 2], help="thread counts")
    p.add_argument("-r", type=int, default=5, help="rounds")
    p.add_argument("--json", help="every single figure, into this file, after every round")
    args = p.parse_args()
    if args.best and len(args.best) != len(args.models):
        p.error(f"{len(args.models)} models need as many --best ('-' for none), not {len(args.best)}")
    if not (args.tessera or args.llama_bench or args.openvino):
        p.error("name at least one engine: --tessera, --llama-bench, --openvino")
    return args


def main() -> None:
    args = arguments()
    bests = [None if b == "-" else b for b in args.best] or [None] * len(args.models)
    figures = {m: Figures() for m in args.models}
    results = {}
    for round_ in range(args.r):
        for model, best in zip(args.models, bests):
            measure(figures[model], round_, model, best, args)
            names = [e.name for m, b in zip(args.models, bests) for e in engines(args, m, b)]
            results = {
                "ours": "tessera" if args.tessera else None,
                "names": list(dict.fromkeys(names)),
                "models": {Path(m).name: f.plain() for m, f in figures.items()},
            }
            if args.json:
                Path(args.json).write_text(json.dumps(results, indent=1) + "\n")
            print(f"{Path(model).name}: round {round_ + 1} of {args.r}", file=sys.stderr, flush=True)
    print(show(results))


if __name__ == "__main__":
    main()
