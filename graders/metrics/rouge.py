"""rouge_1 .. rouge_5 and rouge_l: rouge-score's F1."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from graders.metrics import Metric, chosen
from graders.metrics.bleu import grams, matches
from graders.metrics.limits import WORD_CELLS, bounded

OPTIONS: Mapping[str, Sequence[Any]] = {"stemmer": (False, True)}
REFERENCES = 4096
_WORD = re.compile("[a-z0-9]+")


def make(name: str, options: Mapping[str, Any], implementation: str) -> Metric:
    """F1 of shared n-grams (rouge_n) or of the longest common subsequence of words (rouge_l).

    Words are runs of a-z and 0-9 in the lowered text and nothing else: a text without them scores 0, and so does
    rouge_n of fewer than n words.

    Range: [0, 1]. Cost: rouge_n linear, rouge_l O(n * m / 64) in words.

    Source: Lin 2004; rouge_score.rouge_scorer.RougeScorer without a stemmer, fmeasure.
    """
    option = chosen(name, options, OPTIONS)
    kind = "rougeL" if name == "rouge_l" else f"rouge{name[-1]}"
    reference_library = f"rouge-score {version('rouge-score')}"
    provenance = {"metric": name, "reference": reference_library, "options": option}
    if implementation == "fast" and not option["stemmer"]:
        score, many, by = _native(kind) or (_ours(name), None, "graders")
        return Metric(score, {**provenance, "implementation": by}, many)
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer([kind], use_stemmer=option["stemmer"])

    def plain(hypothesis: str, reference: str) -> float:
        _check(name, hypothesis, reference)
        return float(scorer.score(reference, hypothesis)[kind].fmeasure)

    return Metric(plain, {**provenance, "implementation": reference_library})


def _check(name: str, hypothesis: str, reference: str) -> None:
    """Bound the words; a word and its gap take at least two characters."""
    if name == "rouge_l" and (len(hypothesis) // 2 + 1) * (len(reference) // 2 + 1) > WORD_CELLS:
        bounded(
            name,
            len(_WORD.findall(hypothesis.lower())),
            len(_WORD.findall(reference.lower())),
            WORD_CELLS,
            "words",
        )


def _native(kind: str) -> tuple[Callable[[str, str], float], Any, str] | None:
    """rouge-score-rs, from the [speed] extra; None when it is not installed."""
    try:
        from rouge_score_rs import RougeScorer
    except ImportError:
        return None
    scorer = RougeScorer([kind])
    name = "rouge_l" if kind == "rougeL" else f"rouge_{kind[-1]}"
    ours = _ours(name)

    def score(hypothesis: str, reference: str) -> float:
        try:
            _check(name, hypothesis, reference)
            value: float = scorer.score(reference, hypothesis)[kind].fmeasure
        except UnicodeEncodeError:  # lone surrogates have no form in Rust
            return ours(hypothesis, reference)
        return value

    def many(hypotheses: Sequence[str], references: Sequence[str]) -> Sequence[float]:
        for hypothesis, reference in zip(hypotheses, references, strict=True):
            _check(name, hypothesis, reference)
        try:
            return [scores[kind].fmeasure for scores in scorer.score_batch(references, hypotheses)]
        except UnicodeEncodeError:
            return [
                score(hypothesis, reference)
                for hypothesis, reference in zip(hypotheses, references, strict=True)
            ]

    return score, many, f"rouge-score-rs {version('rouge-score-rs')}"


def _ours(name: str) -> Callable[[str, str], float]:
    return _rouge_l if name == "rouge_l" else _rouge_n(int(name[-1]))


def _rouge_n(n: int) -> Callable[[str, str], float]:
    @lru_cache(maxsize=REFERENCES)
    def counted(reference: str) -> tuple[int, dict[Any, int]]:
        words = _WORD.findall(reference.lower())
        counts: dict[Any, int] = {}
        for gram in grams(words, n):
            counts[gram] = counts.get(gram, 0) + 1
        return max(0, len(words) - n + 1), counts

    def score(hypothesis: str, reference: str) -> float:
        words = _WORD.findall(hypothesis.lower())
        n_wanted, wanted = counted(reference)
        return _f1(matches(grams(words, n), wanted), max(0, len(words) - n + 1), n_wanted)

    return score


def _rouge_l(hypothesis: str, reference: str) -> float:
    from rapidfuzz.distance import LCSseq

    found = _WORD.findall(hypothesis.lower())
    wanted = _WORD.findall(reference.lower())
    bounded("rouge_l", len(found), len(wanted), WORD_CELLS, "words")
    return _f1(LCSseq.similarity(found, wanted), len(found), len(wanted))


def _f1(n_matches: int, n_found: int, n_wanted: int) -> float:
    """The harmonic mean of precision and recall, in rouge-score's order of operations."""
    if not n_matches:
        return 0.0
    precision = n_matches / n_found
    recall = n_matches / n_wanted
    return 2 * precision * recall / (precision + recall)
