"""gleu: Google's sentence BLEU, nltk's sentence_gleu."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from graders.metrics import Metric, chosen
from graders.metrics.bleu import REFERENCES, grams, matches
from graders.metrics.tokens import TOKENIZERS

OPTIONS: Mapping[str, Sequence[Any]] = {"tokenize": tuple(TOKENIZERS)}


def make(name: str, options: Mapping[str, Any], implementation: str) -> Metric:
    """Matching 1..4-grams over the larger of the two texts' n-gram counts: the minimum of precision and recall.

    Range: [0, 1]; 0 when both sides are empty. Cost: linear in tokens.

    Source: Wu et al. 2016, section 6; nltk.translate.gleu_score.sentence_gleu on 13a tokens (nltk leaves the tokens
    to the caller).
    """
    option = chosen(name, options, OPTIONS)
    tokenize = TOKENIZERS[option["tokenize"]]
    reference_library = f"nltk {version('nltk')}"
    provenance = {
        "metric": name,
        "implementation": "graders",
        "reference": reference_library,
        "options": option,
    }
    if implementation == "reference":
        from nltk.translate.gleu_score import sentence_gleu

        def plain(hypothesis: str, reference: str) -> float:
            return float(sentence_gleu([tokenize(reference)], tokenize(hypothesis)))

        return Metric(plain, {**provenance, "implementation": reference_library})

    @lru_cache(maxsize=REFERENCES)
    def counted(reference: str) -> tuple[int, tuple[dict[Any, int], ...]]:
        tokens = tokenize(reference)
        tables: list[dict[Any, int]] = []
        for n in (1, 2, 3, 4):
            counts: dict[Any, int] = {}
            for gram in grams(tokens, n):
                counts[gram] = counts.get(gram, 0) + 1
            tables.append(counts)
        return _n_grams(len(tokens)), tuple(tables)

    def score(hypothesis: str, reference: str) -> float:
        tokens = tokenize(hypothesis)
        n_wanted, wanted = counted(reference)
        most = max(_n_grams(len(tokens)), n_wanted)
        if not most:
            return 0.0
        n_matches = 0
        for n in (1, 2, 3, 4):
            found = matches(grams(tokens, n), wanted[n - 1])
            if not found:
                break
            n_matches += found
        return n_matches / most

    return Metric(score, provenance)


def _n_grams(length: int) -> int:
    """How many 1..4-grams a text of so many tokens has."""
    return sum(max(0, length - n + 1) for n in (1, 2, 3, 4))
