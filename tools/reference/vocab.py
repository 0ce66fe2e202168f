"""Rebuilds tokenizers from the vocabulary that a GGUF file carries.

Three independent encoders come out of one vocabulary:

* `hf_tokenizer`: a Hugging Face `tokenizers` object built as the official
  tokenizer.json of that family is built;
* `sentencepiece_model`: for SentencePiece vocabularies, a model for the
  sentencepiece library itself;
* llama.cpp's own, which needs nothing from here (see llama_ids.cpp).
"""

from __future__ import annotations

import json

from ggufread import Gguf

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

QWEN2_REGEX = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# Added tokens which the official Qwen2.5 tokenizer.json marks as not special: they are
# recognised in any text. GGUF files and llama.cpp call the last six control tokens.
QWEN2_NOT_SPECIAL = {
    "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>",
    "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>",
}  # fmt: skip


def tokenizer_json(g: Gguf) -> dict:
    """A tokenizer.json for the vocabulary of `g`, in the official shape of its family."""
    model = g.get("tokenizer.ggml.model")
    pre = g.get("tokenizer.ggml.pre")
    tokens = g.get("tokenizer.ggml.tokens")
    types = g.get("tokenizer.ggml.token_type")
    if model == "gpt2" and pre in ("smollm", "qwen2"):
        return _byte_level(g, pre, tokens, types)
    if model == "llama" and g.arch == "gemma3":
        return _gemma(g, tokens, types)
    raise SystemExit(f"no recipe for a {model}/{pre} vocabulary")


def _added(ident: int, text: str, special: bool) -> dict:
    return {
        "id": ident, "content": text, "single_word": False, "lstrip": False,
        "rstrip": False, "normalized": False, "special": special,
    }  # fmt: skip


def _byte_level(g: Gguf, pre: str, tokens: list[str], types: list[int]) -> dict:
    added = [
        _added(i, t, not (pre == "qwen2" and t in QWEN2_NOT_SPECIAL))
        for i, (t, ty) in enumerate(zip(tokens, types))
        if ty in (CONTROL, USER_DEFINED)
    ]
    own = pre == "smollm"  # its added tokens are also entries of the BPE vocabulary
    keep = (NORMAL, CONTROL, USER_DEFINED) if own else (NORMAL,)
    vocab = {t: i for i, (t, ty) in enumerate(zip(tokens, types)) if ty in keep}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": own, "use_regex": own}
    if own:
        first = {"type": "Digits", "individual_digits": True}
    else:
        first = {"type": "Split", "pattern": {"Regex": QWEN2_REGEX}, "behavior": "Isolated", "invert": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None if own else {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [first, byte_level]},
        "post_processor": None if own else byte_level,
        "decoder": {"type": "ByteLevel", "add_prefix_space": own, "trim_offsets": own, "use_regex": own},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None if own else "",
            "end_of_word_suffix": None if own else "", "fuse_unk": False, "byte_fallback": False,
            "ignore_merges": False, "vocab": vocab, "merges": g.get("tokenizer.ggml.merges"),
        },
    }  # fmt: skip


def _piece(text: str) -> str:
    """A token as SentencePiece spells it. GGUF writes user-defined ones with plain spaces."""
    return text.replace(" ", "\u2581")


def _gemma(g: Gguf, tokens: list[str], types: list[int]) -> dict:
    scores = g.get("tokenizer.ggml.scores")
    vocab = {_piece(t): i for i, t in enumerate(tokens)}
    # Merges, as the conversion from SentencePiece generates them: every way to split a
    # piece into two pieces, best score first, ties by the ids of the two halves.
    # User-defined pieces have score 0 there (the GGUF says -1000) and come first.
    merges = []
    for i, (token, ty) in enumerate(zip(tokens, types)):
        if ty not in (NORMAL, USER_DEFINED) or len(token) < 2:
            continue
        text = _piece(token)
        score = 0.0 if ty == USER_DEFINED else scores[i]
        for cut in range(1, len(text)):
            left, right = vocab.get(text[:cut]), vocab.get(text[cut:])
            if left is not None and right is not None:
                merges.append((-score, i, left, right, text[:cut], text[cut:]))
    merges.sort(key=lambda m: m[:4])
    added = [
        _added(i, _piece(t), ty == CONTROL)
        for i, (t, ty) in enumerate(zip(tokens, types))
        if ty in (CONTROL, USER_DEFINED)
    ]
    bos = tokens[g.get("tokenizer.ggml.bos_token_id")]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
        "pre_tokenizer": {
            "type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False,
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": bos, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [
                {"SpecialToken": {"id": bos, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": bos, "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}},
            ],
            "special_tokens": {bos: {"id": bos, "ids": [vocab[bos]], "tokens": [bos]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
                {"type": "ByteFallback"}, {"type": "Fuse"},
            ],
        },
        "model": {
            "type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
            "vocab": vocab, "merges": [[m[4], m[5]] for m in merges],
        },
    }  # fmt: skip


def hf_tokenizer(g: Gguf):
    import tokenizers

    return tokenizers.Tokenizer.from_str(json.dumps(tokenizer_json(g), ensure_ascii=False))


def sentencepiece_model(g: Gguf):
    """A sentencepiece processor with the pieces, scores and kinds of the vocabulary."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2 as pb

    m = pb.ModelProto()
    kinds = {NORMAL: 1, UNKNOWN: 2, CONTROL: 3, USER_DEFINED: 4, UNUSED: 5, BYTE: 6}
    unknown = g.get("tokenizer.ggml.unknown_token_id")
    rows = zip(g.get("tokenizer.ggml.tokens"), g.get("tokenizer.ggml.scores"), g.get("tokenizer.ggml.token_type"))
    for i, (token, score, ty) in enumerate(rows):
        m.pieces.add(piece=_piece(token), score=score, type=kinds[UNKNOWN if i == unknown else ty])
    m.trainer_spec.model_type = 2  # BPE
    m.trainer_spec.byte_fallback = True
    m.trainer_spec.unk_id = unknown
    m.trainer_spec.bos_id = g.get("tokenizer.ggml.bos_token_id")
    m.trainer_spec.eos_id = g.get("tokenizer.ggml.eos_token_id")
    m.trainer_spec.pad_id = g.get("tokenizer.ggml.padding_token_id")
    m.normalizer_spec.name = "identity"
    m.normalizer_spec.add_dummy_prefix = bool(g.get("tokenizer.ggml.add_space_prefix"))
    m.normalizer_spec.remove_extra_whitespaces = False
    m.normalizer_spec.escape_whitespaces = True
    sp = sentencepiece.SentencePieceProcessor()
    sp.LoadFromSerializedProto(m.SerializeToString())
    return sp
