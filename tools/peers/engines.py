"""The engines that are compared: how each is asked for one figure, and how its answer is read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Case:
    """One thing to measure: a prompt of so many tokens, or so many generated after `depth` tokens."""

    prompt: int
    gen: int
    depth: int
    streams: int

    def __str__(self) -> str:
        text = f"prefill {self.prompt}" if self.prompt else f"decode {self.gen}"
        text += f" @{self.depth}" if self.depth else ""
        return text + (f", {self.streams} streams" if self.streams > 1 else "")


# Loading and one token: what a user waits for before the first answer begins.
START = Case(1, 0, 0, 1)


class Failed(Exception):
    """An engine could not do a case; the text says why."""


@dataclass(frozen=True)
class Engine:
    name: str
    command: Callable[[Case, int], list]  # (case, threads); raises Failed if it has no such test
    parse: Callable[[str, Case], dict] = lambda text, case: pick(json.loads(text), case)


@dataclass(frozen=True)
class Run:
    rate: float  # tokens per second, of all streams together
    seconds: float  # wall time of the process
    peak_mb: float


def pick(rows: list[dict], case: Case) -> dict:
    """The object that answers `case`, in a list with the fields of llama-bench."""
    for row in rows:
        found = (row["n_prompt"], row["n_gen"], row["n_depth"], row.get("n_streams", 1))
        if tuple(map(int, found)) == (case.prompt, case.gen, case.depth, case.streams):
            return row
    raise Failed(f"its output has no object for {case}")


def pick_batched(text: str, case: Case) -> dict:
    """The same of llama-batched-bench, which prints an object a line and counts otherwise."""
    for line in text.splitlines():
        if line.startswith("{"):
            row = json.loads(line)
            if (row["tg"], row["pl"]) == (case.gen, case.streams):
                return {"avg_ts": row["speed_tg"], "n_threads": row["n_threads"]}
    raise Failed(f"its output has no line for {case}")


def execute(command: list) -> tuple[str, float, float]:
    """(standard output, wall seconds, peak resident megabytes) of one process."""
    command = [str(c) for c in command]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.monotonic()
        child = subprocess.Popen(command, stdout=out, stderr=err, stdin=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        text, complaint = out.read().decode(), err.read().decode(errors="replace")
    if child.returncode != 0:
        print(f"{' '.join(command)}\n{complaint.strip()[-2000:]}", file=sys.stderr)
        last = [line.strip() for line in complaint.splitlines() if line.strip()][-3:]
        raise Failed(f"ended with {child.returncode}: {' / '.join(last)[-300:]}")
    scale = 1e6 if sys.platform == "darwin" else 1e6 / 1024  # bytes there, KiB elsewhere
    return text, wall, usage.ru_maxrss / scale


def run(engine: Engine, case: Case, threads: int) -> Run:
    command = engine.command(case, threads)
    text, wall, peak = execute(command)
    try:
        row = engine.parse(text, case)
    except (json.JSONDecodeError, KeyError, TypeError) as e:
        raise Failed(f"printed something else ({e!r}): {text[:300]}") from None
    if int(row["n_threads"]) != threads:
        raise Failed(f"asked for {threads} threads it used {row['n_threads']}")
    return Run(float(row["avg_ts"]), wall, peak)


def flags(case: Case, threads: int) -> list:
    return ["-p", case.prompt, "-n", case.gen, "-d", case.depth, "-t", threads, "-r", 1]


def bench_help(tessera: str) -> str:
    """What `tessera bench --help` says: an older program has fewer options."""
    return subprocess.run([tessera, "bench", "--help"], check=True, capture_output=True, text=True).stdout


def ours(args, model: str) -> Engine:
    has_streams = "--streams" in bench_help(args.tessera)

    def command(case, threads):
        if case.streams > 1 and not has_streams:
            raise Failed("this program's bench has no --streams")
        streams = ["--streams", case.streams] if case.streams > 1 else []
        return [args.tessera, "bench", model, *flags(case, threads), *streams, "--json", *args.tessera_arg]

    return Engine("tessera", command)


def llama(args, name: str, model: str) -> Engine:
    """llama-bench, and llama-batched-bench for several streams."""

    def batched(case, threads):
        if not args.llama_batched_bench:
            raise Failed("several streams need --llama-batched-bench")
        # Every stream has its own part of the context, rounded up to what llama.cpp pads to.
        each = -(-(case.depth + case.gen + 1) // 256) * 256
        return [args.llama_batched_bench, "-m", model, "-c", each * case.streams, "-npp", max(1, case.depth),
                "-ntg", case.gen, "-npl", case.streams, "-t", threads, "-tb", threads,
                "--output-format", "jsonl", *args.llama_arg]  # fmt: skip

    def command(case, threads):
        if case.streams > 1:
            return batched(case, threads)
        return [args.llama_bench, "-m", model, *flags(case, threads), "-o", "json", *args.llama_arg]

    def parse(text, case):
        return pick_batched(text, case) if case.streams > 1 else pick(json.loads(text), case)

    return Engine(name, command, parse)


def openvino(args, name: str, model: str) -> Engine:
    def command(case, threads):
        program = [args.openvino, HERE / "openvino_bench.py", "-m", model]
        return [*program, *flags(case, threads), "--streams", case.streams, *args.openvino_arg]

    return Engine(name, command)


def engines(args, model: str, best: str | None) -> list[Engine]:
    """Ours first; of each peer one on the same file and one on the file that is best for peers."""
    out = [ours(args, model)] if args.tessera else []
    for program, make, name in ((args.llama_bench, llama, "llama.cpp"), (args.openvino, openvino, "OpenVINO")):
        if program:
            out.append(make(args, name, model))
            if best:
                out.append(make(args, f"{name}, best file", best))
    return out
