"""Awkward strings, and the token ids that the reference tokenizers give to them.

    python tokenizer_refs.py corpus FILE
        writes the strings (the same ones every time) as a JSON array

    python tokenizer_refs.py ids FILE OUT MODEL.gguf ... --llama PROGRAM [--hashes DIR]
        writes OUT/<model>.tokens.json, prints where the encoders disagree, and with
        --hashes DIR/<stem of FILE>.<model>.hashes.json

This module cannot be called tokenizers.py: it would stand in for the library.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import subprocess
import unicodedata
from pathlib import Path

WORDS = """the of and to in is that for it with as was on are by this be from at have which you an or not
quick brown fox jumps over lazy dog internationalisation antidisestablishmentarianism naive cafe Zurich
don't can't I'm we've they'll she'd it's WE'LL I'M IT'S 's 'S 'LL 'Ve 'rE 'd 'D 't 'M O'Neill rock'n'roll
HTTPServer camelCase snake_case kebab-case SCREAMING_SNAKE mixedCASEword x1y2z3 3D 2nd 1st 100th v2.0.1
e-mail user@example.org 127.0.0.1 ::1 #hashtag @mention $100 50% C++ C# F# .NET node.js a/b a\\b 1/2""".split()

SCRIPTS = [
    "今日はとても良い天気ですね。東京タワーに行きましょう！",
    "天地玄黃，宇宙洪荒。日月盈昃，辰宿列張。",
    "人工智能正在改变世界的每一个角落，包括语言模型。",
    "안녕하세요 세계! 오늘 날씨가 정말 좋네요.",
    "カタカナ ひらがな 漢字 ﾊﾝｶｸ ｆｕｌｌｗｉｄｔｈ　全角空白",
    "مرحبا بالعالم، كيف حالك اليوم؟ ٠١٢٣٤٥٦٧٨٩",
    "السَّلَامُ عَلَيْكُمْ وَرَحْمَةُ اللهِ",
    "שלום עולם! בְּרֵאשִׁית בָּרָא אֱלֹהִים",
    "สวัสดีชาวโลก วันนี้อากาศดีมาก ๑๒๓",
    "नमस्ते दुनिया! आप कैसे हैं? क्षत्रिय ज्ञान १२३४",
    "বাংলা ভাষা সুন্দর। ১২৩",
    "தமிழ் மொழி மிகவும் பழமையானது ௧௨௩",
    "తెలుగు కన్నడ ಕನ್ನಡ മലയാളം ગુજરાતી ਪੰਜਾਬੀ",
    "Привет, мир! Съешь же ещё этих мягких французских булок.",
    "Γειά σου Κόσμε! Ὀδυσσεύς πολύτροπος",
    "Xin chào thế giới! Tiếng Việt có nhiều dấu.",
    "Zażółć gęślą jaźń; Příliš žluťoučký kůň; Þórður æðsti",
    "İstanbul'da ılık bir gün, ğüşöç IĞDIR ıİ",
    "გამარჯობა მსოფლიო Բարեւ աշխարհ ሰላም ልዑል",
    "မင်္ဂလာပါ ကမ္ဘာ သွားမယ် ខ្មែរ ພາສາລາວ བོད་སྐད་",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝒻𝒶𝓃𝒸𝓎 𝟙𝟚𝟛 𐍈𐌰𐌿 𓀀𓂀 𠜎𠜱",
]

