"""Runs our benchmark and a peer's on the same files, turn about, and compares them.

    python bench.py MODEL.gguf ... --tessera PROGRAM --llama-bench PROGRAM
                    [-p 512] [-n 128] [-d 0,2048] [-t 1,2] [-r 5] [--json FILE] [--bandwidth]

A round is one run of each engine at each thread count; the engines change places from
one round to the next, so that a slow minute of the machine falls on both. Every figure
is the median over the rounds, with the range beside it; the ratio is the median of the
ratios within the rounds, which a machine that is busy for a while disturbs least. Peak memory is the kernel's
figure for the process (wait4). "start" is the wall time of a process that loads the
model and evaluates one token: load time, as a user feels it.

A new engine is one more entry in `engines()`: a function from a model and settings to
a command line that prints a JSON list of objects with the fields of `llama-bench -o json`
(n_prompt, n_gen, n_depth, n_threads, avg_ts).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


def engines(args) -> dict:
    """Name -> command(model, prompt, gen, depth, threads). Ours first."""

    def flags(model, p, n, d, t):
        return ["-p", p, "-n", n, "-d", d, "-t", t, "-r", 1]

    out = {}
    if args.tessera:
        out["tessera"] = lambda m, *s: [args.tessera, "bench", m, *flags(m, *s), "--json", *args.tessera_arg]
    if args.llama_bench:
        out["llama.cpp"] = lambda m, *s: [args.llama_bench, "-m", m, *flags(m, *s), "-o", "json", *args.llama_arg]
    return out


def run(command: list) -> tuple[list, float, float]:
    """(parsed output, wall seconds, peak resident megabytes) of one process."""
    command = [str(c) for c in command]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.monotonic()
        child = subprocess.Popen(command, stdout=out, stderr=err)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        text, complaint = out.read().decode(), err.read().decode(errors="replace")
    if child.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\nended with {child.returncode}:\n{complaint[-2000:]}")
    scale = 1e6 if sys.platform == "darwin" else 1e3  # bytes there, KiB elsewhere
    try:
        rows = json.loads(text) if text.strip() else []
    except json.JSONDecodeError as e:
        raise SystemExit(f"{' '.join(command)}\nprinted no JSON ({e}):\n{text[:500]}") from None
    return rows, wall, usage.ru_maxrss * (1.024 if scale == 1e3 else 1) / scale


def label(row: dict) -> str:
    kind = "+".join(f"{tag}{row[key]}" for tag, key in (("pp", "n_prompt"), ("tg", "n_gen")) if row[key])
    return kind + (f" @{row['n_depth']}" if row.get("n_depth") else "")


def bandwidth(model: Path, threads: list[int]) -> dict[int, float]:
    """GB/s of plain reads of as many bytes as the model has."""
    with tempfile.TemporaryDirectory() as tmp:
        program = f"{tmp}/readbw"
        flags = ["-O3", "-march=native", "-pthread"]
        subprocess.run([os.environ.get("CC", "cc"), *flags, str(HERE / "readbw.c"), "-o", program], check=True)
        size = max(1, model.stat().st_size // 1_000_000)
        text = subprocess.run(
            [program, str(size), *map(str, threads)], check=True, capture_output=True, text=True
        ).stdout
    return {int(t): float(g) for t, g in (line.split() for line in text.splitlines())}


def measure(model: str, args) -> list[dict]:
    """Every figure of one model: {what, threads, unit, engine name: [values]}."""
    every = engines(args)
    threads = [int(t) for t in args.t.split(",")]
    table: dict[tuple, dict] = {}

    def note(what, t, unit, engine, value):
        row = table.setdefault((what, t), {"what": what, "threads": t, "unit": unit})
        row.setdefault(engine, []).append(value)

    for repeat in range(args.r):
        order = list(every) if repeat % 2 == 0 else list(every)[::-1]
        for t in threads:
            if args.bandwidth:
                note("read", t, "GB/s", "machine", bandwidth(Path(model), [t])[t])
            for engine in order:
                for d in args.d.split(","):
                    rows, _, peak = run(every[engine](model, args.p, args.n, d, t))
                    for row in rows:
                        assert int(row["n_threads"]) == t, row
                        note(label(row), t, "tok/s", engine, float(row["avg_ts"]))
                        if "load_s" in row:
                            note("load (own figure)", t, "s", engine, float(row["load_s"]))
                    note(f"peak memory, depth {d}", t, "MB", engine, peak)
        for engine in order:
            _, wall, peak = run(every[engine](model, 1, 0, 0, threads[0]))
            note("start", threads[0], "s", engine, wall)
            note("memory after start", threads[0], "MB", engine, peak)
        print(f"{Path(model).name}: round {repeat + 1} of {args.r}", file=sys.stderr, flush=True)
    return list(table.values())


def figure(values: list[float] | None) -> str:
    if not values:
        return "-"
    places = 0 if min(values) >= 1000 else 1 if min(values) >= 10 else 3
    middle = f"{statistics.median(values):.{places}f}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):.{places}f}-{max(values):.{places}f})"


def show(results: dict[str, list[dict]], names: list[str]) -> str:
    ours, theirs = names[0], names[-1]
    head = ["model", "measure", "threads", *names]
    if len(names) > 1:
        head.append(f"{ours} / {theirs}")
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for model, rows in results.items():
        for row in rows:
            cells = [model, f"{row['what']}, {row['unit']}", str(row["threads"])]
            if "machine" in row:
                cells += [figure(row["machine"])] + [""] * (len(head) - 4)
            else:
                cells += [figure(row.get(n)) for n in names]
                if len(names) > 1:
                    pairs = [a / b for a, b in zip(row.get(ours, []), row.get(theirs, []))]
                    cells.append(f"{statistics.median(pairs):.2f}" if pairs else "-")
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("models", nargs="+")
    p.add_argument("--tessera", help="our program")
    p.add_argument("--llama-bench", help="llama.cpp's llama-bench")
    p.add_argument("--tessera-arg", action="append", default=[], help="one more argument for ours")
    p.add_argument("--llama-arg", action="append", default=[], help="one more argument for llama-bench")
    p.add_argument("-p", default="512", help="prompt tokens (0 for none)")
    p.add_argument("-n", default="128", help="generated tokens (0 for none)")
    p.add_argument("-d", default="0", help="depths: tokens already in the context")
    p.add_argument("-t", default="1,2", help="thread counts")
    p.add_argument("-r", type=int, default=5, help="rounds")
    p.add_argument("--json", help="every single figure, into this file")
    p.add_argument("--bandwidth", action="store_true", help="measure reads beside every thread count (needs cc)")
    args = p.parse_args()
    names = list(engines(args))
    if not names:
        p.error("name at least one engine: --tessera, --llama-bench")
    results = {}
    for model in args.models:
        results[Path(model).name] = measure(model, args)
        if args.json:
            Path(args.json).write_text(json.dumps(results, indent=1) + "\n")
    print(show(results, names))


if __name__ == "__main__":
    main()
