"""Tiny random checkpoints of each family, with the logits transformers gives in f32.

    <family>/model.safetensors           bf16 weights shared by the cases
    <family>/<case>/config.json          as found on the Hub, or as transformers 5 saves it
    <family>/<case>/golden.safetensors   tokens.{0,1} I32 [n], logits.{0,1} F32 [n, vocabulary]

`python families.py` makes all of them; names of families as arguments make only those.
"""

import argparse
import shutil

import torch

import common
import hybrids
import mixtures
import reference
from configs import V5, SavedByTransformers5, base, without

# Original contexts are tiny, so that heads of 16 and 48 tokens meet every part of each scaling.
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
YARN_ROPE = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
YARN_EXTRAS = {"attention_factor": 1.5, "beta_fast": 16.0, "beta_slow": 2.0}


def llama(**more):
    return base("llama", "LlamaForCausalLM", **more)


def mistral(**more):
    return base("mistral", "MistralForCausalLM", head_dim=24, **more)


def qwen(kind, **more):
    return base(f"qwen{kind}", f"Qwen{kind}ForCausalLM", rms_norm_eps=1e-6, **more)


def gemma(model_type, architecture, **more):
    common_part = {
        "hidden_activation": "gelu_pytorch_tanh",
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True,
        "sliding_window": 8,
        "bos_token_id": 2,
        "eos_token_id": 1,
        "pad_token_id": 0,
    }
    return without(base(model_type, architecture, **(common_part | more)), "hidden_act")


def gemma2(**more):
    values = {
        "intermediate_size": 32,
        "head_dim": 24,
        "query_pre_attn_scalar": 24,
        "attn_logit_softcapping": 3.0,  # low enough to bend ordinary scores and logits
        "final_logit_softcapping": 6.0,
    }
    return gemma("gemma2", "Gemma2ForCausalLM", **(values | more))


def gemma3(**more):
    values = {
        "head_dim": 24,
        "query_pre_attn_scalar": 24,
        "num_hidden_layers": 3,
        "sliding_window_pattern": 3,
        "rope_theta": 1000000.0,
        "rope_local_base_freq": 10000.0,
    }
    return gemma("gemma3_text", "Gemma3ForCausalLM", **(values | more))


def gemma3_deep(**more):
    """Six layers, a whole period of the default pattern: GGUF files of Gemma 3 lack the pattern."""
    values = {"num_hidden_layers": 6, "num_attention_heads": 2, "num_key_value_heads": 1}
    values |= {"intermediate_size": 16, "sliding_window_pattern": 6, "vocab_size": 64, "head_dim": 16}
    return gemma3(query_pre_attn_scalar=16, **(values | more))


def phi3(**more):
    values = {"intermediate_size": 32, "original_max_position_embeddings": 256, "sliding_window": None}
    return base("phi3", "Phi3ForCausalLM", **(values | {"pad_token_id": 0} | more))


def longrope(pairs: int) -> dict:
    return {
        "type": "longrope",
        "short_factor": [1.0 + 0.05 * i for i in range(pairs)],
        "long_factor": [1.0 + 0.75 * i for i in range(pairs)],
    }


