"""bleu: sentence BLEU of sacrebleu, as a fraction.

Source: Papineni et al. 2002, "BLEU: a Method for Automatic Evaluation of Machine Translation", as computed by
`sacrebleu.BLEU(effective_order=True).sentence_score(hypothesis, [reference]).score / 100`: 13a tokens, case kept,
1- to 4-grams, "exp" smoothing, brevity penalty.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from graders.metrics import Metric, each, provenance
from graders.metrics.limits import ReferenceMemo, bounded
from graders.metrics.ngrams import ORDERS, Shared, shared_with
from graders.metrics.tokens import Tokenize, tokens_13a

#: The hosted service has this metric.
HOSTED = True
OPTIONS: dict[str, tuple[Any, ...]] = {
    "tokenizer": ("13a", "intl", "zh", "char", "none"),
    "lowercase": (False, True),
    "smoothing": ("exp", "floor", "add-k", "none"),
    "effective_order": (True, False),
}

REFERENCE = "sacrebleu 2.6.0"
#: sacrebleu's defaults.
SMOOTHING_VALUE = {"floor": 0.1, "add-k": 1}
#: sacrebleu's logarithm of 0.
LOG_ZERO = -9999999999


def make(name: str, options: Mapping[str, Any], implementation: str) -> Metric:
    """See METRICS."""
    if implementation == "reference":
        return _reference(name, options)
    from graders._version import __version__

    tokens = bounded(name, _tokenizer(options["tokenizer"], options["lowercase"]))
    shared_with, counted_by = best_counting()
    smoothing, effective_order = options["smoothing"], options["effective_order"]

    def prepare(reference: str) -> tuple[Shared, int]:
        words = tokens(reference)
        return shared_with(words), len(words)

    prepared = ReferenceMemo(prepare)

    def score(hypothesis: str, reference: str) -> float:
        shared, length = prepared(reference)
        words = tokens(hypothesis)
        return bleu(shared(words), len(words), length, smoothing, effective_order)

    return Metric(
        score=score,
        scores=each(score),
        provenance=provenance(
            name, options, implementation=counted_by, version=__version__, reference=REFERENCE
        ),
    )


def bleu(
    matches: Sequence[float],
    hypothesis: int,
    reference: int,
    smoothing: str = "exp",
    effective_order: bool = True,
) -> float:
    """BLEU from n-gram counts, in sacrebleu's order of operations.

    Args:
        matches: Shared n-grams for n = 1 to 4.
        hypothesis, reference: Tokens of each.

    Returns:
        0..1, and 0.0 when nothing is shared. Equal texts give 1.0 where sacrebleu gives 1.0000000000000004, the one
        place where a metric differs from its reference.
    """
    if not any(matches):
        return 0.0
    logs: list[float] = []
    halved = 1.0
    for n, found in enumerate(matches):
        total: float = hypothesis - n
        if smoothing == "add-k" and n > 0:
            found += SMOOTHING_VALUE["add-k"]
            total = max(0, total) + SMOOTHING_VALUE["add-k"]
        if total <= 0:
            break
        if found:
            logs.append(math.log(100.0 * found / total))
        elif smoothing == "exp":
            halved *= 2
            logs.append(math.log(100.0 / (halved * total)))
        elif smoothing == "floor":
            logs.append(math.log(100.0 * SMOOTHING_VALUE["floor"] / total))
        else:
            logs.append(LOG_ZERO)
    if not effective_order:
        logs += [LOG_ZERO] * (4 - len(logs))
    penalty = math.exp(1 - reference / hypothesis) if hypothesis < reference else 1.0
    return min(1.0, penalty * math.exp(sum(logs) / len(logs)) / 100)


def best_counting() -> tuple[Callable[[list[str]], Shared], str]:
    """The fastest installed function that counts shared n-grams, and its name for provenance."""
    try:
        from rouge_score_rs import _rougers
    except ImportError:
        return shared_with, "graders"
    return partial(
        _compiled, _rougers.Scorer(KINDS, False).score_documents
    ), "graders, n-grams by rouge-score-rs"


KINDS = [f"rouge{n}" for n in ORDERS]


def _compiled(score: Callable[..., Mapping[str, Any]], reference: list[str]) -> Shared:
    """Counts recovered from the library's precisions, count / total: exact below 2**52 n-grams."""

    def shared(hypothesis: Sequence[str]) -> list[int]:
        try:
            found = score(reference, [], hypothesis, [])
        except UnicodeEncodeError:
            # lone surrogates, which Rust's strings cannot hold
            return list(shared_with(reference)(hypothesis))
        total = len(hypothesis)
        return [round(found[kind].precision * (total - n)) for n, kind in enumerate(KINDS)]

    return shared


def _tokenizer(name: str, lowercase: bool) -> Tokenize:
    tokenize = tokens_13a if name == "13a" else _sacrebleu_tokens(name)
    return (lambda text: tokenize(text.lower())) if lowercase else tokenize


def _sacrebleu_tokens(name: str) -> Tokenize:
    from sacrebleu.metrics.bleu import BLEU

    tokenizer = BLEU(tokenize=name).tokenizer
    # the undecorated function, since its cache would keep 65,536 whole texts
    call = getattr(type(tokenizer).__call__, "__wrapped__", type(tokenizer).__call__)
    return lambda text: call(tokenizer, text.rstrip()).split()


def _reference(name: str, options: Mapping[str, Any]) -> Metric:
    import sacrebleu

    call = sacrebleu.BLEU(
        tokenize=options["tokenizer"],
        lowercase=options["lowercase"],
        smooth_method=options["smoothing"],
        effective_order=True,
    )
    # set here, for False in the constructor warns at each call
    call.effective_order = options["effective_order"]

    def score(hypothesis: str, reference: str) -> float:
        return min(1.0, float(call.sentence_score(hypothesis, [reference]).score / 100))

    return Metric(
        score=score,
        scores=each(score),
        provenance=provenance(
            name,
            options,
            implementation="sacrebleu",
            version=sacrebleu.__version__,
            reference=f"sacrebleu {sacrebleu.__version__}",
        ),
    )
