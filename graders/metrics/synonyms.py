"""Synonyms of single words from WordNet 3.0, read from an index in the package (scripts/build_wordnet_index.py).

The same sets as nltk's `wordnet.synsets(word)`, without words that METEOR can never match: those with capitals or "_".
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from graders.metrics.limits import WordMemo

INDEX = Path(__file__).parent / "data" / "wordnet-3.0.zlib"

#: (ending, its replacement) pairs that give a base form, by part of speech: noun, verb, adjective, adverb. morphy(7WN).
ENDINGS: tuple[tuple[tuple[str, str], ...], ...] = (
    (("s", ""), ("ses", "s"), ("ves", "f"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"), ("men", "man"), ("ies", "y")),
    (("s", ""), ("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", "")),
    (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    (),
)  # fmt: skip

EMPTY: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class WordNet:
    """The index in memory, about 20 MB.

    Attributes:
        entries: Lemma -> its words: parts of speech separated by "|", words by " ", the lemma itself as "=".
        exceptions: For each part of speech: irregular form -> base forms.
    """

    entries: Mapping[str, str]
    exceptions: tuple[Mapping[str, list[str]], ...]

    def synonyms(self, word: str) -> frozenset[str]:
        """Words of all synsets that the word, in any part of speech and after morphy, belongs to."""
        word = word.lower()
        found = frozenset(synonym for part in range(len(ENDINGS)) for synonym in self._of(word, part))
        return found or EMPTY

    def _of(self, word: str, part: int) -> Iterator[str]:
        base = self.exceptions[part].get(word)
        if base is None:
            base = [word[: -len(old)] + new for old, new in ENDINGS[part] if word.endswith(old)]
        for form in (word, *base):
            fields = self.entries.get(form, "").split("|", part + 1)
            if len(fields) > part and fields[part]:
                for synonym in fields[part].split(" "):
                    yield form if synonym == "=" else synonym


@cache
def wordnet() -> WordNet:
    """The index, loaded at the first call (about 50 ms)."""
    blocks = [
        block.split("\n") for block in zlib.decompress(INDEX.read_bytes()).decode("ascii").split("\n\n")
    ]
    lemmas, fields, *exceptions = blocks
    return WordNet(
        dict(zip(lemmas, fields, strict=True)),
        tuple({line.split(" ")[0]: line.split(" ")[1:] for line in lines} for lines in exceptions),
    )


#: Word -> its synonyms.
synonyms = WordMemo(lambda word: wordnet().synonyms(word))
