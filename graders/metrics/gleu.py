"""gleu: matches of all 1- to 4-grams, divided by the larger of the two texts' counts of them.

Source: Wu et al. 2016, "Google's Neural Machine Translation System", section 5.2, as computed by nltk's
`sentence_gleu([reference], hypothesis)` on tokens: the smaller of precision and recall. The tokens are BLEU's, 13a with
case kept; 0 when either side has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graders.metrics import Metric, each, provenance
from graders.metrics.bleu import best_counting
from graders.metrics.limits import ReferenceMemo, bounded
from graders.metrics.ngrams import Shared
from graders.metrics.tokens import WORDS, reference_words

#: The hosted service has this metric.
HOSTED = True
OPTIONS: dict[str, tuple[Any, ...]] = {"tokenizer": tuple(WORDS)}

REFERENCE = "nltk 3.10.4"


def make(name: str, options: Mapping[str, Any], implementation: str) -> Metric:
    """See METRICS."""
    if implementation == "reference":
        return _reference(name, options)
    from graders._version import __version__

    tokens = bounded(name, WORDS[options["tokenizer"]])
    shared_with, counted_by = best_counting()

    def prepare(reference: str) -> tuple[Shared, int]:
        words = tokens(reference)
        return shared_with(words), len(words)

    prepared = ReferenceMemo(prepare)

    def score(hypothesis: str, reference: str) -> float:
        shared, length = prepared(reference)
        words = tokens(hypothesis)
        found = sum(shared(words))
        return found / grams(max(len(words), length)) if found else 0.0

    return Metric(
        score=score,
        scores=each(score),
        provenance=provenance(
            name, options, implementation=counted_by, version=__version__, reference=REFERENCE
        ),
    )


def grams(tokens: int) -> int:
    """The number of 1- to 4-grams of that many tokens."""
    return 4 * tokens - 6 if tokens > 2 else tokens * (tokens + 1) // 2


def _reference(name: str, options: Mapping[str, Any]) -> Metric:
    import nltk
    from nltk.translate.gleu_score import sentence_gleu

    tokenize = reference_words(options["tokenizer"])

    def score(hypothesis: str, reference: str) -> float:
        return float(sentence_gleu([tokenize(reference)], tokenize(hypothesis)))

    return Metric(
        score=score,
        scores=each(score),
        provenance=provenance(
            name,
            options,
            implementation="nltk",
            version=nltk.__version__,
            reference=f"nltk {nltk.__version__}",
        ),
    )
