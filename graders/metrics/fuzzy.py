"""fuzzy_match: rapidfuzz's normalised indel similarity.

ratio = 2 * LCS(a, b) / (len(a) + len(b)) over code points, case kept, nothing trimmed; 1 for two empty texts. This is
what the hosted service computes: the published 0.6117136659436009 is `rapidfuzz.fuzz.ratio / 100` on that row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graders.metrics import Metric, Score, Scores, each, provenance
from graders.metrics.limits import MAX_CELLS, TextTooLong, pair_cells

# Scorer -> its work relative to `ratio`, for the bound (measured on unrelated texts of 30,000 characters).
COST = {
    "ratio": 1,
    "qratio": 1,
    "wratio": 4,
    "partial_ratio": 4,
    "token_set_ratio": 4,
    "token_sort_ratio": 1,
}
NAMES = {"ratio": "ratio", "qratio": "QRatio", "wratio": "WRatio"}

#: Work of one pair, in characters x characters, from which on other threads should run meanwhile: some milliseconds.
LONG_CELLS = 10**8
#: Characters x characters in a batch from which on all processors are worth their start: 30 ms.
MANY_CELLS = 10**9

#: The hosted service has this metric.
HOSTED = True
OPTIONS: dict[str, tuple[Any, ...]] = {"scorer": tuple(COST), "processor": ("none", "default")}


def make(name: str, options: Mapping[str, Any], implementation: str) -> Metric:
    """See METRICS. rapidfuzz is both the implementation and the reference; "reference" removes the bound on length."""
    import rapidfuzz

    scorer: Callable[..., float] = getattr(rapidfuzz.fuzz, NAMES.get(options["scorer"], options["scorer"]))
    processor = rapidfuzz.utils.default_process if options["processor"] == "default" else None
    max_cells = MAX_CELLS // COST[options["scorer"]]

    long_cells = LONG_CELLS // COST[options["scorer"]]

    def at_length(hypothesis: str, reference: str) -> float:
        """The same score, computed by a call that releases the interpreter for other threads."""
        if len(hypothesis) * len(reference) > max_cells:
            raise TextTooLong(name, len(hypothesis), len(reference), max_cells, "characters")
        import numpy
        from rapidfuzz.process import cpdist

        percent = cpdist([hypothesis], [reference], scorer=scorer, processor=processor, dtype=numpy.float64)
        return float(percent[0]) / 100

    def score(hypothesis: str, reference: str) -> float:
        if len(hypothesis) * len(reference) > long_cells:
            return at_length(hypothesis, reference)
        return scorer(hypothesis, reference) / 100

    def processed(hypothesis: str, reference: str) -> float:
        if len(hypothesis) * len(reference) > long_cells:
            return at_length(hypothesis, reference)
        return scorer(hypothesis, reference, processor=processor) / 100

    plain = score if processor is None else processed
    return Metric(
        score=plain,
        scores=each(plain)
        if implementation == "reference"
        else _columns(plain, scorer, processor, max_cells),
        provenance=provenance(
            name,
            options,
            implementation="rapidfuzz",
            version=rapidfuzz.__version__,
            reference=f"rapidfuzz {rapidfuzz.__version__}",
        ),
    )


def _columns(
    score: Score, scorer: Callable[..., float], processor: Callable[[str], str] | None, max_cells: int
) -> Scores:
    """Many pairs in one call of rapidfuzz while that call is short. In float64, since its float32 is off by 4e-8."""
    one_by_one = each(score)

    def scores(hypotheses: Sequence[str], references: Sequence[str]) -> Sequence[float]:
        cells = pair_cells(hypotheses, references, MANY_CELLS)
        if cells > max_cells:
            return one_by_one(hypotheses, references)
        import numpy
        from rapidfuzz.process import cpdist

        workers = -1 if cells > MANY_CELLS else 1
        percent = cpdist(
            hypotheses, references, scorer=scorer, processor=processor, dtype=numpy.float64, workers=workers
        )
        fractions: list[float] = (percent / 100).tolist()
        return fractions

    return scores