CODE = [
    "def f(x):\n    return x ** 2  # square\n\n\nif __name__ == '__main__':\n\tprint(f(3))\n",
    "fn main() {\n    let v: Vec<u8> = vec![0x1F, 0b1010, 1_000_000];\n    println!(\"{:?}\", v);\n}\n",
    "#include <stdio.h>\r\nint main(void) {\r\n\treturn printf(\"%d\\n\", 42);\r\n}\r\n",
    "for (let i = 0; i < 10; i++) { console.log(`${i}: ${a?.b ?? 'none'}`); }",
    "SELECT * FROM t WHERE a >= 10 AND b LIKE '%x%' -- comment\nORDER BY 1;",
    "<div class=\"a b\"><p>Text &amp; more &#x1F600;</p><!-- note --></div>",
    "{\"key\": [1, 2.5, -3e10, null, true], \"s\": \"\\u00e9\\n\"}",
    "#!/bin/sh\nset -eu\nfor f in *.txt; do\n  wc -l \"$f\" | awk '{print $1}'\ndone\n",
    "SUBROUTINE X\n      DO 10 I=1,N\n 10   CONTINUE\n      END\n",
    "module M where\nimport qualified Data.Map as M\nf :: (Ord a) => a -> [a] -> Bool\nf = (. sort) . elem\n",
    "$$\\int_{-\\infty}^{\\infty} e^{-x^2}\\,dx = \\sqrt{\\pi}$$",
    "a && b || !c ^ ~d << 2 >> 3 >>> 4 != 5 === 6 => 7 -> 8 <=> 9 ... :: ?: /* x */ // y",
    "| a | b |\n|---|:-:|\n| 1 | **2** |\n\n```rust\nlet x = 1;\n```\n",
    "package main\n\nimport (\n\t\"fmt\"\n)\n\nfunc main() {\n\tfmt.Println(\"hi\")\n}\n",
    "class A<T extends B & C> implements D { private final int[] xs = {1,2,3}; }",
]

EMOJI = [
    "😀", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪🇫🇷🇯🇵", "❤️", "❤", "☺︎", "👨🏿‍🚀", "🧑🏻‍🤝‍🧑🏾", "1️⃣", "#️⃣", "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "🤷🏼‍♀️", "🫠", "👁️‍🗨️", "™️", "🈁", "🀄", "👩🏽‍⚕️", "🧟‍♂️",
]  # fmt: skip

SPECIAL = """<|im_start|> <|im_end|> <|endoftext|> <bos> <eos> <pad> <unk> <mask> <s> </s> <start_of_turn>
<end_of_turn> <start_of_image> <end_of_image> <unused0> <unused6241> <0x0A> <0xFF> <tool_call> </tool_call>
<|fim_prefix|> <|fim_middle|> <|fim_suffix|> <|fim_pad|> <|repo_name|> <|file_sep|> <repo_name> <reponame>
<file_sep> <filename> <gh_stars> <jupyter_start> <empty_output> <|object_ref_start|> <|vision_start|>
<|image_pad|> [multimodal] [PAD151665] [PAD151935] <table> </table> <h1> <b> </b> <i> <code> <bbox> <html>
<image_soft_token> [INST] [/INST] <<SYS>> <|eot_id|> <think> </think> ▁ ▁▁ ▁the Ġ Ġthe Ċ ĉ""".split()

# Everything that is a space to someone, and line breaks of all kinds.
SPACES = [
    " ", "\t", "\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x1f", "\x85", "\xa0", "\u1680", "\u180e",
    "\u2000", "\u2003", "\u2009", "\u200a", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000",
]  # fmt: skip
INVISIBLE = [
    "\u200b", "\u200c", "\u200d", "\u200e", "\u200f", "\u202a", "\u202e", "\u2060", "\u2066", "\u2069", "\ufeff",
    "\u00ad", "\ufe0f", "\ufe0e", "\u034f", "\u061c", "\ufffc", "\ufffd", "\U000e0001", "\U000e0020", "\U000e0100",
]  # fmt: skip
COMPOSED = [
    "é", "e\u0301", "Å", "A\u030a", "\u212b", "ñ", "n\u0303", "ự", "u\u031b\u0323", "u\u0323\u031b", "가", "\u1100\u1161",
    "각", "\u1100\u1161\u11a8", "ﬁ", "①", "½", "²", "㎏", "Ⅷ", "ǆ", "ß", "ẞ", "\u0344", "\u0958", "\ufb1f", "\u2126", "\u1e9b\u0323",
    "o\u0302\u0302\u0302", "Z\u0351\u036b\u0343\u0349\u0319", "\u0301", " \u0301", "\u0301a", "\U0001d15e", "\u2adc", "\uf900",
]  # fmt: skip
NUMBERS = [
    "0", "12", "123", "1234", "12345678901234567890", "3.14159", "1,234,567.89", "1e-10", "0xDEADBEEF", "-42", "+7",
    "1 2 3", "12 345", "2024-05-17T12:34:56Z", "١٢٣", "१२३", "一二三", "½¼", "x²", "Ⅳ", "1st", "99%", "$1.50", "1_000",
    "௧௨", "𝟏𝟐𝟑", "①②③", "００７",
]  # fmt: skip
ENDINGS = ["'s", "'S", "'t", "'T", "'re", "'RE", "'ve", "'Ve", "'m", "'M", "'ll", "'LL", "'Ll", "'d", "'D", "\u2019s", "\u2019LL", "'\u017f", "'x", "'", "''s"]


