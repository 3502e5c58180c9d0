"""rouge_1 to rouge_5 and rouge_l: F1 over shared n-grams, and over the longest common subsequence of words.

Source: Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries", sections 2 and 3, as computed by
rouge-score 0.1.2: precision = matches / hypothesis, recall = matches / reference, F1 their harmonic mean; 0 when
nothing matches. Words are runs of [a-z0-9] in the lower-cased text (see tokens.py), without stemming.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias

from graders.metrics import Metric, ReferenceMistake, Score, each, provenance
from graders.metrics.limits import (
    MAX_CHARS,
    MAX_TABLE_CELLS,
    MAX_WORD_CELLS,
    ReferenceMemo,
    TextTooLong,
    bounded,
    pair_cells,
)
from graders.metrics.ngrams import GRAMS, shared
from graders.metrics.tokens import ROUGE, Tokenize

#: The hosted service has these metrics.
HOSTED = True
OPTIONS: dict[str, tuple[Any, ...]] = {
    "stemmer": (False, True),
    "tokenizer": tuple(ROUGE),
    "measure": ("fmeasure", "precision", "recall"),
}

REFERENCE = "rouge-score 0.1.2"
_WORD = re.compile("[a-z0-9]+")
#: Pairs in one call of rouge-score-rs: the results of more slow the garbage collector down.
BATCH = 256
#: Characters in one such call, which cannot be interrupted.
BATCH_CHARS = MAX_CHARS

#: (matches, hypothesis's n-grams, reference's) -> the score.
Measure: TypeAlias = Callable[[int, int, int], float]


def f1(matches: int, hypothesis: int, reference: int) -> float:
    """Harmonic mean of precision and recall, in the order of operations of rouge-score."""
    if not matches:
        return 0.0
    precision = matches / hypothesis
    recall = matches / reference
    return 2 * precision * recall / (precision + recall)


MEASURES: dict[str, Measure] = {
    "fmeasure": f1,
    "precision": lambda matches, hypothesis, reference: matches / hypothesis if matches else 0.0,
    "recall": lambda matches, hypothesis, reference: matches / reference if matches else 0.0,
}


def reference_mistake(name: str, reference: str) -> ReferenceMistake | None:
    """The reason why no text scores above 0 against this reference: it has too few words after rouge's tokenising."""
    wanted = int(name[-1]) if name[-1].isdigit() else 1
    words = sum(1 for _ in islice(_WORD.finditer(reference.lower()), wanted))
    if not words:
        message = f"{name} sees only latin letters and digits, and the reference has none"
        return ReferenceMistake("rouge_blind", message)
    if words < wanted:
        message = f"{name} counts runs of {wanted} words, and the reference has fewer"
        return ReferenceMistake("rouge_short", message)
    return None


def make(name: str, options: Mapping[str, Any], implementation: str) -> Metric:
    """See METRICS. rouge-score-rs where it is installed and its tokens are asked for, else our own implementation."""
    if implementation == "reference":
        return _reference(name, options)
    if options["tokenizer"] == "rouge-score":
        try:
            from rouge_score_rs import _rougers
        except ImportError:
            pass
        else:
            return _compiled(name, options, _rougers)
    return _own(name, options)


def _type(name: str) -> str:
    return "rougeL" if name == "rouge_l" else name.replace("_", "")


def _own(name: str, options: Mapping[str, Any]) -> Metric:
    from graders._version import __version__

    tokenize = stemmed(ROUGE[options["tokenizer"]]) if options["stemmer"] else ROUGE[options["tokenizer"]]
    tokens = bounded(name, tokenize)
    measure = MEASURES[options["measure"]]
    score = _own_l(tokens, measure) if name == "rouge_l" else _own_n(int(name[-1]), tokens, measure)
    return Metric(
        score=score,
        scores=each(score),
        provenance=provenance(
            name, options, implementation="graders", version=__version__, reference=REFERENCE
        ),
    )


def stemmed(tokenize: Tokenize) -> Tokenize:
    """A tokenizer that replaces words of more than three letters by their Porter stems, as rouge-score does."""
    from graders.metrics.porter import stems

    return lambda text: [stems[word] if len(word) > 3 else word for word in tokenize(text)]


