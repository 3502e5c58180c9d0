"""Findings of audits, and the error of an audit without a result."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from graders.session.rows import RowId


class CannotCheck(RuntimeError):
    """Raised when a reward cannot be checked for lack of a sandbox or judge. It is no statement about the grader."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding of a check.

    Attributes:
        check: The check's name, a key of CHECKS.
        message: The finding, and the expected behaviour.
        rows: The ids of its rows; () when it is about the spec itself.
        sample: Its sample; None without one.
        severity: "exploit" if a wrong answer is rewarded, "fault" if the grader is wrong in another way, "note" if it
            may be intended. `assert_reward_ok` fails on the first two.
    """

    check: str
    message: str
    rows: tuple[RowId, ...] = ()
    sample: Any = None
    severity: Literal["exploit", "fault", "note"] = "exploit"

    def __str__(self) -> str:
        rows = ", ".join(map(str, self.rows[:5])) + (
            f" and {len(self.rows) - 5} more" if len(self.rows) > 5 else ""
        )
        where = f" [rows {rows}]" if rows else ""
        sample = "" if self.sample is None else f"\n    sample: {shortened(self.sample)}"
        note = "note: " if self.severity == "note" else ""
        return f"{note}{self.check}: {self.message}{where}{sample}"


def shortened(sample: Any, limit: int = 160) -> str:
    """A sample on one line."""
    text = json.dumps(sample, ensure_ascii=False, default=repr)
    return (
        text
        if len(text) <= limit
        else f"{text[: limit // 2]} ... {text[-limit // 4 :]} ({len(text)} characters)"
    )
