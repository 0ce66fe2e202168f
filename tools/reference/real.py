"""Reference results of real checkpoints: transformers, f32, on dequantised weights.

    python real.py OUT MODEL [MODEL ...] [--text FILE] [--prompts FILE]

A MODEL is a GGUF file or a checkpoint directory (mlx or Hugging Face); its stem is
the name of the result, OUT/<name>.ref.safetensors. README.md says what is in it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

import weights

HERE = Path(__file__).resolve().parent
LAST = 4  # positions of every prompt whose logits are kept
GREEDY = 64  # tokens of greedy continuation
WINDOW, STRIDE = 512, 256  # of the perplexity
ROWS = 256  # rows of log probabilities


def render(prompt: dict, template: str | None) -> str:
    """The text of a prompt; a chat goes through the model's template where there is one."""
    if "messages" not in prompt:
        return prompt["text"]
    if template is None:
        return "\n\n".join(m["content"] for m in prompt["messages"]) + "\n\n"
    import jinja2

    def fail(message):
        raise ValueError(message)

    env = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    env.filters["tojson"] = lambda x, **kw: json.dumps(x, ensure_ascii=False, **kw)
    env.globals["raise_exception"] = fail
    return env.from_string(template).render(messages=prompt["messages"], add_generation_prompt=True)


@torch.inference_mode()
def run_prompt(model, ids: list[int], hidden: bool) -> dict[str, np.ndarray]:
    n = len(ids)
    first = max(0, n - LAST)
    step = model(torch.tensor([ids]), use_cache=True, output_hidden_states=hidden)
    logits = step.logits[0]
    out = {
        "tokens": np.array(ids, dtype=np.int32),
        "positions": np.arange(first, n, dtype=np.int32),
        "logits": logits[first:].numpy().copy(),
    }
    if hidden:
        out["hidden"] = torch.cat(step.hidden_states).numpy().copy()
    cache, row = step.past_key_values, logits[-1]
    greedy, margin = [], []
    for _ in range(GREEDY):
        top = torch.topk(row, 2)
        greedy.append(int(top.indices[0]))
        margin.append(float(top.values[0] - top.values[1]))
        step = model(torch.tensor([[greedy[-1]]]), past_key_values=cache, use_cache=True)
        cache, row = step.past_key_values, step.logits[0, -1]
    out["greedy"] = np.array(greedy, dtype=np.int32)
    out["margin"] = np.array(margin, dtype=np.float32)
    return out


@torch.inference_mode()
def perplexity(model, ids: list[int], bos: int | None) -> dict[str, np.ndarray]:
    """Strided perplexity. README.md holds the definition; keep the two together."""
    n = len(ids)
    nll = np.full(n, np.nan, dtype=np.float32)
    rows = None
    lead = [] if bos is None else [bos]
    scored = 0 if lead else 1  # the first token that has not been scored yet
    for begin in range(0, n, STRIDE):
        end = min(begin + WINDOW, n)
        logits = model(torch.tensor([lead + ids[begin:end]]), use_cache=False).logits[0]
        logp = torch.log_softmax(logits.double(), dim=-1)
        if begin == 0:
            rows = logp[len(lead) : len(lead) + ROWS].float().numpy().copy()
        # the row before token i predicts it
        index = torch.arange(scored, end)
        at = index - begin + len(lead) - 1
        nll[scored:end] = -logp[at, torch.tensor(ids)[index]].float().numpy()
        scored = end
        del logits, logp
        if end == n:
            break
    mean = float(np.nanmean(nll.astype(np.float64)))
    return {
        "tokens": np.array(ids, dtype=np.int32),
        "nll": nll,
        "mean_nll": np.array([mean], dtype=np.float64),
        "perplexity": np.array([math.exp(mean)], dtype=np.float64),
        "logprobs": rows,
    }


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out")
    p.add_argument("models", nargs="+")
    p.add_argument("--text", default=HERE.parents[1] / "tests/data/perplexity.txt")
    p.add_argument("--prompts", default=HERE / "prompts.json")
    p.add_argument("--threads", type=int, default=1)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    prompts = json.loads(Path(args.prompts).read_text())
    text = Path(args.text).read_text()
    Path(args.out).mkdir(parents=True, exist_ok=True)
    for path in args.models:
        start = time.time()
        name = Path(path).name.removesuffix(".gguf")
        model, config = weights.load(path)
        tok = weights.tokenizer(path)
        template, bos = weights.chat_template(path), weights.bos_token(path)
        lead = [] if bos is None else [bos]
        tensors = {}
        rendered = []
        for i, prompt in enumerate(prompts):
            rendered.append(render(prompt, template))
            ids = lead + tok.encode(rendered[-1], add_special_tokens=False).ids
            for key, value in run_prompt(model, ids, hidden=i == 0).items():
                tensors[f"prompt.{i}.{key}"] = value
            margin = tensors[f"prompt.{i}.margin"]
            said = tok.decode(tensors[f"prompt.{i}.greedy"].tolist(), skip_special_tokens=False)
            print(f"{name} prompt {i}: {len(ids)} tokens, least margin {margin.min():.4f}: {said[:90]!r}", flush=True)
        ids = tok.encode(text, add_special_tokens=False).ids
        for key, value in perplexity(model, ids, bos).items():
            tensors[f"ppl.{key}"] = value
        print(f"{name}: {len(ids)} tokens, perplexity {tensors['ppl.perplexity'][0]:.4f}, {time.time() - start:.0f} s")
        meta = {
            "model": name,
            "config": json.dumps(config),
            "bos": json.dumps(bos),
            "prompts": json.dumps(rendered, ensure_ascii=False),
            "text_sha256": hashlib.sha256(text.encode()).hexdigest(),
            "window": str(WINDOW),
            "stride": str(STRIDE),
        }
        save_file(tensors, Path(args.out) / f"{name}.ref.safetensors", metadata=meta)


if __name__ == "__main__":
    main()
