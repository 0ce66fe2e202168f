"""What the configurations of most families have in common."""

VOCABULARY = 96


def base(model_type: str, architecture: str, **more) -> dict:
    return {
        "architectures": [architecture],
        "model_type": model_type,
        "dtype": "bfloat16",
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "hidden_act": "silu",
        "max_position_embeddings": 256,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
    } | more


def without(config: dict, *names) -> dict:
    return {k: v for k, v in config.items() if k not in names}


class SavedByTransformers5(dict):
    """A case whose config.json is written the way transformers 5 saves this config."""


V5 = SavedByTransformers5
