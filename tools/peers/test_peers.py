"""Tests of the comparison with made-up engines and a made-up model; needs Python only."""

from __future__ import annotations

import contextlib
import io
import json
import struct
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import bench
import modelfile
from engines import Case, Failed, pick, pick_batched
from limits import fraction, seconds
from modelfile import Work

# Two layers of width 8: 1,000 products a row, 100 more for the output, 500 bytes.
SMALL = Work(500, 1000, 100, layers=2, width=8, kv_width=4, window=None, global_every=1, context=64)


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def gguf(path: Path, untied: bool) -> None:
    """A head, and as many zeros as its tensors have bytes. One matrix of a layer, one norm."""
    meta = {"block_count": 2, "embedding_length": 8, "context_length": 64,
            "attention.head_count": 2, "attention.head_count_kv": 1}  # fmt: skip
    pairs = text("general.architecture") + struct.pack("<I", 8) + text("llama")
    pairs += text("tokens") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("bc")
    for key, value in meta.items():
        pairs += text(f"llama.{key}") + struct.pack("<II", 4, value)
    tensors = [("token_embd.weight", [8, 16], 512), ("blk.0.ffn_up.weight", [8, 32], 1024), ("n.weight", [8], 32)]
    if untied:
        tensors.append(("output.weight", [8, 16], 512))
    heads, offset = b"", 0
    for name, shape, size in tensors:
        heads += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, offset)
        offset += size
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 2 + len(meta)) + pairs + heads
    path.write_bytes(head + bytes(-len(head) % 32) + bytes(offset))


