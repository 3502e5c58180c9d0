"""Reasons of failures: distinct messages, counted, with an example each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Distinct reasons that are counted separately; further ones count as "other reasons".
REASONS_MAX = 200
#: Characters of a reason.
REASON_CHARS = 300

_VARYING = re.compile(r"'[^']*'|\"[^\"]*\"|\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class FailureReason:
    """One reason of failures.

    Attributes:
        flag: The wire flag; "" for rows with several.
        text: The message of the first such row; quoted texts and numbers may differ in the others.
        rows: Number of rows that failed for it.
        example: The id of the first of them.
    """

    flag: str
    text: str
    rows: int
    example: str


class ReasonCounter:
    """Counts failures by message; messages that differ only in quoted texts or numbers are one reason."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[str, str, str]] = {}
        self._counts: Counter[str] = Counter()

    def add(self, row: Mapping[str, Any]) -> None:
        flags, errors = row.get("flags", ()), row.get("errors", ())
        text = errors[0] if errors else ", ".join(flags)
        key = _VARYING.sub("…", text)
        if key not in self._found:
            if len(self._found) >= REASONS_MAX:
                key, text = "", "other reasons"
            flag = flags[0] if len(flags) == 1 else ""
            self._found.setdefault(key, (flag, text[:REASON_CHARS], row["id"]))
        self._counts[key] += 1

    def most_common(self) -> tuple[FailureReason, ...]:
        return tuple(
            FailureReason(flag, text, n, example)
            for key, n in self._counts.most_common()
            for flag, text, example in (self._found[key],)
        )
