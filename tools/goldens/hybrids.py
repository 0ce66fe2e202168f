"""Families with state spaces and short convolutions, alone and among attention.

Their longer sequences pass three edges of chunks of 64, where prefill is computed in chunks.
"""

import reference
from configs import V5, base, without

RULES = {"ssm": True, "long": reference.RECURRENT}
TIED = {"tie_word_embeddings": True}
INFINITE = float("inf")


def small(model_type, architecture, **more):
    values = {"vocab_size": 48, "hidden_size": 48, "num_attention_heads": 3, "num_key_value_heads": 1}
    return base(model_type, architecture, **(values | more))


def mamba2(**more):
    values = {
        "hidden_size": 36,
        "num_heads": 6,
        "head_dim": 12,
        "expand": 2,
        "n_groups": 2,
        "state_size": 16,
        "conv_kernel": 4,
        "chunk_size": 32,
        "layer_norm_epsilon": 1e-5,
        "use_bias": False,
        "use_conv_bias": True,
        "time_step_limit": [0.0, INFINITE],
    }
    config = small("mamba2", "Mamba2ForCausalLM", **(values | more))
    return without(
        config,
        "num_attention_heads",
        "num_key_value_heads",
        "intermediate_size",
        "max_position_embeddings",
        "rms_norm_eps",
        "rope_theta",
    )


def prefixed(**more):
    """A state space in a hybrid that followed Bamba: six heads in two groups."""
    values = {
        "mamba_n_heads": 6,
        "mamba_d_head": 16,
        "mamba_n_groups": 2,
        "mamba_d_state": 8,
        "mamba_d_conv": 4,
        "mamba_expand": 2,
        "mamba_chunk_size": 32,
        "mamba_conv_bias": True,
        "mamba_proj_bias": False,
    }
    return values | more


def falcon_h1(**more):
    values = prefixed(
        mamba_d_ssm=72,
        mamba_d_head=12,
        mamba_rms_norm=True,
        mamba_norm_before_gate=False,
        projectors_bias=False,
        mlp_bias=False,
        attention_bias=False,
        head_dim=16,
        rope_theta=1e11,
        embedding_multiplier=1.75,
        lm_head_multiplier=0.625,
        key_multiplier=0.75,
        attention_in_multiplier=1.25,
        attention_out_multiplier=0.9375,
        ssm_in_multiplier=1.5,
        ssm_out_multiplier=0.75,
        ssm_multipliers=[0.875, 0.75, 0.625, 1.25, 0.5],
        mlp_multipliers=[0.875, 1.25],
    )
    return small("falcon_h1", "FalconH1ForCausalLM", **(values | more))


FALCON_FACTORS = [name for name in falcon_h1() if name.endswith(("multiplier", "multipliers"))]


def lfm2(**more):
    values = {
        "num_hidden_layers": 3,
        "intermediate_size": 90,  # adjusted: two thirds, up to the next multiple
        "block_multiple_of": 16,
        "block_ffn_dim_multiplier": 1.0,
        "block_auto_adjust_ff_dim": True,
        "norm_eps": 1e-5,
        "conv_L_cache": 3,
        "conv_bias": False,
        "rope_theta": 1000000.0,
    }
    config = small("lfm2", "Lfm2ForCausalLM", **(values | TIED | more))
    return without(config, "rms_norm_eps", "hidden_act")


def lfm2_moe(**more):
    values = {
        "num_hidden_layers": 4,
        "layer_types": ["conv", "full_attention", "conv", "conv"],
        "intermediate_size": 40,
        "moe_intermediate_size": 24,
        "num_experts": 5,
        "num_experts_per_tok": 2,
        "num_dense_layers": 1,
        "routed_scaling_factor": 1.5,
        "use_expert_bias": True,
        "norm_topk_prob": True,
    }
    changed = {"model_type": "lfm2_moe", "architectures": ["Lfm2MoeForCausalLM"]}
    config = lfm2(**(values | more)) | changed
    return without(config, "block_ff_dim", "block_auto_adjust_ff_dim", "block_multiple_of", "block_ffn_dim_multiplier")


FACTORS = {
    "embedding_multiplier": 1.75,
    "residual_multiplier": 0.75,
    "attention_multiplier": 0.375,
    "logits_scaling": 1.25,
}


def granite(**more):
    return small("granite", "GraniteForCausalLM", rope_theta=10000.0, **(FACTORS | more))


def granitemoe(**more):
    values = {"num_local_experts": 5, "num_experts_per_tok": 2, "intermediate_size": 24}
    return small("granitemoe", "GraniteMoeForCausalLM", **(FACTORS | values | more))


def granitemoehybrid(**more):
    values = prefixed(
        num_hidden_layers=3,
        intermediate_size=16,
        shared_intermediate_size=40,
        num_local_experts=5,
        num_experts_per_tok=2,
        layer_types=["mamba", "attention", "mamba"],
        position_embedding_type="nope",
    )
    return small("granitemoehybrid", "GraniteMoeHybridForCausalLM", **(FACTORS | values | more))


def nemotron_h(pattern, **more):
    values = {
        "hybrid_override_pattern": pattern,
        "num_hidden_layers": len(pattern),
        "hidden_size": 32,
        "head_dim": 16,
        "intermediate_size": 40,
        "mamba_num_heads": 6,
        "mamba_head_dim": 8,
        "n_groups": 2,
        "ssm_state_size": 8,
        "conv_kernel": 4,
        "chunk_size": 32,
        "use_conv_bias": True,
        "use_bias": False,
        "mlp_bias": False,
        "mlp_hidden_act": "relu2",
        "mamba_hidden_act": "silu",
        "layer_norm_epsilon": 1e-5,
        # transformers clamps steps to it, which nothing else does; as small as this, all agree
        "time_step_min": 1e-9,
        "n_routed_experts": 8,
        "num_experts_per_tok": 3,
        "moe_intermediate_size": 16,
        "n_shared_experts": 1,
        "moe_shared_expert_intermediate_size": 24,
        "routed_scaling_factor": 2.5,
        "norm_topk_prob": True,
        "n_group": 4,
        "topk_group": 2,
    }
    config = small("nemotron_h", "NemotronHForCausalLM", **(values | more))
    return without(config, "rms_norm_eps", "rope_theta", "hidden_act")


