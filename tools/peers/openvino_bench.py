"""The tests of llama-bench, run through OpenVINO GenAI.

    python openvino_bench.py -m MODEL [-p 512] [-n 128] [-d 0] [-t 2] [--streams 1] [-r 1]

MODEL is a GGUF file (llama and qwen2 architectures in Q4_0, Q4_1, Q8_0 and the like; not Q5_0) or a
folder in OpenVINO's own form. Lists are set apart by commas. Prints a JSON list in llama-bench's fields
and two more: `n_streams`, how many sequences decode together (avg_ts counts all their
tokens), and `load_s`. Needs openvino-genai and numpy.

Every prompt is random and prefix reuse is off, so nothing is remembered from one repeat to
the next. Tokens are chosen greedily, which llama-bench does not do: a fraction of a percent.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import numpy as np
import openvino
import openvino_genai as genai

BLOCK = 32  # positions in a page of the CPU plugin's key/value cache
VOCAB = 10_000  # prompts are drawn from the first ids, which every model has


def pipeline(model: str, threads: int, positions: int, properties: dict):
    """The pipeline with room for `positions` keys and values, and the seconds it took to load."""
    scheduler = genai.SchedulerConfig()
    # The whole prompt in one step, as LLMPipeline does; the default of 256 is slower.
    scheduler.max_num_batched_tokens = max(positions, 4096)
    scheduler.num_kv_blocks = positions // BLOCK + 64
    scheduler.enable_prefix_caching = False
    scheduler.max_num_seqs = 256
    start = time.monotonic()
    settings = {"INFERENCE_NUM_THREADS": threads, **properties}
    try:
        made = genai.ContinuousBatchingPipeline(model, scheduler, "CPU", settings)
    except RuntimeError as e:  # an architecture or packing that it does not know
        reason = [line for line in str(e).splitlines() if line.strip()][-1]
        raise SystemExit(f"OpenVINO cannot load this model: {reason}") from None
    return made, time.monotonic() - start


def measure(pipe, rng, prompt: int, gen: int, streams: int) -> float:
    """Seconds to evaluate `prompt` tokens and draw one, if `gen` is 0; else for `gen` tokens after that."""
    config = genai.GenerationConfig()
    config.max_new_tokens = config.min_new_tokens = gen + 1
    config.ignore_eos = True
    handles = []
    for i in range(streams):
        ids = rng.integers(100, VOCAB, (1, max(prompt, 1)), np.int64)
        handles.append(pipe.add_request(i, openvino.Tensor(ids), config))
    start = time.perf_counter()
    started = 0
    while started < streams:
        pipe.step()
        # `read` hands out what is new: of each stream, count the first token.
        started += sum(len(out.generated_ids) for h in handles if h.can_read() for out in h.read().values())
    if gen == 0:
        return time.perf_counter() - start
    assert started == streams, "a stream was ahead of the others before all had begun"
    start, steps = time.perf_counter(), 0
    while pipe.has_non_finished_requests():
        pipe.step()
        steps += 1
    took = time.perf_counter() - start
    assert steps == gen, f"{steps} steps for {gen} tokens: the streams did not run together"
    return took


def numbers(text: str) -> list[int]:
    return [int(n) for n in text.split(",")]


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("-m", required=True, metavar="MODEL")
    p.add_argument("-p", type=numbers, default=[512], help="prompt tokens; 0 for none")
    p.add_argument("-n", type=numbers, default=[128], help="generated tokens; 0 for none")
    p.add_argument("-d", type=numbers, default=[0], help="tokens in the context before a decode test")
    p.add_argument("-t", type=numbers, default=[2], help="threads")
    p.add_argument("-r", type=int, default=1, help="repeats")
    p.add_argument("--streams", type=numbers, default=[1], help="sequences that decode together")
    p.add_argument("--property", action="append", default=[], metavar="KEY=VALUE", help="for the CPU plugin")
    args = p.parse_args()
    cases = [(n, 0, 0, 1) for n in args.p if n > 0]
    cases += [(0, n, d, s) for d in args.d for s in args.streams for n in args.n if n > 0]
    positions = max((s * (p + n + d + 2 + BLOCK) for p, n, d, s in cases), default=1)
    rng = np.random.default_rng()
    rows = []
    for threads in args.t:
        properties = dict(each.split("=", 1) for each in args.property)
        pipe, load = pipeline(args.m, threads, positions, properties)
        for prompt, gen, depth, streams in cases:
            measure(pipe, rng, 8, 2, streams)  # the first steps of a size compile kernels
            if prompt:
                measure(pipe, rng, prompt, 0, 1)
            rates = []
            for _ in range(args.r):
                took = measure(pipe, rng, prompt or depth, gen, streams)
                rates.append((gen * streams or prompt) / took)
            rows.append({
                "model": args.m, "backend": "OpenVINO GenAI " + genai.__version__,
                "n_prompt": prompt, "n_gen": gen, "n_depth": depth, "n_threads": threads, "n_streams": streams,
                "avg_ts": statistics.mean(rates), "samples_ts": rates, "load_s": load,
            })  # fmt: skip
        del pipe
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
