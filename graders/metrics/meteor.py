"""meteor: words aligned exactly, then by stem, then by synonym; a harmonic mean with a penalty for fragments.

Source: Lavie and Agarwal 2007, "METEOR: An Automatic Metric for MT Evaluation with High Levels of Correlation with
Human Judgments", as computed by nltk's `single_meteor_score` with its defaults. Its ways are kept: each stage runs
through the hypothesis from the right and takes the rightmost free word of the reference; synonyms are looked up for
stems, not for words; a text against itself scores 1 - 0.5 / n**3 for n words, so never 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

from graders.metrics import Metric, each, provenance
from graders.metrics.limits import MAX_CHARS, Prepared, TooManyCharacters
from graders.metrics.porter import stems
from graders.metrics.synonyms import synonyms, wordnet
from graders.metrics.tokens import WORDS, Tokenize, lower_13a

OPTIONS: dict[str, tuple[Any, ...]] = {"tokenizer": tuple(WORDS)}

REFERENCE = "nltk 3.10.4, WordNet 3.0"
ALPHA, BETA, GAMMA = 0.9, 3.0, 0.5  # nltk's defaults


def make(name: str, options: Mapping[str, Any], implementation: str) -> Metric:
    """As METRICS wants it."""
    if implementation == "reference":
        return _reference(name, options)
    from graders import __version__

    wordnet()
    tokenize = _lower(options["tokenizer"])

    def prepare(text: str) -> list[str]:
        if len(text) > MAX_CHARS:
            raise TooManyCharacters(name, len(text))
        return tokenize(text)

    prepared = Prepared(prepare)

    def compare(reference: list[str], hypothesis: str) -> float:
        return meteor(prepare(hypothesis), reference)

    def score(hypothesis: str, reference: str) -> float:
        return meteor(prepare(hypothesis), prepared(reference))

    return Metric(
        score=score,
        against=lambda reference: partial(compare, prepare(reference)),
        scores=each(score),
        provenance=provenance(
            name, options, implementation="graders", version=__version__, reference=REFERENCE
        ),
    )


def _lower(tokenizer: str) -> Tokenize:
    """Tokens in lower case: each on its own, for "Σ" has another lower case at the end of a word."""
    if tokenizer == "13a":
        return lower_13a
    tokenize = WORDS[tokenizer]
    return lambda text: [token.lower() for token in tokenize(text)]


def meteor(hypothesis: Sequence[str], reference: Sequence[str]) -> float:
    """The score of tokens in lower case; 0.0 when none match. Time is linear in tokens and their synonyms."""
    matches = chunks = 0
    expected = -1
    for at in align(hypothesis, reference):
        if at < 0:
            expected = -1
        else:
            matches += 1
            if at != expected:
                chunks += 1
            expected = at + 1
    if not matches:
        return 0.0
    precision = matches / len(hypothesis)
    recall = matches / len(reference)
    mean = (precision * recall) / (ALPHA * precision + (1 - ALPHA) * recall)
    return float((1 - GAMMA * (chunks / matches) ** BETA) * mean)


def align(hypothesis: Sequence[str], reference: Sequence[str]) -> list[int]:
    """For each word of the hypothesis the index of its match in the reference, or -1."""
    pairs = [-1] * len(hypothesis)
    free = _places(zip(reference, range(len(reference)), strict=True))
    words: Iterable[tuple[int, str]] = zip(
        range(len(hypothesis) - 1, -1, -1), reversed(hypothesis), strict=True
    )

    left = _match(words, free, pairs)
    rest = sorted(chain.from_iterable(free.values()))
    if not left or not rest:
        return pairs

    free = _places([(stems[reference[at]], at) for at in rest])
    left = _match([(at, stems[word]) for at, word in left], free, pairs)
    free = {word: places for word, places in free.items() if places}
    if not free:
        return pairs

    for at, word in left:
        known = synonyms[word]
        if known and not free.keys().isdisjoint(known):
            last, best = max((places[-1], word) for word in free.keys() & known if (places := free[word]))
            pairs[at] = last
            free[best].pop()
            if not free[best]:
                del free[best]
    return pairs


def _places(words: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    """Word -> where it stands, ascending."""
    places: dict[str, list[int]] = {}
    for word, at in words:
        if word in places:
            places[word].append(at)
        else:
            places[word] = [at]
    return places


def _match(
    words: Iterable[tuple[int, str]], free: dict[str, list[int]], pairs: list[int]
) -> list[tuple[int, str]]:
    """Give each word the last free place of the same word; return those that got none."""
    left = []
    for at, word in words:
        places = free.get(word)
        if places:
            pairs[at] = places.pop()
        else:
            left.append((at, word))
    return left


def _reference(name: str, options: Mapping[str, Any]) -> Metric:
    import nltk
    from nltk.corpus import wordnet as corpus
    from nltk.translate.meteor_score import single_meteor_score

    tokenize = WORDS[options["tokenizer"]]
    try:
        corpus.ensure_loaded()
    except LookupError:
        raise ImportError(
            'metrics.implementation = "reference" reads nltk\'s own WordNet corpus, which is not here: '
            'run python -m nltk.downloader wordnet, or leave the implementation at "fast"'
        ) from None

    def score(hypothesis: str, reference: str) -> float:
        return float(single_meteor_score(tokenize(reference), tokenize(hypothesis)))

    return Metric(
        score=score,
        against=lambda reference: lambda hypothesis: score(hypothesis, reference),
        scores=each(score),
        provenance=provenance(
            name, options, implementation="nltk", version=nltk.__version__, reference=f"nltk {nltk.__version__}, WordNet {corpus.get_version()}"
        ),
    )  # fmt: skip