TIED = {"tie_word_embeddings": True}
ZERO_CENTRED = {"norm": 0.0, "embed": 0.25}  # Gemma norms multiply by 1 + w, and embeddings by 8
WINDOW_FROM_LAYER_1 = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}
WINDOW_OFF = WINDOW_FROM_LAYER_1 | {"use_sliding_window": False}
# No power of two anywhere: three heads of 24 that share one key head.
THREE_HEADS = {"num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 24}

LLAMA = {"intermediate_size": 96} | TIED
QWEN3 = THREE_HEADS | TIED | {"attention_bias": False}
GEMMA3_TYPES = ["sliding_attention", "full_attention", "sliding_attention"]

# family: (rules for its random weights, {case: config.json})
FAMILIES = {
    "llama": (
        {},
        {
            "default": llama(**LLAMA),
            "theta_v5": V5(llama(**LLAMA, rope_theta=500000.0)),
            "linear": llama(**LLAMA, rope_scaling={"type": "linear", "factor": 4.0}),
            "llama3": llama(**LLAMA, rope_scaling=LLAMA3_ROPE),
            "yarn": llama(**LLAMA, rope_scaling=YARN_ROPE),
            "yarn_factor": llama(**LLAMA, rope_scaling=YARN_ROPE | YARN_EXTRAS),
        },
    ),
    "llama_untied": (
        {},
        {
            "default": llama(),
            "llama3_v5": V5(llama(rope_theta=500000.0, rope_scaling=LLAMA3_ROPE)),
        },
    ),
    "llama_bias": (
        {},
        {"default": llama(**THREE_HEADS, hidden_size=48, attention_bias=True, mlp_bias=True)},
    ),
    "llama_sharded": ({}, {"default": llama(rms_norm_eps=1e-6)}),
    "mistral": (
        {},
        {
            "window": mistral(sliding_window=8),
            "full": mistral(sliding_window=None),
        },
    ),
    "qwen2": (
        {},
        {
            "default": qwen(2, **TIED, **WINDOW_OFF, rope_theta=1000000.0),
            "window": qwen(2, **TIED, **WINDOW_FROM_LAYER_1, rope_theta=1000000.0),
            "yarn_v5": V5(qwen(2, **TIED, rope_scaling=YARN_ROPE)),
        },
    ),
    "qwen3": (
        {},
        {
            "default": qwen(3, **QWEN3, rope_theta=1000000.0),
            "window_v5": V5(qwen(3, **QWEN3, **WINDOW_FROM_LAYER_1, rope_theta=50000.0)),
        },
    ),
    "qwen3_bias": (
        {},
        {
            "default": qwen(
                3, num_attention_heads=2, num_key_value_heads=1, head_dim=32, attention_bias=True
            )
        },
    ),
    "gemma2": (
        ZERO_CENTRED,
        {
            "default": gemma2(),
            "scalar_nocaps": gemma2(
                query_pre_attn_scalar=40, attn_logit_softcapping=None, final_logit_softcapping=None
            ),
        },
    ),
    "gemma3": (
        ZERO_CENTRED,
        {
            "default": gemma3(),
            "linear": gemma3(
                query_pre_attn_scalar=40,
                sliding_window_pattern=2,
                rope_scaling={"rope_type": "linear", "factor": 8.0},
            ),
            # transformers adds `_sliding_window_pattern: 6`: `layer_types` must win over it.
            "types_v5": V5(
                without(
                    gemma3(layer_types=GEMMA3_TYPES, rope_theta=50000.0, rope_local_base_freq=100.0),
                    "sliding_window_pattern",
                )
            ),
        },
    ),
    "gemma3_deep": (ZERO_CENTRED, {"default": gemma3_deep()}),
    "phi3": (
        {},
        {
            "default": phi3(),
            "window": phi3(sliding_window=8),
            # 7 tokens stay under 16 positions, 48 pass them: one golden for each set of factors.
            "longrope": phi3(original_max_position_embeddings=16, rope_scaling=longrope(8)),
            # Both sequences stay under 64 positions, yet the attention factor of 256 / 64 applies.
            "longrope_under": phi3(original_max_position_embeddings=64, rope_scaling=longrope(8)),
        },
    ),
    "phi3_partial": (
        {},
        {
            "default": phi3(partial_rotary_factor=0.5),
            "longrope_v5": V5(
                phi3(
                    partial_rotary_factor=0.75,
                    original_max_position_embeddings=16,
                    rope_scaling=longrope(6),
                )
            ),
        },
    ),
} | mixtures.FAMILIES | hybrids.FAMILIES


def resolve(case) -> dict:
    """A case's config.json."""
    return reference.transformers5_json(case) if isinstance(case, SavedByTransformers5) else case


def save_weights(directory, family, weights):
    if family != "llama_sharded":
        common.save(directory / "model.safetensors", weights, {"format": "pt"})
        return
    names = sorted(weights)
    halves = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, part in halves.items():
        common.save(directory / file, {n: weights[n] for n in part}, {"format": "pt"})
    total = sum(w.numel() * w.element_size() for w in weights.values())
    weight_map = {n: file for file, part in halves.items() for n in part}
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    common.save_json(directory / "model.safetensors.index.json", index)


def make(family: str, seed: int):
    rules, cases = FAMILIES[family]
    configs = {name: resolve(case) for name, case in cases.items()}
    weights = reference.random_weights(next(iter(configs.values())), seed, rules)
    vocabulary = next(iter(configs.values()))["vocab_size"]
    sequences = reference.tokens(vocabulary, seed, rules.get("long", reference.LONG))
    directory = common.fresh(common.MODEL_FIXTURES / family)
    save_weights(directory, family, weights)
    seen = {}
    for name, config in configs.items():
        golden, error = reference.golden(config, weights, sequences)
        common.save_json(directory / name / "config.json", config)
        common.save(directory / name / "golden.safetensors", golden)
        # A case that changes nothing tests nothing: each must differ clearly from its siblings.
        gap = min((float((golden["logits.1"] - other).abs().max()) for other in seen.values()), default=0)
        assert not seen or gap > 0.05, f"{family}/{name} hardly differs from another case: {gap}"
        seen[name] = golden["logits.1"]
        spread = float(golden["logits.1"].std())
        print(f"{family}/{name}: spread {spread:.2f}, f32 error {error:.1e}, nearest sibling {gap:.2f}")
    return directory


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("families", nargs="*", help="which to make (default: all)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for family in arguments.families or FAMILIES:
        directory = make(family, arguments.seed)
        print(f"{family}: {common.check_size(directory)} bytes")


if __name__ == "__main__":
    main()