def _own_n(n: int, tokens: Tokenize, measure: Measure) -> Score:
    grams = GRAMS[n]

    def prepare(reference: str) -> tuple[Mapping[Any, int], int]:
        words = tokens(reference)
        return Counter(grams(words)), len(words) - n + 1

    prepared = ReferenceMemo(prepare)

    def score(hypothesis: str, reference: str) -> float:
        counts, total = prepared(reference)
        words = tokens(hypothesis)
        return measure(shared(grams(words), counts), len(words) - n + 1, total)

    return score


def _own_l(tokens: Tokenize, measure: Measure) -> Score:
    from rapidfuzz.distance import LCSseq

    similarity = LCSseq.similarity
    prepared = ReferenceMemo(tokens)

    def score(hypothesis: str, reference: str) -> float:
        words, theirs = tokens(hypothesis), prepared(reference)
        if len(words) * len(theirs) > MAX_WORD_CELLS:
            raise TextTooLong("rouge_l", len(words), len(theirs), MAX_WORD_CELLS, "words")
        # the words themselves and no numbers: rapidfuzz compares hashes, and -1 and -2 hash alike
        return measure(similarity(words, theirs), len(words), len(theirs))

    return score


def _compiled(name: str, options: Mapping[str, Any], library: Any) -> Metric:
    kind, measure = _type(name), options["measure"]
    call = library.Scorer([kind], options["stemmer"]).score
    batch = library.Scorer([kind], options["stemmer"]).score_batch
    # our own, for texts that are or may be beyond the bounds, and for lone surrogates
    own = _own(name, options).score
    # words have two characters, or more
    most = 4 * MAX_WORD_CELLS if name == "rouge_l" else MAX_CHARS * MAX_CHARS

    def score(hypothesis: str, reference: str) -> float:
        chars, theirs = len(hypothesis), len(reference)
        if chars + theirs > MAX_CHARS or chars * theirs > most:
            return own(hypothesis, reference)
        try:
            f: float = getattr(call(reference, hypothesis)[kind], measure)
        except UnicodeEncodeError:
            # lone surrogates, which Rust's strings cannot hold
            return own(hypothesis, reference)
        return f

    one_by_one = each(score)

    def scores(hypotheses: Sequence[str], references: Sequence[str]) -> Sequence[float]:
        done: list[float] = []
        for at in range(0, max(len(hypotheses), len(references)), BATCH):
            some, their = hypotheses[at : at + BATCH], references[at : at + BATCH]
            chars = sum(map(len, some)) + sum(map(len, their))
            if chars > BATCH_CHARS or pair_cells(some, their, most) > most:
                done += one_by_one(some, their)
                continue
            try:
                done += [getattr(found[kind], measure) for found in batch(their, some)]
            except UnicodeEncodeError:
                done += one_by_one(some, their)
        return done

    return Metric(
        score=score,
        scores=scores,
        provenance=provenance(
            name, options, implementation="rouge-score-rs", version=library.__version__, reference=REFERENCE
        ),
    )


class _Tokenizer:
    """An adapter of a tokenizer to rouge-score's interface."""

    def __init__(self, tokenize: Tokenize) -> None:
        self.tokenize = tokenize


def _reference(name: str, options: Mapping[str, Any]) -> Metric:
    from importlib.metadata import version

    from rouge_score.rouge_scorer import RougeScorer

    kind, measure = _type(name), options["measure"]
    tokenize = ROUGE[options["tokenizer"]]
    given = (
        None
        if options["tokenizer"] == "rouge-score"
        else _Tokenizer(stemmed(tokenize) if options["stemmer"] else tokenize)
    )
    call = RougeScorer([kind], use_stemmer=options["stemmer"], tokenizer=given).score

    def score(hypothesis: str, reference: str) -> float:
        if name == "rouge_l":
            words, theirs = len(tokenize(hypothesis)), len(tokenize(reference))
            if words * theirs > MAX_TABLE_CELLS:
                raise TextTooLong(name, words, theirs, MAX_TABLE_CELLS, "words")
        found: float = getattr(call(reference, hypothesis)[kind], measure)
        return found

    return Metric(
        score=score,
        scores=each(score),
        provenance=provenance(
            name,
            options,
            implementation="rouge-score",
            version=version("rouge-score"),
            reference=f"rouge-score {version('rouge-score')}",
        ),
    )
