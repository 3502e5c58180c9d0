"""Rows of reward checks: an item with its gold and prompt, and the comparison of answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from graders.row import Row

#: Fields of an item that are part of the prompt, so that echoing them is no answer.
SHOWN_FIELDS = (
    "prompt", "question", "query", "instruction", "instructions", "problem", "task", "input", "messages", "context",
    "passage", "document", "text", "choices", "options",
)  # fmt: skip


_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d*)?")

RowId: TypeAlias = str | int


@dataclass(frozen=True, slots=True, eq=False)
class CheckRow:
    """One row of `check_reward`.

    Attributes:
        gold: A sample that deserves the top reward.
        text: The gold's text, "" when it has none (a tool call).
        shown: The texts that the model sees: the row's prompt, and the item's fields of SHOWN_FIELDS.
        bad: Samples that deserve the bottom reward.
        group: Name of the group of rows that training compares; None without one.
        answers: The item's other texts and numbers that the gold contains, as texts.
        prompt: The row's prompt, unchanged; None without one.
    """

    id: RowId
    item: Mapping[str, Any]
    gold: Any
    text: str
    shown: tuple[str, ...]
    bad: tuple[Any, ...]
    group: str | None
    answers: tuple[str, ...]
    prompt: Any = None


ROW_KEYS = ("id", "item", "gold", "prompt", "bad", "group")


def read_rows(rows: Iterable[Mapping[str, Any]]) -> list[CheckRow]:
    """Check and convert the user's rows.

    Raises:
        ValueError: there is no row, a row has no gold, or two have the same id; the message names it.
    """
    read: dict[RowId, CheckRow] = {}
    for index, fields in enumerate(rows):
        row_id = fields.get("id", index)
        row_id = row_id if isinstance(row_id, (str, int)) else str(row_id)
        if row_id in read:
            raise ValueError(f"two rows have the id {row_id!r}; findings name rows by id")
        if "gold" not in fields:
            raise ValueError(
                f"row {row_id!r} has no 'gold', a sample that deserves the top; it has {', '.join(fields)}"
            )
        read[row_id] = _read_row(row_id, fields)
    if not read:
        raise ValueError("there is no row to check with; give at least one, better three or more")
    return list(read.values())


def _read_row(row_id: RowId, fields: Mapping[str, Any]) -> CheckRow:
    item = fields.get("item") or {}
    row = Row(fields["gold"], item)  # raises SampleParseError for what no grader could read
    text = row.sample.complete()["output_text"]
    text = text if isinstance(text, str) else ""
    shown = [_text(fields["prompt"])] if fields.get("prompt") else []
    shown += [_text(item[name]) for name in SHOWN_FIELDS if item.get(name)]
    bad = fields.get("bad") or ()
    bad = (bad,) if isinstance(bad, (str, Mapping)) else tuple(bad)
    hidden = [value for name, value in item.items() if name not in SHOWN_FIELDS and name != "id"]
    answers = tuple(leaf for leaf in leaves(hidden) if _within(leaf, text))
    group = fields.get("group")
    return CheckRow(
        row_id,
        item,
        fields["gold"],
        text,
        tuple(dict.fromkeys(shown)),
        bad,
        None if group is None else str(group),
        answers,
        fields.get("prompt"),
    )


def _text(value: Any) -> str:
    """A prompt as text: a string, chat messages, or anything else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence) and all(isinstance(part, Mapping) and "content" in part for part in value):
        return "\n".join(part["content"] for part in value if isinstance(part["content"], str))
    if isinstance(value, Sequence) and all(isinstance(part, str) for part in value):
        return "\n".join(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def leaves(value: Any) -> Iterator[str]:
    """The texts and numbers of a JSON value, as texts."""
    if isinstance(value, str):
        if value.strip():
            yield value.strip()
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield json.dumps(value)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from leaves(inner)


def _within(part: str, whole: str) -> bool:
    return part.lower() in whole.lower()


def different(row: CheckRow, other: CheckRow) -> bool:
    """Whether two rows' golds are different answers: neither text, number nor the items' answers are equal."""
    if row is other or row.gold == other.gold or (row.answers and set(row.answers) == set(other.answers)):
        return False
    mine, theirs = (" ".join(text.lower().split()) for text in (row.text, other.text))
    return not mine or (mine != theirs and (as_number(mine) is None or as_number(mine) != as_number(theirs)))


def as_number(text: str) -> float | None:
    """The number in a text, without thousands separators, currency and percent signs; None for other texts.

    "1,200" is 1200, and "1, 2, 3" is a list.
    """
    bare = text.strip().strip("$%").rstrip(".")
    if "," in bare and not _THOUSANDS.fullmatch(bare):
        return None
    try:
        return float(bare.replace(",", ""))
    except ValueError:
        return None
