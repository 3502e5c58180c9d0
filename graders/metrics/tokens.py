"""Tokenizers, with a memo per word.

13a (mteval-v13a as in sacrebleu) is defined on a whole line, but its rules for a word do not depend on the next word,
once line breaks and entities are replaced. So the tokens of each word can be kept, and a text costs one dict look-up a
word. tests/metrics holds this equal to sacrebleu's own tokenizer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import TypeAlias

from graders.metrics.limits import WordMemo

Tokenize: TypeAlias = Callable[[str], list[str]]

# mteval-v13a's rules: split off symbols; split . and , unless between digits; split - after a digit.
_RULES: tuple[tuple[Callable[[str, str], str], str], ...] = tuple(
    (re.compile(pattern).sub, replacement)
    for pattern, replacement in [
        (r"([ -&(-+/:-@\[-`{-~])", r" \1 "),
        (r"([^0-9])([.,])", r"\1 \2 "),
        (r"([.,])([^0-9])", r" \1 \2"),
        (r"([0-9])(-)", r"\1 \2 "),
    ]
)
#: In this order: &amp;lt; becomes <.
_ENTITIES = (
    ("&quot;", '"'),
    ("&amp;", "&"),
    ("&lt;", "<"),
    ("&gt;", ">"),
)
#: A translation table for ASCII bytes: ROUGE's letters and digits stay, every other byte becomes a blank.
_ROUGE = bytes(code if chr(code) in "abcdefghijklmnopqrstuvwxyz0123456789" else 32 for code in range(256))
_UNICODE = re.compile(r"[^\W_]+").findall


def _pieces(word: str) -> tuple[str, ...]:
    line = f" {word} "
    for substitute, replacement in _RULES:
        line = substitute(replacement, line)
    return tuple(map(_same.__getitem__, line.split()))


#: Equal pieces as one object: dicts compare them by identity, and memory holds each once.
_same = WordMemo(str)
_pieces_of = WordMemo(_pieces)
_lower_pieces_of = WordMemo(lambda word: tuple(_same[piece.lower()] for piece in _pieces(word)))


def _words(text: str) -> list[str]:
    """The white-space separated words of a line, as the input of 13a's rules."""
    if "<skipped>" in text or "-\n" in text:
        text = text.rstrip().replace("<skipped>", "").replace("-\n", "")
    if "&" in text:
        for entity, char in _ENTITIES:
            text = text.replace(entity, char)
    return text.split()


def tokens_13a(text: str) -> list[str]:
    """The 13a tokens of `sacrebleu.BLEU()`, case kept. One token or more for every word; [] for white space."""
    tokens: list[str] = []
    for word in _words(text):
        tokens += _pieces_of[word]
    return tokens


def lower_13a(text: str) -> list[str]:
    """tokens_13a, each in lower case."""
    tokens: list[str] = []
    for word in _words(text):
        tokens += _lower_pieces_of[word]
    return tokens


@cache
def _nltk() -> Tokenize:
    from nltk.tokenize.destructive import NLTKWordTokenizer

    tokenize: Tokenize = NLTKWordTokenizer().tokenize
    return tokenize


def tokens_nltk(text: str) -> list[str]:
    """nltk's word tokens of the text taken as one sentence (splitting into sentences would need a download)."""
    return _nltk()(text)


def tokens_rouge(text: str) -> list[str]:
    """rouge-score's tokens: runs of a-z and 0-9 in the lower-cased text; every other character separates words."""
    return text.lower().encode("ascii", "replace").translate(_ROUGE).decode("ascii").split()


def tokens_unicode(text: str) -> list[str]:
    """Runs of letters and digits of any script, in lower case."""
    return _UNICODE(text.lower())


def tokens_char(text: str) -> list[str]:
    """Every character that is not white space, in lower case: for scripts without spaces."""
    return [char for char in text.lower() if not char.isspace()]


#: Values of the option `tokenizer` of gleu and meteor.
WORDS: dict[str, Tokenize] = {"13a": tokens_13a, "split": str.split, "nltk": tokens_nltk}


def reference_words(name: str) -> Tokenize:
    """The tokenizer WORDS[name] of the library that defines it: sacrebleu for 13a."""
    if name != "13a":
        return WORDS[name]
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    tokenize = Tokenizer13a()
    return lambda text: tokenize(text.rstrip()).split()


#: Values of the option `tokenizer` of rouge_*.
ROUGE: dict[str, Tokenize] = {"rouge-score": tokens_rouge, "unicode": tokens_unicode, "char": tokens_char}
