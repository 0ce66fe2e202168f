"""The hybrids' fixtures as GGUF files, under the names, metadata keys and layouts llama.cpp's converter uses.

What differs from the original checkpoint:
    all              A_log becomes -exp(A_log); it and D are [heads, 1], norms of groups [groups, width]; kernels of
                     convolutions lose their axis of one
    falcon-h1        every factor is multiplied into the weights
    granite*         query and key rows are paired, as llama's are; gate and up, fused here, are apart there
    nemotron_h_moe   experts are stacked
    lfm2moe          likewise
Which layers attend is told by how many key/value heads each has.

`python gguf_hybrids.py` adds model.gguf to the cases in CASES, and makes those of ALONE; families.py must have run before.
"""

import json

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from safetensors.torch import load_file

import blocks
import common
import reference
from gguf_files import add_tokenizer, pair_rows, parse

CASES = {
    "mamba2": "default",
    "mamba2_tied": "default",
    "falcon_h1_folded": "default",
    "lfm2_untied": "default",
    "granite": "default",
    "granitemoe": "default",
    "granitemoehybrid_dense": "default",
    "nemotron_h": "ungrouped_v5",
    "nemotron_h_dense": "default",
}
# In directories of their own, `<family>_gguf`, with goldens for fields set to what the format has no word for.
ALONE = {"lfm2_moe": {"routed_scaling_factor": 1.0}}
ARCHITECTURES = {"falcon_h1": "falcon-h1", "granitemoehybrid": "granitehybrid", "lfm2_moe": "lfm2moe"}
UNBOUNDED = 2**20
FLOATS = ("ssm_a", "ssm_d", "ssm_norm", "conv1d", "conv.weight")  # matrices that stay f32


def architecture(config) -> str:
    if config.model_type == "nemotron_h":
        return "nemotron_h_moe" if "moe" in config.layers_block_type else "nemotron_h"
    return ARCHITECTURES.get(config.model_type, config.model_type)


def ssm(config) -> tuple[int, int, int, int, int]:
    """Heads, elements of one, groups, state, kernel."""
    keys = {
        "mamba2": ("num_heads", "head_dim", "n_groups", "state_size", "conv_kernel"),
        "nemotron_h": ("mamba_num_heads", "mamba_head_dim", "n_groups", "ssm_state_size", "conv_kernel"),
    }
    prefixed = [f"mamba_{key}" for key in ("n_heads", "d_head", "n_groups", "d_state", "d_conv")]
    return tuple(getattr(config, key) for key in keys.get(config.model_type, prefixed))


def kinds(config) -> list[str]:
    every = {"mamba2": "linear_attention", "falcon_h1": "full_attention", "granite": "full_attention"}
    every |= {"granitemoe": "full_attention"}
    kind = every.get(config.model_type)
    return [kind] * config.num_hidden_layers if kind else config.layer_types