class Sizes(unittest.TestCase):
    def test_an_embedding_is_read_whole_only_as_the_output(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "m.gguf"
            for untied in (False, True):
                gguf(path, untied)
                work = modelfile.read(path)
                self.assertEqual(work.weight_bytes, 512 + 1024 + 32)
                self.assertEqual((work.products, work.output_products), (256, 128))
                self.assertEqual((work.layers, work.width, work.kv_width, work.context), (2, 8, 4, 64))

    def test_a_window_bounds_what_most_layers_see(self):
        work = Work(0, 0, 0, layers=18, width=1, kv_width=1, window=512, global_every=6, context=0)
        self.assertEqual(work.positions(100), 18 * 100)
        self.assertEqual(work.positions(2048), 3 * 2048 + 15 * 512)


class Limits(unittest.TestCase):
    def test_decode_reads_weights_once_and_each_stream_s_keys_and_values(self):
        # Mean depth 10: 2 layers x 10 positions x 4 wide x (keys and values) x 2 bytes = 320 a stream.
        limit = {"read": 1e-9, "int8": 1e6}
        self.assertAlmostEqual(seconds(SMALL, Case(0, 4, 8, 1), limit), 4 * (500 + 320))
        self.assertAlmostEqual(seconds(SMALL, Case(0, 4, 8, 3), limit), 4 * (500 + 3 * 320))

    def test_prefill_multiplies(self):
        # Mean depth 8: attention 2 x (2 layers x 8 positions x 8 wide) products a row; one row of logits.
        least = seconds(SMALL, Case(16, 0, 0, 1), {"read": 1e6, "int8": 1e-9})
        self.assertAlmostEqual(least, 16 * 2 * (1000 + 256) + 200)

    def test_what_is_not_known_gives_no_figure(self):
        self.assertIsNone(seconds(SMALL, Case(16, 0, 0, 1), {"read": 1}))
        self.assertIsNone(seconds(SMALL, Case(0, 4, 0, 2), {"read": 1}))
        self.assertIsNone(fraction(SMALL, Case(0, 4, 0, 1), 1.0, {}))

    def test_a_run_as_fast_as_the_limit_is_all_of_it(self):
        for case in (Case(16, 0, 0, 1), Case(0, 4, 8, 1), Case(0, 4, 8, 3)):
            limit = {"read": 1e-9, "int8": 1e-9}
            rate = (case.prompt or case.gen * case.streams) / seconds(SMALL, case, limit)
            self.assertAlmostEqual(fraction(SMALL, case, rate, limit), 1)


class Answers(unittest.TestCase):
    def test_the_object_of_the_case_is_found(self):
        rows = [{"n_prompt": 0, "n_gen": 4, "n_depth": d, "n_streams": s, "avg_ts": d + s} for d in (0, 8) for s in (1, 2)]
        self.assertEqual(pick(rows, Case(0, 4, 8, 2))["avg_ts"], 10)
        with self.assertRaises(Failed):
            pick(rows, Case(0, 4, 8, 3))

    def test_batched_lines(self):
        line = json.dumps({"tg": 4, "pl": 2, "speed_tg": 7.5, "n_threads": 1})
        self.assertEqual(pick_batched(f"noise\n{line}\n", Case(0, 4, 0, 2))["avg_ts"], 7.5)


# Stands for tessera (twice as fast) and for llama-bench; it cannot do more than 2 streams.
ENGINE = """#!{python}
import json, sys
a = sys.argv
of = lambda flag, default=None: int(a[a.index(flag) + 1]) if flag in a else default
ours = a[1] == "bench"
if "--help" in a:
    print("--streams --limits")
elif "--limits" in a:
    t = of("-t")
    print(json.dumps([{{"limit": "read", "n_threads": t, "value": 1.0}}, {{"limit": "int8", "n_threads": t, "value": 2.0}}]))
elif of("--streams", 1) > 2:
    sys.exit("too many streams")
else:
    print(json.dumps([{{"n_prompt": of("-p"), "n_gen": of("-n"), "n_depth": of("-d"), "n_threads": of("-t"),
                       "n_streams": of("--streams", 1), "avg_ts": 20.0 if ours else 10.0}}]))
"""


class Whole(unittest.TestCase):
    def test_a_comparison(self):
        with tempfile.TemporaryDirectory() as folder:
            program, model, out = (Path(folder) / name for name in ("engine", "m.gguf", "figures.json"))
            program.write_text(ENGINE.format(python=sys.executable))
            program.chmod(0o755)
            gguf(model, untied=False)
            line = [model, "--tessera", program, "--llama-bench", program, "-p", "8", "-n", "4", "-d", "0,9999",
                    "--streams", "1,2,3", "-t", "1", "-r", "2", "--json", out]  # fmt: skip
            table = io.StringIO()
            with mock.patch("sys.argv", ["bench.py", *map(str, line)]), contextlib.redirect_stdout(table):
                with contextlib.redirect_stderr(io.StringIO()):
                    bench.main()
            found = json.loads(out.read_text())["models"]["m.gguf"]
        rows = {row["what"]: row for row in found["rows"]}
        # The depth beyond the context was cut.
        self.assertEqual(list(rows)[:3], ["prefill 8", "decode 4", "decode 4 @60"])
        self.assertEqual(rows["prefill 8"]["engines"], {"tessera": [20, 20], "llama.cpp": [10, 10]})
        self.assertEqual(rows["prefill 8"]["limits"], [{"read": 1, "int8": 2}] * 2)
        # Mean depth 2: 1,568 bytes and 2 x 2 x 4 x 2 x 2 of keys and values, 20 times a second, of 1 GB/s.
        self.assertAlmostEqual(rows["decode 4"]["of_limit"][1] * 1e9, 20 * (1568 + 64))
        self.assertEqual(rows["decode 4, 3 streams"]["engines"], {"tessera": [None] * 2, "llama.cpp": [None] * 2})
        whys = {(f["engine"], f["what"]): f["why"] for f in found["failures"]}
        self.assertIn("too many streams", whys["tessera", "decode 4, 3 streams"])
        self.assertIn("--llama-batched-bench", whys["llama.cpp", "decode 4, 2 streams"])
        expected = "| m.gguf | decode 4, tok/s | 1 | 20.0 (20.0-20.0) | 10.0 (10.0-10.0) | 2.00 (2.00-2.00) |"
        self.assertIn(expected, table.getvalue())


if __name__ == "__main__":
    unittest.main()
