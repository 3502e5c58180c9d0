"""Pairs of texts for the parity tests and the benchmark, made from text that every Python brings.

prose: sentences of the language reference (`pydoc_data.topics`) and their mutations; repeats: a vocabulary of six
words, so that n-grams clip; grid: scripts, punctuation, entities and white space against each other; fragments:
random pieces of all of them.
"""

from __future__ import annotations

import random
from itertools import product
from pydoc_data.topics import topics

Pair = tuple[str, str]

GRID = [
    "", " ", "\n", "a", "A", "I", "hello", "Hello", "hello world", "Hello, world!", "!!!", "...", "-", "--", "a-b", "-\n", "foo-\nbar",
    "foo-\n", "3.14", "1,000.5", "3-4", ".5", "5.", "U.S.A.", "don't", "it's 42.", "&amp;", "&quot;x&quot;", "&lt;a&gt; &amp;lt;", "<skipped>", "a<skipped>b",
    "你好世界", "你好", "こんにちは 世界", "안녕하세요", "مرحبا بالعالم", "שלום", "Привет мир", "привет", "ΑΣ", "ας ΑΣΣ", "İstanbul", "straße STRASSE", "naïve café",
    "naive cafe", "\u212a k", "e\u0301 é", "😀", "😀😀 😁", "👩‍👩‍👧", "\x00", "a\x00b", "\ud800", "a \udfff b", "\u200b", "a\u00a0b", "a\u2028b", "a\x1cb\x85c", "\t a \t",
    "the the the", "the cat sat on the mat", "the cat is on the mat", "running runs ran", "dogs were running", "he is a big dog", "the large hound", "yyyyy yying",
    "ies died skies", "ice_cream", "a_b c_d", "@user #tag $5", "http://x.y/z?a=b&c=d", "1 2 3 4 5 6", "1-2-3", "x²", "½", "١٢٣", "a b c d e",
]  # fmt: skip

REPEATS = ["the", "cat", "the.", "sat", "on", "3.5"]


def _sentences() -> list[str]:
    text = "\n".join(topics[name] for name in sorted(topics))
    words = text.split()
    return [" ".join(words[at : at + 400]) for at in range(0, len(words) - 400, 97)]


def _mutate(rng: random.Random, words: list[str], share: float, others: list[str]) -> list[str]:
    out: list[str] = []
    for word in words:
        dice = rng.random()
        if dice >= share:
            out.append(word)
        elif dice < share * 0.3:
            continue
        elif dice < share * 0.6:
            out.append(rng.choice(others))
        elif dice < share * 0.75:
            out += [word, rng.choice(others)]
        elif dice < share * 0.9 and out:
            out.insert(rng.randrange(len(out)), word)
        else:
            out.append(word.upper() if rng.random() < 0.5 else word + rng.choice("s.,;-!"))
    return out


def prose(count: int, words: int, seed: int = 7) -> list[Pair]:
    """(hypothesis, reference) pairs of about `words` words; the hypothesis differs in 5 to 90 % of them."""
    rng = random.Random(seed * 1000 + words)
    sentences = _sentences()
    pool = " ".join(sentences[::4]).split()
    pairs = []
    for _ in range(count):
        line = rng.choice(sentences).split()
        length = max(1, round(words * rng.uniform(0.6, 1.4)))
        start = rng.randrange(max(1, len(line) - length))
        reference = line[start : start + length]
        pairs.append((" ".join(_mutate(rng, reference, rng.uniform(0.05, 0.9), pool)), " ".join(reference)))
    return pairs


def repeats(count: int, seed: int = 7) -> list[Pair]:
    """Few words, often: counts above one on both sides."""
    rng = random.Random(seed)
    return [tuple(" ".join(rng.choices(REPEATS, k=rng.randrange(1, 40))) for _ in "hr") for _ in range(count)]  # type: ignore[misc]  # two texts each


def grid() -> list[Pair]:
    """Every text of GRID against every other."""
    return list(product(GRID, GRID))


def fragments(count: int, seed: int = 7) -> list[Pair]:
    """Random pieces of GRID and prose, glued with and without white space."""
    rng = random.Random(seed)
    pieces = GRID + [word for line in _sentences()[::9] for word in line.split()[:40]]
    glue = ["", " ", " ", " ", "\n", "-\n", "\t", ".", ", "]

    def text(k: int) -> str:
        return "".join(rng.choice(pieces) + rng.choice(glue) for _ in range(k))

    pairs = []
    for _ in range(count):
        hypothesis, reference = text(rng.randrange(12)), text(rng.randrange(12))
        if rng.random() < 0.5:
            cut = rng.randrange(len(reference) + 1)
            hypothesis = reference[cut:] + hypothesis
        pairs.append((hypothesis, reference))
    return pairs
