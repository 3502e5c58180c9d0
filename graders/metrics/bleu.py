"""bleu: sacrebleu's sentence BLEU with effective order."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from graders.metrics import Metric, chosen
from graders.metrics.tokens import tokens_13a

OPTIONS: Mapping[str, Sequence[Any]] = {
    "tokenize": ("13a", "intl", "zh", "char", "none"),
    "lowercase": (False, True),
    "effective_order": (True, False),
}
_LOG_OF_ZERO = -9999999999  # sacrebleu's stand-in
REFERENCES = 4096  # references whose n-grams are kept


def make(name: str, options: Mapping[str, Any], implementation: str) -> Metric:
    """Sentence BLEU over 1..4-grams of 13a tokens, exponential smoothing, brevity penalty; sacrebleu's value / 100.

    Range: [0, 1]; 0 when either side is empty. Cost: linear in tokens.

    Source: Papineni et al. 2002; sacrebleu.metrics.BLEU.sentence_score with effective_order=True. Options other than
    the default are computed by sacrebleu itself.
    """
    option = chosen(name, options, OPTIONS)
    library = f"sacrebleu {version('sacrebleu')}"
    provenance = {"metric": name, "implementation": library, "reference": library, "options": option}
    if implementation == "fast" and option["tokenize"] == "13a" and option["effective_order"]:
        ours = {**provenance, "implementation": "graders"}
        return Metric(_lowered if option["lowercase"] else bleu, ours)
    from sacrebleu.metrics import BLEU

    scorer = BLEU(**option)

    def score(hypothesis: str, reference: str) -> float:
        value: float = scorer.sentence_score(hypothesis, [reference]).score / 100
        return value

    return Metric(score, provenance)


def _lowered(hypothesis: str, reference: str) -> float:
    return bleu(hypothesis.lower(), reference.lower())


@lru_cache(maxsize=REFERENCES)
def _counted(reference: str) -> tuple[int, tuple[dict[Any, int], ...]]:
    """The reference's length, and how often each of its 1..4-grams occurs."""
    tokens = tokens_13a(reference)
    return len(tokens), tuple(_counts(grams(tokens, n)) for n in (1, 2, 3, 4))


def grams(tokens: list[str], n: int) -> Any:
    """The n-grams in order; a 1-gram is the token itself."""
    return tokens if n == 1 else zip(*(tokens[start:] for start in range(n)), strict=False)


def _counts(values: Any) -> dict[Any, int]:
    counts: dict[Any, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return counts


def matches(found: Any, wanted: Mapping[Any, int]) -> int:
    """How many of `found` are in the multiset `wanted`, each taken at most as often as it is there."""
    left: dict[Any, int] = {}
    n = 0
    for value in found:
        have = left.get(value)
        if have is None:
            have = wanted.get(value, 0)
        if have > 0:
            n += 1
            left[value] = have - 1
    return n


def bleu(hypothesis: str, reference: str) -> float:
    """Sentence BLEU as a fraction; see make."""
    tokens = tokens_13a(hypothesis)
    length = len(tokens)
    wanted_length, wanted = _counted(reference)
    correct = [0, 0, 0, 0]
    for n in (1, 2, 3, 4):
        correct[n - 1] = matches(grams(tokens, n), wanted[n - 1])
        if not correct[n - 1]:  # nor can a longer run match
            break
    if not correct[0]:
        return 0.0
    penalty = 1.0
    if length < wanted_length:
        penalty = math.exp(1 - wanted_length / length)
    smooth = 1.0
    logs: list[float] = []
    for n in (1, 2, 3, 4):
        total = max(0, length - n + 1)
        if not total:
            break
        if correct[n - 1]:
            precision = 100.0 * correct[n - 1] / total
        else:
            smooth *= 2
            precision = 100.0 / (smooth * total)
        logs.append(math.log(precision) if precision else _LOG_OF_ZERO)
    return penalty * math.exp(sum(logs) / len(logs)) / 100
