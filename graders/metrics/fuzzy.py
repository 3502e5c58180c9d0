"""fuzzy_match: rapidfuzz's ratio, the normalised indel similarity of two texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from graders.metrics import Metric, chosen
from graders.metrics.limits import CHAR_CELLS, bounded

OPTIONS: Mapping[str, Sequence[Any]] = {
    "scorer": ("ratio", "QRatio", "WRatio", "token_set_ratio", "token_sort_ratio", "partial_ratio"),
    "processor": (False, True),
}


def make(name: str, options: Mapping[str, Any], implementation: str) -> Metric:
    """fuzz.ratio / 100 without a processor: case, blanks and punctuation count.

    Range: [0, 1]; two empty texts are 1. Cost: O(n * m / 64) time in characters. Both implementations are
    rapidfuzz's own; "fast" scores windows of pairs at once.

    Source: rapidfuzz.fuzz.ratio. A published run of the service gives the same 0.6117136659436009 for its fifth row
    (docs/metrics.md).
    """
    from rapidfuzz import fuzz, utils

    option = chosen(name, options, OPTIONS)
    scorer = getattr(fuzz, option["scorer"])
    processor = utils.default_process if option["processor"] else None
    most = int(CHAR_CELLS**0.5)

    def score(hypothesis: str, reference: str) -> float:
        if len(hypothesis) > most or len(reference) > most:
            bounded(name, len(hypothesis), len(reference), CHAR_CELLS, "characters")
        value: float = scorer(hypothesis, reference, processor=processor) / 100
        return value

    def many(hypotheses: Sequence[str], references: Sequence[str]) -> Sequence[float]:
        import numpy
        from rapidfuzz.process import cpdist

        for hypothesis, reference in zip(hypotheses, references, strict=True):
            if len(hypothesis) > most or len(reference) > most:
                bounded(name, len(hypothesis), len(reference), CHAR_CELLS, "characters")
        # float64: the default, float32, is off in the sixth digit
        column = cpdist(hypotheses, references, scorer=scorer, processor=processor, dtype=numpy.float64)
        values: list[float] = (column / 100).tolist()
        return values

    library = f"rapidfuzz {version('rapidfuzz')}"
    provenance = {"metric": name, "implementation": library, "reference": library, "options": option}
    return Metric(score, provenance, many if implementation == "fast" else None)