def add_metadata(writer: gguf.GGUFWriter, config):
    kind, layers = config.model_type, kinds(config)
    writer.add_type("model")
    writer.add_name("Tessera test")
    writer.add_block_count(len(layers))
    writer.add_embedding_length(config.hidden_size)
    eps = next(getattr(config, key) for key in ("layer_norm_epsilon", "norm_eps", "rms_norm_eps") if hasattr(config, key))
    (writer.add_layer_norm_eps if kind == "nemotron_h" else writer.add_layer_norm_rms_eps)(eps)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    unbounded = kind == "mamba2" or kind == "granitemoehybrid" and config.position_embedding_type != "rope"
    writer.add_context_length(UNBOUNDED if unbounded else config.max_position_embeddings)
    if kind == "mamba2":
        writer.add_feed_forward_length(0)
        writer.add_head_count(0)
    else:
        heads = [config.num_key_value_heads if layer == "full_attention" else 0 for layer in layers]
        writer.add_head_count(config.num_attention_heads)
        writer.add_head_count_kv(heads if len(set(heads)) > 1 else heads[0])
    if kind == "nemotron_h":
        moe = architecture(config) == "nemotron_h_moe"
        width = config.moe_intermediate_size if moe else config.intermediate_size
        writer.add_feed_forward_length([width if layer == ("moe" if moe else "mlp") else 0 for layer in layers])
    elif kind == "lfm2_moe":
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_expert_feed_forward_length(config.moe_intermediate_size)
        writer.add_expert_count(config.num_experts)
        writer.add_expert_used_count(config.num_experts_per_tok)
        writer.add_leading_dense_block_count(config.num_dense_layers)
        writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    elif kind == "lfm2":
        writer.add_feed_forward_length(lfm2_width(config))
    elif kind != "mamba2":
        writer.add_feed_forward_length(config.intermediate_size)
    if kind in ("falcon_h1", "nemotron_h"):
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    if kind not in ("mamba2", "nemotron_h"):
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    if kind.startswith("lfm2"):
        writer.add_shortconv_l_cache(config.conv_L_cache)
    if kind in ("mamba2", "falcon_h1", "granitemoehybrid", "nemotron_h"):
        heads, width, groups, state, kernel = ssm(config)
        writer.add_ssm_conv_kernel(kernel)
        writer.add_ssm_inner_size(heads * width)
        writer.add_ssm_state_size(state)
        writer.add_ssm_time_step_rank(heads)
        writer.add_ssm_group_count(groups)
    if kind.startswith("granite"):
        writer.add_attention_scale(config.attention_multiplier)
        writer.add_embedding_scale(config.embedding_multiplier)
        writer.add_residual_scale(config.residual_multiplier)
        writer.add_logit_scale(config.logits_scaling)
        if getattr(config, "num_local_experts", 0):
            writer.add_expert_count(config.num_local_experts)
            writer.add_expert_used_count(config.num_experts_per_tok)
    if kind == "granitemoehybrid":
        writer.add_expert_shared_feed_forward_length(config.shared_intermediate_size)
        writer.add_rope_scaling_finetuned(config.position_embedding_type == "rope")
    if architecture(config) == "nemotron_h_moe":
        writer.add_expert_used_count(config.num_experts_per_tok)
        writer.add_expert_feed_forward_length(config.moe_intermediate_size)
        writer.add_expert_shared_feed_forward_length(config.moe_shared_expert_intermediate_size)
        writer.add_expert_count(config.n_routed_experts)
        writer.add_expert_weights_norm(config.norm_topk_prob)
        writer.add_expert_weights_scale(config.routed_scaling_factor)
        writer.add_expert_group_count(config.n_group)


