"""meteor: words aligned exactly, then by stem, then by synonym; a harmonic mean with a penalty for fragments.

Source: Lavie and Agarwal 2007, "METEOR: An Automatic Metric for MT Evaluation with High Levels of Correlation with
Human Judgments", as computed by nltk's `single_meteor_score` with its defaults. Its peculiarities are kept: each stage
goes through the hypothesis from the right and takes the rightmost free word of the reference; synonyms are looked up
for stems, not for words; a text against itself scores 1 - 0.5 / n**3 for n words, so never 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter, sub
from typing import Any, NamedTuple

from graders.metrics import Metric, each, provenance
from graders.metrics.limits import ReferenceMemo, bounded
from graders.metrics.porter import stems
from graders.metrics.synonyms import synonyms, wordnet
from graders.metrics.tokens import WORDS, Tokenize, lower_13a, reference_words

#: The hosted service has this metric.
HOSTED = True
EQUAL_TEXTS = "METEOR of equal texts is below 1 (0.5 for one word)"
OPTIONS: dict[str, tuple[Any, ...]] = {"tokenizer": tuple(WORDS)}

REFERENCE = "nltk 3.10.4, WordNet 3.0"
#: nltk's defaults.
ALPHA, BETA, GAMMA = 0.9, 3.0, 0.5

#: No position. At a distance of at least two from every position, so that it is never the neighbour of one.
NONE = -2


class WordPositions(NamedTuple):
    """Positions of the words of a text.

    Attributes:
        last: Word -> its last position.
        before: For each position the previous one of the same word, or NONE.
    """

    last: dict[str, int]
    before: list[int]


def make(name: str, options: Mapping[str, Any], implementation: str) -> Metric:
    """See METRICS."""
    if implementation == "reference":
        return _reference(name, options)
    from graders._version import __version__

    wordnet()
    tokens = bounded(name, _lower(options["tokenizer"]))

    def prepare(reference: str) -> tuple[list[str], WordPositions]:
        words = tokens(reference)
        return words, places(words)

    prepared = ReferenceMemo(prepare)

    def score(hypothesis: str, reference: str) -> float:
        return meteor(tokens(hypothesis), *prepared(reference))

    return Metric(
        score=score,
        scores=each(score),
        provenance=provenance(
            name, options, implementation="graders", version=__version__, reference=REFERENCE
        ),
    )


def _lower(tokenizer: str) -> Tokenize:
    """Tokens, each put in lower case by itself, since "Σ" has another lower case at the end of a word."""
    if tokenizer == "13a":
        return lower_13a
    tokenize = WORDS[tokenizer]
    return lambda text: [token.lower() for token in tokenize(text)]


def meteor(hypothesis: Sequence[str], reference: Sequence[str], where: WordPositions) -> float:
    """The score of tokens in lower case; 0.0 when none match. Time is linear in tokens and their synonyms.

    Args:
        where: The reference's positions, as `places` returns them; not changed.
    """
    pairs = align(hypothesis, reference, where)
    matches = len(pairs) - pairs.count(NONE)
    if not matches:
        return 0.0
    chunks = matches - list(map(sub, pairs[1:], pairs)).count(1)
    precision = matches / len(hypothesis)
    recall = matches / len(reference)
    mean = (precision * recall) / (ALPHA * precision + (1 - ALPHA) * recall)
    return float((1 - GAMMA * (chunks / matches) ** BETA) * mean)


def align(hypothesis: Sequence[str], reference: Sequence[str], where: WordPositions) -> list[int]:
    """For each word of the hypothesis the position of its match in the reference, or NONE."""
    pairs = [NONE] * len(hypothesis)
    free, before = where.last.copy(), where.before
    left = []
    for at in range(len(hypothesis) - 1, -1, -1):
        word = hypothesis[at]
        place = free.get(word, NONE)
        if place >= 0:
            pairs[at] = place
            free[word] = before[place]
        else:
            left.append(at)
    # both sides have unmatched words
    if left and len(left) + len(reference) > len(hypothesis):
        _align_stems([(at, stems[hypothesis[at]]) for at in left], free, before, pairs)
    return pairs


def _align_stems(
    left: Sequence[tuple[int, str]], free: Mapping[str, int], before: Sequence[int], pairs: list[int]
) -> None:
    """The stages of stems and synonyms, for the words that the exact stage did not match.

    Args:
        left: Unmatched positions in the hypothesis with their stems, from the right.
        free: The reference's words -> the last free position, or NONE; `before` as in WordPositions.
    """
    places_of: dict[str, list[int]] = {}
    for word, place in free.items():
        if place >= 0:
            places = places_of.setdefault(stems[word], [])
            while place >= 0:
                places.append(place)
                place = before[place]
    known = set(places_of)
    left = [(at, stem) for at, stem in left if stem in known or not known.isdisjoint(synonyms[stem])]
    if not left:
        return
    for places in places_of.values():
        places.sort()
    unmatched = []
    for at, stem in left:
        if places := places_of.get(stem, []):
            pairs[at] = places.pop()
        else:
            unmatched.append((at, stem))
    for at, stem in unmatched:
        if alike := [places for word in known & synonyms[stem] if (places := places_of[word])]:
            pairs[at] = max(alike, key=itemgetter(-1)).pop()


def places(words: Iterable[str]) -> WordPositions:
    """The positions of the words of a text."""
    last: dict[str, int] = {}
    before: list[int] = []
    for place, word in enumerate(words):
        before.append(last.get(word, NONE))
        last[word] = place
    return WordPositions(last, before)


def _reference(name: str, options: Mapping[str, Any]) -> Metric:
    import nltk
    from nltk.corpus import wordnet as corpus
    from nltk.translate.meteor_score import single_meteor_score

    tokenize = reference_words(options["tokenizer"])
    try:
        corpus.ensure_loaded()
    except LookupError:
        raise ImportError(
            'metrics.implementation = "reference" reads nltk\'s own WordNet corpus, which is not here: '
            'run python -m nltk.downloader wordnet, or leave the implementation at "fast"'
        ) from None

    def score(hypothesis: str, reference: str) -> float:
        return float(single_meteor_score(tokenize(reference), tokenize(hypothesis)))

    library = f"nltk {nltk.__version__}, WordNet {corpus.get_version()}"
    return Metric(
        score=score,
        scores=each(score),
        provenance=provenance(
            name, options, implementation="nltk", version=nltk.__version__, reference=library
        ),
    )