def corpus() -> list[str]:
    rng = random.Random(20260101)
    pick = rng.choice
    assigned = [
        chr(c)
        for c in range(1, 0x30000)
        if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")
    ]  # fmt: skip
    low = [c for c in assigned if ord(c) < 0x3000]
    out: list[str] = ["", " ", "  ", "\n", "\n\n", "\t", "\0", "a\0b", "\0\0", "\x7f", "\x01\x02\x03", "\x1b[31mred\x1b[0m"]
    out += SCRIPTS + CODE + EMOJI + SPECIAL + SPACES + INVISIBLE + COMPOSED + NUMBERS + WORDS + ENDINGS

    # Runs of one kind of space, around words and alone; lengths around every power of two.
    for n in [*range(2, 36), 47, 62, 63, 64, 65, 95, 100, 127, 128, 200]:
        out += [" " * n, " " * n + "x", "x" + " " * n + "y", "\n" * n, "x" + "\n" * n + "y", "\t" * n + "x", "x" + " " * n]
    for n in (2, 3, 4, 5, 8, 16, 33):
        out += [s * n for s in ("\r\n", "\xa0", "\u3000", "\r", "\u2028", " \n", "\n ", "\t ", " \t\n")]
    for s in SPACES:
        out += [f"a{s}b", f"{s}a", f"a{s}", f"a {s}b", f"a{s} b", f"{s}{s}a1", f".{s}!", f"\n{s}\n"]
    for s in INVISIBLE:
        out += [f"a{s}b", f" {s}", f"1{s}2", f"{s}\n{s}"]
    for s in COMPOSED:
        out += [f"x{s}y", f" {s} {s}", f"{s}\u0301"]
    for s in SPECIAL:
        out += [f"a{s}b", f"{s}{s}", f" {s} ", f"{s}\n", s[:-1], s.upper()]
    for e in ENDINGS:
        out += [f"you{e}", f"you{e} all", f"{e}you", f" {e} ", f"12{e}", f"é{e}", f"YOU{e}X"]
    for e in EMOJI:
        out += [f"a{e}b", f"{e} {e}", e * 5, f"{e}!\n", e[:-1]]
    for a in NUMBERS:
        out += [f"a{a}b", f" {a}", f"{a}\n{a}", f"({a})"]

    # Long and repetitive.
    out += ["a" * n for n in (50, 127, 500, 3000)] + ["ab" * 700, "the" * 300, "0" * 1000, "1234567890" * 60]
    out += ["." * n for n in (2, 3, 4, 8, 64, 300)] + ["-" * 80, "=" * 120, "_" * 65, "*" * 33, "!?" * 40, "(" * 50 + ")" * 50]
    out += ["ha" * 100, "é" * 200, "e\u0301" * 200, "日" * 300, "😀" * 150, "a\u0301\u0302\u0303" * 50, "\u200d" * 60]
    out += ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=n)) for n in (30, 100, 400, 1500)]
    out += ["".join(rng.choices("ACGT", k=600)), "".join(rng.choices("0123456789abcdef", k=512))]
    out += ["".join(rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", k=700)) + "=="]

    # Cuts out of scripts and code, so that every place is once a beginning and an end.
    for text in SCRIPTS + CODE:
        for _ in range(6):
            a, b = sorted(rng.sample(range(len(text) + 1), 2))
            out.append(text[a:b])
    # Mixtures.
    pools = [WORDS, SCRIPTS, EMOJI, SPECIAL, NUMBERS, COMPOSED, ENDINGS, SPACES, INVISIBLE, [" "] * 8, list("()[]{}<>.,;:!?-_/\\'\"`~@#$%^&*+=|")]
    for _ in range(420):
        parts = []
        for _ in range(rng.randint(2, 9)):
            s = pick(pick(pools))
            a = rng.randrange(len(s)) if len(s) > 12 else 0
            parts.append(s[a : a + 12])
        out.append("".join(parts))
    for _ in range(120):
        out.append(" ".join(pick(WORDS) for _ in range(rng.randint(2, 12))))
    for _ in range(120):
        out.append("".join(pick(SPACES[:7] + [" ", " ", "\n"]) * rng.randint(1, 4) + pick(WORDS + ["", "", "1", "."]) for _ in range(rng.randint(2, 8))))
    # Random characters: from everywhere, from the lower part, from one block, ASCII.
    for _ in range(160):
        out.append("".join(pick(assigned) for _ in range(rng.randint(1, 14))))
    for _ in range(160):
        out.append("".join(pick(low) for _ in range(rng.randint(1, 18))))
    for _ in range(120):
        at = rng.randrange(len(low))
        out.append("".join(pick(low[at : at + 120]) for _ in range(rng.randint(2, 16))))
    for _ in range(120):
        out.append("".join(chr(rng.randrange(1, 128)) for _ in range(rng.randint(1, 40))))
    # Private use, the last planes, characters that are none.
    out += ["\ue000", "\uf8ff", "\U000f0000", "\U0010fffd", "\U0010ffff", "\ufffe", "\uffff", "\ufdd0", "a\uffffb", "\U0003134a", "\U0001fbf9"]
    return list(dict.fromkeys(out))


def short_hash(ids: list[int]) -> str:
    return hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()[:8]


def compare(name: str, strings: list[str], truth: list, other: list) -> list[int]:
    bad = [i for i, (a, b) in enumerate(zip(truth, other)) if a != b]
    print(f"  {name}: {len(bad)} of {len(strings)} differ")
    for i in bad[:12]:
        print(f"    {i} {strings[i][:50]!r}: {truth[i][:14]} / {None if other[i] is None else other[i][:14]}")
    return bad


def references(path: str, file: str, strings: list[str], llama: str) -> tuple[list, dict[str, list[int]]]:
    """(ids of the tokenizer of truth, {other encoder: where it differs})."""
    from ggufread import Gguf
    from vocab import hf_tokenizer, sentencepiece_model

    g = Gguf(path)
    tok = hf_tokenizer(g)
    tok.encode_special_tokens = True  # special tokens in the text stay text
    found = {"tokenizers": [e.ids for e in tok.encode_batch(strings, add_special_tokens=False)]}
    found["llama.cpp"] = json.loads(subprocess.run([llama, path, file], check=True, capture_output=True).stdout)
    if g.get("tokenizer.ggml.model") == "llama":
        sp = sentencepiece_model(g)
        found["sentencepiece"] = [sp.encode(s) for s in strings]
        truth = found.pop("sentencepiece")
    else:
        truth = found.pop("tokenizers")
    return truth, {name: compare(name, strings, truth, ids) for name, ids in found.items()}


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = p.add_subparsers(dest="job", required=True)
    c = sub.add_parser("corpus")
    c.add_argument("file")
    r = sub.add_parser("ids")
    r.add_argument("file")
    r.add_argument("out")
    r.add_argument("models", nargs="+")
    r.add_argument("--llama", required=True, help="the program built from llama_ids.cpp")
    r.add_argument("--hashes", help="a directory for short hashes of the ids")
    args = p.parse_args()
    if args.job == "corpus":
        strings = corpus()
        lines = ",\n".join(json.dumps(s) for s in strings)
        Path(args.file).write_text(f"[\n{lines}\n]\n")
        print(f"{len(strings)} strings, {Path(args.file).stat().st_size} bytes")
        return
    strings = json.loads(Path(args.file).read_text())
    Path(args.out).mkdir(parents=True, exist_ok=True)
    for path in args.models:
        name = Path(path).stem
        print(name)
        truth, differ = references(path, args.file, strings, args.llama)
        doc = {"ids": truth, "differ": differ}
        (Path(args.out) / f"{name}.tokens.json").write_text(json.dumps(doc, separators=(",", ":")))
        if args.hashes:
            doc = {"hashes": [short_hash(t) for t in truth], "differ": differ}
            target = Path(args.hashes) / f"{Path(args.file).stem}.{name}.hashes.json"
            target.write_text(json.dumps(doc, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