def lfm2_width(config) -> int:
    if not config.block_auto_adjust_ff_dim:
        return config.intermediate_size
    width = int(config.block_ffn_dim_multiplier * int(2 * config.intermediate_size / 3))
    return -(-width // config.block_multiple_of) * config.block_multiple_of


def falcon_factors(config, name: str, rows: int):
    """What the converter multiplies a Falcon-H1 tensor by."""
    if "in_proj" in name:
        heads, width, groups, state, _ = ssm(config)
        sizes = [heads * width, heads * width, groups * state, groups * state, heads]
        return config.ssm_in_multiplier * np.repeat(np.float32(config.ssm_multipliers), sizes)[:, None]
    within = {
        "down_proj": config.mlp_multipliers[1],
        "gate_proj": config.mlp_multipliers[0],
        "k_proj": config.key_multiplier * config.attention_in_multiplier,
        "q_proj": config.attention_in_multiplier,
        "v_proj": config.attention_in_multiplier,
        "o_proj": config.attention_out_multiplier,
        "out_proj": config.ssm_out_multiplier,
        "lm_head": config.lm_head_multiplier,
        "embed_tokens": config.embedding_multiplier,
    }
    return next((factor for part, factor in within.items() if f"{part}.weight" in name), 1.0)


def renamed(config, name: str, values: np.ndarray):
    """A tensor under the names that gguf-py knows, as one or more."""
    kind = config.model_type
    if name.endswith(".dt_bias"):
        name = name.removesuffix(".dt_bias") + ".dt_proj.bias"
    if name.endswith(".A_log"):
        values = -np.exp(values)
    if name.endswith((".A_log", ".D")):
        values = values.reshape(-1, 1)
    if name.endswith(("conv1d.weight", "conv.conv.weight")):
        values = values.squeeze(1)
    if name.endswith((".mamba.norm.weight", ".mixer.norm.weight")):
        values = values.reshape(ssm(config)[2], -1)
    if kind == "falcon_h1":
        values = np.float32(values * falcon_factors(config, name, len(values)))
    if kind.startswith("granite") and ".q_proj." in name:
        values = pair_rows(values, config.num_attention_heads)
    if kind.startswith("granite") and ".k_proj." in name:
        values = pair_rows(values, config.num_key_value_heads)
    if name.endswith(".expert_bias"):
        name += ".bias"
    if "e_score_correction_bias" in name:
        name = name.replace("e_score_correction_bias", "e_score_correction.bias")
    if name.endswith("input_linear.weight"):
        gate, up = np.split(values, 2, axis=-2)
        layer = name.split(".")[2]
        experts = bool(getattr(config, "num_local_experts", 0))
        suffix = "exps" if "sparse" in name else "shexp" if experts else None
        for part, half in (("gate", gate), ("up", up)):
            yield f"blk.{layer}.ffn_{part}" + (f"_{suffix}" if suffix else "") + ".weight", half
        return
    if name.endswith("shared_mlp.output_linear.weight") and not getattr(config, "num_local_experts", 0):
        yield f"blk.{name.split('.')[2]}.ffn_down.weight", values
        return
    yield name, values


def stacked(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Experts' tensors in one for each layer."""
    out = {}
    for name, values in weights.items():
        if ".experts." not in name:
            out[name] = values
            continue
        prefix, rest = name.split(".experts.")
        index, projection = rest.split(".")[:2]
        layer = prefix.split(".")[2]
        block = f"model.layers.{layer}.mlp" if projection.endswith("_proj") else f"layers.{layer}.feed_forward"
        out.setdefault(f"{block}.experts.{projection}.weight", []).append((int(index), values))
    sort = lambda found: np.stack([v for _, v in sorted(found, key=lambda pair: pair[0])])  # noqa: E731
    return {name: sort(found) if isinstance(found, list) else found for name, found in out.items()}


def write(path, config: dict, weights: dict[str, np.ndarray]):
    config = parse(config)
    arch = architecture(config)
    ids = {name: i for i, name in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(ids[arch], config.num_hidden_layers)
    writer = gguf.GGUFWriter(path, arch)
    add_metadata(writer, config)
    add_tokenizer(writer, config)
    for original, tensor in stacked(weights).items():
        for name, values in renamed(config, original, tensor):
            target = name if name.startswith("blk.") else names.get_name(name, try_suffixes=(".weight", ".bias"))
            assert target, name
            plain = values.ndim == 1 or any(part in target for part in FLOATS)
            if plain:
                writer.add_tensor(target, values)
            else:
                writer.add_tensor(target, blocks.encode("BF16", values), raw_dtype=Type["BF16"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    for family, case in CASES.items():
        directory = common.MODEL_FIXTURES / family
        config = json.loads((directory / case / "config.json").read_text())
        weights = {name: t.float().numpy() for name, t in load_file(directory / "model.safetensors").items()}
        write(directory / case / "model.gguf", config, weights)
        print(f"{family}/{case}/model.gguf: directory now {common.check_size(directory)} bytes")
    for family, fields in ALONE.items():
        source, directory = common.MODEL_FIXTURES / family, common.fresh(common.MODEL_FIXTURES / f"{family}_gguf")
        config = json.loads((source / "default/config.json").read_text()) | fields
        weights = load_file(source / "model.safetensors")
        sequences = reference.tokens(config["vocab_size"], 1, reference.RECURRENT)
        golden, error = reference.golden(config, weights, sequences)
        common.save(directory / "default/golden.safetensors", golden)
        write(directory / "default/model.gguf", config, {name: t.float().numpy() for name, t in weights.items()})
        print(f"{family}_gguf: f32 error {error:.1e}, {common.check_size(directory)} bytes")


if __name__ == "__main__":
    main()
