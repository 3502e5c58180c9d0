"""meteor: nltk's METEOR, with WordNet's synonyms from an index that ships with the package."""

from __future__ import annotations

import zlib
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from importlib.resources import files
from itertools import pairwise
from typing import Any

from graders.metrics import Metric, chosen
from graders.metrics.tokens import TOKENIZERS

OPTIONS: Mapping[str, Sequence[Any]] = {"tokenize": tuple(TOKENIZERS)}
ALPHA, BETA, GAMMA = 0.9, 3.0, 0.5  # nltk's defaults: weight of precision, and shape and size of the penalty
WORDS = 200_000  # words whose stems and synonyms are kept, about 50 MB when full
INDEX = "wordnet-3.0-synonyms.z"

#: Endings that WordNet's lookup takes off, by part of speech. Source: morphy(7WN), as in nltk's corpus reader.
ENDINGS: dict[str, tuple[tuple[str, str], ...]] = {
    "n": (("s", ""), ("ses", "s"), ("ves", "f"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"), ("men", "man"), ("ies", "y")),
    "v": (("s", ""), ("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", "")),
    "a": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "r": (),
}  # fmt: skip


def make(name: str, options: Mapping[str, Any], implementation: str) -> Metric:
    """Words aligned by form, then Porter stem, then WordNet synonyms; F-mean weighted to recall, less a penalty for
    fragmentation.

    Range: [0, 1). Equal texts of n words score 1 - 0.5 / n^3, so a threshold of 1 is never met. Cost: linear in words,
    plus a first use that imports nltk and reads the index.

    Source: Lavie and Agarwal 2007; nltk.translate.meteor_score.single_meteor_score on 13a tokens (nltk leaves the
    tokens to the caller), WordNet 3.0.
    """
    option = chosen(name, options, OPTIONS)
    tokenize = TOKENIZERS[option["tokenize"]]
    reference_library = f"nltk {version('nltk')}, WordNet 3.0"
    provenance = {
        "metric": name,
        "implementation": "graders",
        "reference": reference_library,
        "options": option,
    }
    if implementation == "reference":
        from nltk.corpus import wordnet
        from nltk.translate.meteor_score import single_meteor_score

        try:
            wordnet.ensure_loaded()
        except LookupError:
            raise ValueError(
                "the reference METEOR needs nltk's wordnet corpus, which is not installed here"
            ) from None

        def plain(hypothesis: str, reference: str) -> float:
            return float(single_meteor_score(tokenize(reference), tokenize(hypothesis)))

        return Metric(plain, {**provenance, "implementation": reference_library})
    align = _Aligner(_stemmer(), _index())

    def score(hypothesis: str, reference: str) -> float:
        return align.meteor(tokenize(hypothesis), tokenize(reference))

    return Metric(score, provenance)


@lru_cache(maxsize=1)
def _stemmer() -> Callable[[str], str]:
    from nltk.stem.porter import PorterStemmer

    stem: Callable[[str], str] = PorterStemmer().stem
    return stem


class Synonyms:
    """What WordNet knows of a word: for each part of speech, lemma -> words that share a synset with it.

    Kept are single words in lower case: METEOR compares stems, which are lower case and hold no underscore.
    """

    def __init__(self, data: bytes) -> None:
        tables, exceptions = zlib.decompress(data).decode().split("\f\f")
        self._lemmas = {part[0]: Table(part[2:]) for part in tables.split("\f")}
        self._exceptions = {part[0]: Table(part[2:]) for part in exceptions.split("\f")}

    def of(self, word: str) -> frozenset[str]:
        """Every synonym of every base form of a word."""
        found: set[str] = set()
        for part, lemmas in self._lemmas.items():
            for form in self._forms(word, part):
                found.update((lemmas.get(form) or "").split(" "))
        found.discard("")
        return frozenset(found)

    def _forms(self, word: str, part: str) -> list[str]:
        """The base forms that are in the index. Source: morphy(7WN), with nltk's order and repetition."""
        lemmas = self._lemmas[part]
        irregular = self._exceptions[part].get(word)
        if irregular is not None:
            return [form for form in dict.fromkeys([word, *irregular.split(" ")]) if form in lemmas]
        endings = ENDINGS[part]
        forms = [word[: -len(old)] + new for old, new in endings if word.endswith(old)]
        known = [form for form in dict.fromkeys([word, *forms]) if form in lemmas]
        while forms and not known:
            forms = [form[: -len(old)] + new for form in forms for old, new in endings if form.endswith(old)]
            known = [form for form in dict.fromkeys(forms) if form in lemmas]
        return known


class Table:
    """Sorted lines "key TAB value", searched where they are: making a dict of them would take longer than the rest
    of the loading together."""

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")

    def get(self, key: str) -> str | None:
        start = key + "\t"
        at = bisect_left(self._lines, start)
        if at < len(self._lines) and self._lines[at].startswith(start):
            return self._lines[at][len(start) :]
        return None

    def __contains__(self, key: str) -> bool:
        return self.get(key) is not None


@lru_cache(maxsize=1)
def _index() -> Synonyms:
    return Synonyms(files("graders.metrics").joinpath("data", INDEX).read_bytes())


class _Aligner:
    def __init__(self, stem: Callable[[str], str], synonyms: Synonyms) -> None:
        self._stem = lru_cache(maxsize=WORDS)(stem)
        self._synonyms = lru_cache(maxsize=WORDS)(synonyms.of)

    def meteor(self, hypothesis: list[str], reference: list[str]) -> float:
        """See make."""
        matched = self.align([word.lower() for word in hypothesis], [word.lower() for word in reference])
        n_matched = len(matched)
        if not n_matched:
            return 0.0
        precision = n_matched / len(hypothesis)
        recall = n_matched / len(reference)
        mean = (precision * recall) / (ALPHA * precision + (1 - ALPHA) * recall)
        matched.sort()
        chunks = 1
        for (left, right), (next_left, next_right) in pairwise(matched):
            if next_left != left + 1 or next_right != right + 1:
                chunks += 1
        penalty = GAMMA * (chunks / n_matched) ** BETA
        return (1 - penalty) * mean

    def align(self, hypothesis: list[str], reference: list[str]) -> list[tuple[int, int]]:
        """Pairs of positions: equal words first, then equal stems, then stems that are synonyms. Each stage goes
        from the right and takes the right-most free partner."""
        matched: list[tuple[int, int]] = []
        left, right = list(enumerate(hypothesis)), list(enumerate(reference))
        left, right = _pair(left, right, matched)
        if left and right:
            stem = self._stem
            left, right = _pair([(i, stem(w)) for i, w in left], [(j, stem(w)) for j, w in right], matched)
        if left and right:
            self._pair_synonyms(left, right, matched)
        return matched

    def _pair_synonyms(
        self, left: list[tuple[int, str]], right: list[tuple[int, str]], matched: list[tuple[int, int]]
    ) -> None:
        free = _positions(right)
        for i, word in reversed(left):
            synonyms = self._synonyms(word)
            best, best_word = -1, ""
            candidates = (
                (w for w in free if w in synonyms)
                if len(free) < len(synonyms)
                else (w for w in synonyms if w in free)
            )
            for candidate in candidates:
                if free[candidate][-1] > best:
                    best, best_word = free[candidate][-1], candidate
            if word in free and free[word][-1] > best:
                best, best_word = free[word][-1], word
            if best >= 0:
                matched.append((i, best))
                _take(free, best_word)


def _positions(words: list[tuple[int, str]]) -> dict[str, list[int]]:
    positions: dict[str, list[int]] = {}
    for position, word in words:
        positions.setdefault(word, []).append(position)
    return positions


def _take(free: dict[str, list[int]], word: str) -> int:
    position = free[word].pop()
    if not free[word]:
        del free[word]
    return position


def _pair(
    left: list[tuple[int, str]], right: list[tuple[int, str]], matched: list[tuple[int, int]]
) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """Match equal words; what is left over on both sides, in order."""
    free = _positions(right)
    rest: list[tuple[int, str]] = []
    for i, word in reversed(left):
        if word in free:
            matched.append((i, _take(free, word)))
        else:
            rest.append((i, word))
    rest.reverse()
    if not free:
        return rest, []
    return rest, sorted((position, word) for word, positions in free.items() for position in positions)
