"""Turns the figures of bench.py into one table: `python table.py FIGURES.json` prints it again."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median


def number(value: float) -> str:
    places = 0 if value >= 1000 else 1 if value >= 10 else 2
    return f"{value:,.{places}f}"


def spread(values: list[float]) -> str:
    """Median, with the range beside it."""
    if not values:
        return "-"
    middle = number(median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({number(min(values))}-{number(max(values))})"


def present(values: list[float | None]) -> list[float]:
    return [v for v in values if v is not None]


def pairs(row: dict, ours: str, peer: str) -> list[float]:
    """Ratios within the rounds: a machine that is busy for a while disturbs these least."""
    mine, theirs = row["engines"].get(ours, []), row["engines"].get(peer, [])
    return [a / b for a, b in zip(mine, theirs) if a is not None and b is not None]


def line(row: dict, names: list[str], ours: str | None) -> list[str]:
    peers = [n for n in names if n != ours and present(row["engines"].get(n, []))]
    lower = row["unit"] != "tok/s"  # seconds and megabytes: less is better
    best = (min if lower else max)(peers, key=lambda n: median(present(row["engines"][n])), default=None)
    cells = [f"{row['what']}, {row['unit']}", str(row["threads"])]
    for name in names:
        text = spread(present(row["engines"].get(name, [])))
        cells.append(f"**{text}**" if name == best and len(peers) > 1 else text)
    if ours and len(names) > 1:
        cells.append(spread(pairs(row, ours, best)) if best else "-")
    shares = present(row.get("of_limit", []))
    cells.append(f"{median(shares):.0%} ({min(shares):.0%}-{max(shares):.0%})" if shares else "-")
    limits = [limit for limit in row.get("limits", []) if limit]
    for kind in ("read", "int8"):
        cells.append(spread(present([limit.get(kind) for limit in limits])))
    return cells


def show(results: dict) -> str:
    """Markdown: the table, then what could not be measured and why."""
    ours, names = results["ours"], results["names"]
    head = ["model", "measure", "threads", *names]
    if ours and len(names) > 1:
        head.append(f"{ours} / best peer")
    head += [f"{ours or names[0]}, of the limit", "read, GB/s", "int8, GOP/s"]
    out = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for model, found in results["models"].items():
        for row in found["rows"]:
            out.append("| " + " | ".join([model, *line(row, names, ours)]) + " |")
    # The same reason for many cases is said once.
    reasons: dict[tuple, list[str]] = {}
    for model, found in results["models"].items():
        for it in found["failures"]:
            cases = reasons.setdefault((model, it["engine"], " ".join(it["why"].split())), [])
            cases.append(f"{it['what']} ({it['threads']}T)")
    if reasons:
        out += ["", "Not measured:", ""]
        out += [f"* {model}, {engine}: {why}. Cases: {'; '.join(c)}" for (model, engine, why), c in reasons.items()]
    return "\n".join(out)


if __name__ == "__main__":
    print(show(json.loads(Path(sys.argv[1]).read_text())))
