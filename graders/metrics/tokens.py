"""Tokens, remembered word by word.

13a (mteval-v13a as in sacrebleu) works on a whole line, but what it does to a word between white space does not depend
on the next word, once line breaks and entities are dealt with. So the pieces of a word can be kept: a text costs one
dict look-up a word. tests/metrics holds this equal to sacrebleu's own.
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
_ENTITIES = (
    ("&quot;", '"'),
    ("&amp;", "&"),
    ("&lt;", "<"),
    ("&gt;", ">"),
)  # in this order: &amp;lt; becomes <
#: Bytes of ASCII text -> the letters and digits that ROUGE sees, and blanks.
_ROUGE = bytes(code if chr(code) in "abcdefghijklmnopqrstuvwxyz0123456789" else 32 for code in range(256))
_UNICODE = re.compile(r"[^\W_]+").findall


def _pieces(word: str) -> tuple[str, ...]:
    line = f" {word} "
    for substitute, replacement in _RULES:
        line = substitute(replacement, line)
    return tuple(map(_same.__getitem__, line.split()))


#: Equal pieces as one object: dicts then compare them by identity, and memory holds each once.
_same = WordMemo(str)
_pieces_of = WordMemo(_pieces)
_lower_pieces_of = WordMemo(lambda word: tuple(_same[piece.lower()] for piece in _pieces(word)))


def _words(text: str) -> list[str]:
    """White-space words of a line as 13a sees them, before its rules."""
    if "<skipped>" in text or "-\n" in text:
        text = text.rstrip().replace("<skipped>", "").replace("-\n", "")
    if "&" in text:
        for entity, char in _ENTITIES:
            text = text.replace(entity, char)
    return text.split()


def tokens_13a(text: str) -> list[str]:
    """What `sacrebleu.BLEU()` counts: its 13a tokens, case kept. One token or more for every word; [] for white space."""
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
    """nltk's word tokens of the text as one sentence (splitting it into sentences would need a download)."""
    return _nltk()(text)


def tokens_rouge(text: str) -> list[str]:
    """rouge-score's: runs of a to z and 0 to 9 in the lower-cased text; every other character parts words."""
    return text.lower().encode("ascii", "replace").translate(_ROUGE).decode("ascii").split()


def tokens_unicode(text: str) -> list[str]:
    """Runs of letters and digits of any script, in lower case."""
    return _UNICODE(text.lower())


def tokens_char(text: str) -> list[str]:
    """Every character that is not white space, in lower case: for scripts without spaces."""
    return [char for char in text.lower() if not char.isspace()]


#: Option `tokenizer` of gleu and meteor.
WORDS: dict[str, Tokenize] = {"13a": tokens_13a, "split": str.split, "nltk": tokens_nltk}


def reference_words(name: str) -> Tokenize:
    """The same tokens as WORDS[name] by the library that defines them: sacrebleu for 13a."""
    if name != "13a":
        return WORDS[name]
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    tokenize = Tokenizer13a()
    return lambda text: tokenize(text.rstrip()).split()


#: Option `tokenizer` of rouge_*.
ROUGE: dict[str, Tokenize] = {"rouge-score": tokens_rouge, "unicode": tokens_unicode, "char": tokens_char}