FAMILIES = {
    "mamba2": (
        RULES,
        {
            "default": mamba2(),
            "limited_v5": V5(mamba2(time_step_limit=[0.03, 0.12])),
        },
    ),
    "mamba2_tied": (
        RULES,
        {
            "default": mamba2(
                **TIED, num_heads=3, head_dim=24, n_groups=1, conv_kernel=3, use_bias=True, use_conv_bias=False
            ),
        },
    ),
    "falcon_h1": (
        RULES,
        {
            "default": falcon_h1(),
            "norm_first": falcon_h1(mamba_norm_before_gate=True, time_step_limit=[0.03, 0.12]),
            "factorless_v5": V5(without(falcon_h1(), *FALCON_FACTORS)),
        },
    ),
    # No norm after the state space, heads of a width that follows, and every bias there can be.
    "falcon_h1_tied": (
        RULES,
        {
            "default": falcon_h1(
                **TIED,
                mamba_d_ssm=None,
                mamba_d_head="auto",
                mamba_n_groups=3,
                mamba_rms_norm=False,
                mamba_conv_bias=False,
                mamba_proj_bias=True,
                projectors_bias=True,
                mlp_bias=True,
                attention_bias=True,
            ),
        },
    ),
    # A single layer with factors of two, which bf16 does not notice: to be compared with a file that has them folded.
    "falcon_h1_folded": (
        RULES,
        {
            "default": falcon_h1(
                num_hidden_layers=1,
                embedding_multiplier=2.0,
                lm_head_multiplier=0.5,
                key_multiplier=0.5,
                attention_in_multiplier=2.0,
                attention_out_multiplier=0.25,
                ssm_in_multiplier=4.0,
                ssm_out_multiplier=0.5,
                ssm_multipliers=[0.5, 0.25, 1.0, 2.0, 0.125],
                mlp_multipliers=[0.5, 2.0],
            ),
        },
    ),
    "lfm2": (
        RULES,
        {
            "default": lfm2(layer_types=["conv", "full_attention", "conv"]),
            "indices": without(
                lfm2(full_attn_idxs=[1], block_ff_dim=90, tie_embedding=True, rope_theta=10000.0),
                "intermediate_size",
                "tie_word_embeddings",
            ),
            "theta_v5": V5(lfm2(layer_types=["conv", "full_attention", "conv"], rope_theta=50.0)),
        },
    ),
    "lfm2_untied": (
        RULES,
        {
            "default": lfm2(
                tie_word_embeddings=False,
                layer_types=["full_attention", "conv", "conv"],
                intermediate_size=56,
                block_auto_adjust_ff_dim=False,
                conv_L_cache=4,
                conv_bias=True,
            ),
        },
    ),
    "lfm2_moe": (
        RULES,
        {
            "default": lfm2_moe(),
            "plain": lfm2_moe(norm_topk_prob=False, routed_scaling_factor=0.75),
        },
    ),
    "granite": (
        RULES,
        {
            "default": granite(),
            "linear_v5": V5(granite(rope_scaling={"rope_type": "linear", "factor": 8.0})),
        },
    ),
    "granitemoe": (RULES, {"default": granitemoe(**TIED)}),
    "granitemoeshared": (
        RULES,
        {
            "default": granitemoe(shared_intermediate_size=40)
            | {"model_type": "granitemoeshared", "architectures": ["GraniteMoeSharedForCausalLM"]},
        },
    ),
    "granitemoehybrid": (
        RULES,
        {
            "default": granitemoehybrid(),
            "rope_v5": V5(
                granitemoehybrid(position_embedding_type="rope", num_experts_per_tok=1, time_step_limit=[0.03, 0.12])
            ),
        },
    ),
    # Without experts, with one group and heads of a width that follows, attention first.
    "granitemoehybrid_dense": (
        RULES,
        {
            "default": granitemoehybrid(
                **TIED,
                num_local_experts=0,
                num_experts_per_tok=0,
                intermediate_size=40,  # unused but in GGUF files, where both widths must be the same
                mamba_n_heads=3,
                mamba_n_groups=1,
                mamba_d_head="auto",
                layer_types=["attention", "mamba", "mamba"],
                attention_bias=True,
                mamba_proj_bias=True,
                mamba_conv_bias=False,
            ),
        },
    ),
    # As its smallest models are: attention alone, rotated.
    "granitemoehybrid_attention": (
        RULES,
        {
            "default": granitemoehybrid(
                num_local_experts=0,
                num_experts_per_tok=0,
                layer_types=["attention", "attention", "attention"],
                position_embedding_type="rope",
            ),
        },
    ),
    "nemotron_h": (
        RULES,
        {
            "default": nemotron_h("ME*EM"),
            "ungrouped_v5": V5(nemotron_h("ME*EM", n_group=1, topk_group=1, norm_topk_prob=False)),
        },
    ),
    # Three heads in one group, attention first, and biases. (transformers never ties this family's head.)
    "nemotron_h_dense": (
        RULES,
        {
            "default": nemotron_h(
                "*-MM-",
                mamba_num_heads=3,
                mamba_head_dim=24,
                n_groups=1,
                use_bias=True,
                mlp_bias=True,
                use_conv_bias=False,
            ),
        },
    ),
}
