"""Tokens of bleu, gleu and meteor: sacrebleu's 13a, remembered word by word."""

from __future__ import annotations

import re
from collections.abc import Callable

MEMO = 200_000  # words remembered, then forgotten all at once: about 40 MB

_RULES = (
    (re.compile(r"([\{-\~\[-\` -\&\(-\+\:-\@\/])"), r" \1 "),
    (re.compile(r"([^0-9])([\.,])"), r"\1 \2 "),
    (re.compile(r"([\.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)
_memo: dict[str, tuple[str, ...]] = {}


def tokens_13a(text: str) -> list[str]:
    """mteval-v13a tokens, as sacrebleu's tokenizer_13a has them.

    Its rules look no further than the neighbouring character, and blanks stay blanks, so words can be split one by
    one and remembered.

    Source: sacrebleu.tokenizers.tokenizer_13a, which follows mteval-v13a.pl.
    """
    text = text.rstrip().replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    if "&" in text:
        text = text.replace("&quot;", '"').replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")
    memo = _memo
    tokens: list[str] = []
    for word in text.split():
        known = memo.get(word)
        if known is None:
            known = _remember(word)
        tokens += known
    return tokens


def _remember(word: str) -> tuple[str, ...]:
    if len(_memo) >= MEMO:
        _memo.clear()
    line = f" {word} "
    for rule, replacement in _RULES:
        line = rule.sub(replacement, line)
    tokens = tuple(line.split())
    if len(word) <= 64:  # longer words hardly repeat, and would make the bound meaningless
        _memo[word] = tokens
    return tokens


#: Tokenizers that gleu and meteor offer.
TOKENIZERS: dict[str, Callable[[str], list[str]]] = {"13a": tokens_13a, "split": str.split}
