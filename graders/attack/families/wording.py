"""Wrong samples with the words of the gold: doubled, in another order, in other capitals, with sources too many."""

from __future__ import annotations

import re
from collections.abc import Iterator

from graders.attack.families.wrong import AttackContext, GoldForm, WrongSample, is_prose
from graders.session.rows import SHOWN_FIELDS, CheckRow

#: Words of a sentence, as against a list of names whose order may not matter.
_LITTLE_WORDS = frozenset(
    ("a", "an", "and", "are", "as", "at", "by", "for", "from", "in", "is", "it", "of", "on", "or", "that", "the", "to", "was", "with")
)  # fmt: skip
_SENTENCE = 5  # words
_ASKS_FOR_CAPITALS = re.compile(r"(?i)\b(?:capitals|caps|capital letters|upper[- ]?case)\b")
_ASKS_FOR_SMALL_LETTERS = re.compile(r"(?i)\b(?:small letters|lower[- ]?case)\b")
_SOURCE = re.compile(r"\[(\d{1,2})\]")
_SOURCES = range(1, 10)


def words(row: CheckRow, form: GoldForm, context: AttackContext) -> Iterator[WrongSample]:
    """The answer's words from last to first, each twice, and a sentence with its words in the order of the alphabet."""
    text = form.answer.rstrip(".!?")
    end = form.answer[len(text) :]
    answer = text.split()
    if not is_prose(row) or len(answer) < 2 or not all(word.rstrip(";:").isalpha() for word in answer):
        return
    turned = " ".join(f"{word} {word}" for word in reversed(answer))
    yield WrongSample(form.holding(turned + end), "the answer's words from last to first, each twice")
    ordered = sorted(answer, key=str.lower)
    if len(answer) >= _SENTENCE and _LITTLE_WORDS & {word.lower() for word in answer} and ordered != answer:
        yield WrongSample(
            form.holding(" ".join(ordered) + end), "a sentence with its words in alphabetical order"
        )


def capitals(row: CheckRow, form: GoldForm, context: AttackContext) -> Iterator[WrongSample]:
    """An answer without the capitals, or the small letters, that the prompt asks for."""
    asked = " ".join(row.shown)
    text = form.answer
    if not is_prose(row) or sum(map(str.isalpha, text)) < 2:
        return
    if text.isupper() and _ASKS_FOR_CAPITALS.search(asked):
        for other in (text.title(), text.lower(), text.capitalize()):
            yield WrongSample(form.holding(other), "an answer without the capitals that were asked for")
    if text.islower() and _ASKS_FOR_SMALL_LETTERS.search(asked):
        for other in (text.upper(), text.title()):
            yield WrongSample(form.holding(other), "an answer in capitals where small letters were asked for")


def sources(row: CheckRow, form: GoldForm, context: AttackContext) -> Iterator[WrongSample]:
    """The gold with further sources, where a field of the item that the spec names lists the right ones."""
    named = set(_SOURCE.findall(row.text))
    listed = any(
        isinstance(value, list) and {str(one) for one in value} == named
        for name, value in row.item.items()
        if name not in SHOWN_FIELDS and name in context.spec_text
    )
    if named and listed:
        more = "".join(f"[{number}]" for number in _SOURCES if str(number) not in named)
        yield WrongSample(f"{row.text}{more}", "the right sources among others")
