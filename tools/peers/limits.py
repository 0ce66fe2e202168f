"""The limits of the machine, sampled beside the figures, and how near to them a figure is."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from engines import HERE, Case, Failed, bench_help, execute
from modelfile import Work


@cache
def _read_program() -> tuple[tempfile.TemporaryDirectory, str]:
    """readbw.c, compiled once; its folder goes when the program ends."""
    folder = tempfile.TemporaryDirectory()
    program = f"{folder.name}/readbw"
    flags = ["-O3", "-march=native", "-pthread"]
    subprocess.run([os.environ.get("CC", "cc"), *flags, str(HERE / "readbw.c"), "-o", program], check=True)
    return folder, program


@cache
def _ours_can(tessera: str) -> bool:
    return "--limits" in bench_help(tessera)


def sample(tessera: str | None, model: str, work: Work, threads: int) -> dict[str, float]:
    """`read` in GB/s and `int8` in 1e9 operations/s, two a multiply-add.

    `tessera bench --limits` knows both; without it readbw.c gives the first, and the second is left out."""
    if tessera and _ours_can(tessera):
        text, *_ = execute([tessera, "bench", model, "--limits", "-t", threads, "--json"])
        rows = [row for row in json.loads(text) if int(row.get("n_threads", threads)) == threads]
        return {row["limit"]: float(row["value"]) for row in rows}
    megabytes = max(1, work.weight_bytes // 1_000_000)
    text, *_ = execute([_read_program()[1], megabytes, threads])
    return {"read": float(text.split()[1])}


def seconds(work: Work, case: Case, limit: dict[str, float]) -> float | None:
    """The least time `case` can take: what must be read, or what must be multiplied, whichever is longer.

    None where a limit that may matter is not known. Attention is counted at the rate of int8
    products too, though its keys and values are floats: a limit, not a forecast."""
    read, int8 = limit.get("read"), limit.get("int8")
    if case.prompt:
        if not int8 or not read:
            return None
        ops = case.prompt * work.row_ops(case.depth + case.prompt / 2, output=False) + 2 * work.output_products
        return max(ops / int8, work.step_bytes(case.depth, 1) / read) / 1e9
    if not read or (case.streams > 1 and not int8):
        return None
    depth = case.depth + case.gen / 2
    step = work.step_bytes(depth, case.streams) / read
    if int8:
        step = max(step, case.streams * work.row_ops(depth, output=True) / int8)
    return case.gen * step / 1e9


def fraction(work: Work, case: Case, rate: float, limit: dict[str, float]) -> float | None:
    """How much of the limit a rate in tokens per second is: 1 would be all of it."""
    least = seconds(work, case, limit)
    return least and least * rate / (case.prompt or case.gen * case.streams)


def sample_or_none(tessera: str | None, model: str, work: Work, threads: int) -> dict[str, float]:
    try:
        return sample(tessera, model, work, threads)
    except (Failed, OSError, subprocess.CalledProcessError, KeyError, ValueError) as e:
        return {"failed": str(e)}
