"""Families with mixtures of experts, and Qwen's hybrids; and OLMo 2, which has neither."""

import reference
from configs import V5, base, without

TIED = {"tie_word_embeddings": True}
THREE_HEADS = {"num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 24}
WINDOW_FROM_LAYER_1 = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}
YARN_ROPE = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
QWEN3 = THREE_HEADS | TIED | {"attention_bias": False}


def mixture(**more):
    """Six experts, of which a token goes to two."""
    steps = {"decoder_sparse_step": 1, "mlp_only_layers": []}
    return {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 24} | steps | more


def qwen3_moe(**more):
    return base("qwen3_moe", "Qwen3MoeForCausalLM", rms_norm_eps=1e-6, **(mixture() | more))


def mixtral(**more):
    values = {"num_local_experts": 4, "num_experts_per_tok": 2, "intermediate_size": 48}
    return base("mixtral", "MixtralForCausalLM", **(values | more))


def phimoe(**more):
    values = {"num_local_experts": 5, "num_experts_per_tok": 2, "intermediate_size": 24, "sliding_window": None}
    values |= {"vocab_size": 64, "hidden_size": 48, "num_attention_heads": 3, "num_key_value_heads": 1}
    # So wide that for most tokens some experts are within reach, and some are not.
    values |= {"router_jitter_noise": 0.3, "attention_bias": True, "lm_head_bias": True}
    return base("phimoe", "PhiMoEForCausalLM", **(values | more))


def longrope(original: int) -> dict:
    """Phi's divisors, and factors of their own for either set."""
    values = {"short_factor": [1.0 + 0.05 * i for i in range(8)], "long_factor": [1.0 + 0.75 * i for i in range(8)]}
    values |= {"short_mscale": 1.15, "long_mscale": 1.4, "original_max_position_embeddings": original}
    return {"rope_scaling": values | {"type": "longrope"}}


def olmo2(**more):
    return base("olmo2", "Olmo2ForCausalLM", rms_norm_eps=1e-6, **more)


def hybrid(model_type, architecture, **more):
    """A gated delta rule (two key heads, each with three value heads), attention, a delta rule."""
    values = {
        "vocab_size": 48,
        "hidden_size": 64,
        "num_hidden_layers": 3,
        "full_attention_interval": 2,
        "head_dim": 24,
        "num_attention_heads": 3,
        "num_key_value_heads": 1,
        "partial_rotary_factor": 0.25,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 6,
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 8,
        "linear_conv_kernel_dim": 4,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
    }
    return base(model_type, architecture, **(values | more))


def qwen3_next(**more):
    values = mixture(num_experts=5, moe_intermediate_size=8, shared_expert_intermediate_size=12)
    return hybrid("qwen3_next", "Qwen3NextForCausalLM", **(values | more))


def qwen3_5(**more):
    return hybrid("qwen3_5_text", "Qwen3_5ForCausalLM", **more)


def qwen3_5_moe(**more):
    values = mixture(num_experts=5, moe_intermediate_size=16, shared_expert_intermediate_size=24)
    config = hybrid("qwen3_5_moe_text", "Qwen3_5MoeForCausalLM", **(values | more))
    return without(config, "intermediate_size")


# Norms centred on zero whose sums with one are exact, and a sequence of more than three chunks.
HYBRID = {"norm": 0.0, "sharp": 0.0, "head": 0.25, "fold": True, "long": reference.RECURRENT}
MROPE = {"rope_type": "default", "rope_theta": 50000.0, "partial_rotary_factor": 0.5}
MROPE |= {"mrope_interleaved": True, "mrope_section": [3, 2, 1]}

# family: (rules for its random weights, {case: config.json})
FAMILIES = {
    "qwen3_moe": (
        {},
        {
            "default": qwen3_moe(**QWEN3, norm_topk_prob=True, rope_theta=1000000.0),
            "unnormalised_v5": V5(qwen3_moe(**QWEN3, norm_topk_prob=False)),
            "window": qwen3_moe(**QWEN3, norm_topk_prob=True, **WINDOW_FROM_LAYER_1),
        },
    ),
    # Of four layers the second alone has a mixture.
    "qwen3_moe_steps": (
        {},
        {
            "default": qwen3_moe(
                num_hidden_layers=4,
                num_experts=5,
                moe_intermediate_size=16,
                intermediate_size=40,
                decoder_sparse_step=2,
                mlp_only_layers=[3],
                norm_topk_prob=True,
            )
        },
    ),
    "mixtral": (
        {},
        {
            "default": mixtral(rope_theta=1000000.0),
            "window_v5": V5(mixtral(sliding_window=8, num_experts_per_tok=1)),
        },
    ),
    "phimoe": (
        {},
        {
            "default": phimoe(),
            "window": phimoe(sliding_window=8, router_jitter_noise=0.01),
            # 7 tokens stay under 16 positions, 48 pass them.
            "longrope": phimoe(**longrope(16)),
            "longrope_under_v5": V5(phimoe(**longrope(64))),
        },
    ),
    "phimoe_tied": ({}, {"default": phimoe(**TIED, attention_bias=False, lm_head_bias=False, vocab_size=48)}),
    "olmo2": (
        {},
        {"default": olmo2(rope_theta=500000.0), "scaled": olmo2(rope_scaling=YARN_ROPE)},
    ),
    "olmo2_tied": ({}, {"default_v5": V5(olmo2(**THREE_HEADS, **TIED, attention_bias=True))}),
    "qwen3_next": (
        HYBRID,
        {
            "default": qwen3_next(norm_topk_prob=True),
            "unnormalised_v5": V5(qwen3_next(norm_topk_prob=False)),
        },
    ),
    "qwen3_5": (
        HYBRID,
        {
            "default": qwen3_5(),
            "mrope_v5": V5(without(qwen3_5(rope_parameters=MROPE), "rope_theta", "partial_rotary_factor")),
        },
    ),
    "qwen3_5_tied": (
        HYBRID | {"embed": 0.25},
        {
            "default": qwen3_5(
                **TIED,
                attention_bias=True,
                layer_types=["full_attention", "linear_attention", "linear_attention"],
                linear_num_key_heads=3,
                linear_num_value_heads=3,
            )
        },
    ),
    "qwen3_5_moe": (HYBRID | {"fused": True}, {"default": qwen3_5_moe()}),
}
