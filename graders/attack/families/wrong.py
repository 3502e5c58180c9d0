"""Helpers for families of wrong samples: the answer within a gold, and the recognition of right answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from graders.session.rows import SHOWN_FIELDS, CheckRow, as_number, leaves

#: Marks around answers that tasks ask for. A gold with a mark declares its answer.
#: No answer contains its own mark: the search for an end stops at the next mark, and so reads each part once.
_MARKS = (
    re.compile(
        r"<(answer|final|final_answer|solution|result|output)>(?P<answer>(?:(?!<\1>).)*?)</\1>", re.DOTALL
    ),
    re.compile(r"\\boxed\{(?P<answer>(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}"),
    re.compile(r"(?:####|^A:)\s*(?P<answer>\S(?:.*[^ \t\n])?)[ \t]*$", re.MULTILINE),
    re.compile(
        r"(?i)\banswer(?: is)?:?\s+(?P<answer>\S(?:(?:(?!\banswer(?: is)?:?\s+\S)[^\n])*[^\s.])?)[\s.]*$"
    ),
)


#: A last line such as "GRADE: C", which says where the answer is where the item has the same.
_LABELLED = re.compile(r"(?:^|\n)[A-Za-z][A-Za-z ]{0,24}: *(?P<answer>[^\s:](?:[^\n:]*[^\s:.])?)[ .]*$")


@dataclass(frozen=True, slots=True)
class GoldForm:
    """The parts of a gold.

    Attributes:
        before: The text before the answer.
        answer: The answer itself.
        after: The text after it.
        marked: Whether a mark (a tag, a box, ####) contains the answer.
    """

    before: str
    answer: str
    after: str
    marked: bool

    def holding(self, answer: str) -> str:
        """Another answer in the gold's form."""
        return f"{self.before}{answer}{self.after}"


def form_of(row: CheckRow) -> GoldForm:
    """The gold's text split at its answer: the last mark's, else the longest text of the item in it, else all of it.

    Of several marks the one counts that holds what the item has too.
    """
    text = row.text
    marks = [places[-1] for mark in _MARKS if (places := list(mark.finditer(text)))]
    labels = [label for label in (_LABELLED.search(text),) if label]
    known = {plain(answer) for answer in row.answers}
    same = [found for found in (*marks, *labels) if plain(found["answer"]) in known]
    for found in (*same, *marks):
        answer = found["answer"].strip()
        if answer:
            start = found.start("answer") + found["answer"].index(answer)
            return GoldForm(text[:start], answer, text[start + len(answer) :], marked=True)
    answer = max(row.answers, key=len, default="")
    at = _last_place(answer, text)
    if at < 0:
        return GoldForm("", text.strip(), "", marked=False)
    end = at + len(answer)
    return GoldForm(text[:at], text[at:end], text[end:], marked=False)


def _last_place(part: str, whole: str) -> int:
    """The last position of a part, preferably as whole words in the same case; -1 if it is not there."""
    if not part:
        return -1
    words = rf"(?<!\w){re.escape(part)}(?!\w)"
    found = list(re.finditer(words, whole)) or list(re.finditer(words, whole, re.IGNORECASE))
    return found[-1].start() if found else whole.lower().rfind(part.lower())


@dataclass(frozen=True, slots=True)
class WrongSample:
    """A sample that is wrong by construction, and why."""

    sample: Any
    why: str


@dataclass(frozen=True, slots=True)
class AttackContext:
    """The input of families.

    Attributes:
        rows: All rows, for other rows' answers.
        constants: Texts and numbers in the spec.
        spec_text: The spec as JSON, in which fields of the item are looked up.
        judged: Whether a judge reads the samples.
        verdicts: The judges' verdicts with the highest reward, as JSON.
    """

    rows: Sequence[CheckRow]
    constants: tuple[str, ...] = ()
    spec_text: str = ""
    judged: bool = False
    verdicts: tuple[str, ...] = ()

    def means(self, row: CheckRow, value: Any) -> bool:
        """Whether a value is in a field of the item that the spec names, so that it is requested."""
        wanted = json.dumps(value)
        return value not in (None, "", [], {}) and any(
            name in self.spec_text and wanted in json.dumps(held, default=str)
            for name, held in row.item.items()
        )

    def others(self, row: CheckRow, most: int = 3) -> list[str]:
        """Answers of other rows that are not this row's."""
        answers = [form_of(other).answer for other in self.rows if other.id != row.id]
        return [a for a in dict.fromkeys(answers) if a and not may_be_right(row, a)][:most]


Maker = Callable[[CheckRow, GoldForm, AttackContext], Iterator[WrongSample]]


@dataclass(frozen=True, slots=True)
class Family:
    """One family of wrong samples.

    Attributes:
        make: The samples of one row.
        share: Fraction of the gold's reward from which a sample is an exploit.
        holds_answer: Whether the samples contain the right answer and are wrong because of the rest.
        on_several: Whether the spec's own words may make a sample right, so that it has to break two rows with
            different answers.
        by_case: Whether the samples differ from the gold in capitals alone, and are wrong since the prompt asks for those.
    """

    make: Maker
    share: float
    holds_answer: bool = False
    on_several: bool = False
    by_case: bool = False


def plain(text: str) -> str:
    """A text for comparison, without case, white space, outer punctuation and currency signs."""
    return " ".join(text.lower().split()).strip(" .,;:!?\"'`$*")


def may_be_right(row: CheckRow, text: str) -> bool:
    """Whether a text is the row's gold, its answer, or another hidden part of its item, in any spelling."""
    hidden = [value for name, value in row.item.items() if name not in SHOWN_FIELDS and name != "id"]
    known = {row.text, form_of(row).answer, *leaves(hidden)}
    number = as_number(text)
    return any(
        plain(text) == plain(right) or (number is not None and as_number(right) == number)
        for right in known
        if right.strip()
    )


def has_answer(row: CheckRow, text: str) -> bool:
    """Whether a text contains the row's answer as a separate word."""
    wanted = {form_of(row).answer.strip().lower(), *(answer.lower() for answer in row.answers)}
    return any(re.search(rf"(?<!\w){re.escape(one)}(?!\w|[.,]\d)", text.lower()) for one in wanted if one)


CODE = re.compile(
    r"```|^[^\S\n]*(?:def|class|import|from|return|function|const|public|#include)\b", re.MULTILINE
)
SQL = re.compile(r"(?i)^\s*(?:select|with|insert|update|delete)\b")


def object_of(text: str) -> dict[str, Any] | list[Any] | None:
    """The JSON object or array in a text; None when it is neither."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, (dict, list)) else None


def without_thoughts(text: str) -> str:
    """The text after the thoughts; all of it if there are none."""
    return text.rpartition("</think>")[2].strip() or text


def is_prose(row: CheckRow) -> bool:
    """Whether a gold is plain text: not a call, JSON object, code or query."""
    text = form_of(row).answer
    objects = [object_of(text), object_of(without_thoughts(row.text))]
    if any(isinstance(value, dict) or (value and isinstance(value[0], (dict, list))) for value in objects):
        return False
    return bool(text) and not (CODE.search(row.text) or SQL.search(text))
