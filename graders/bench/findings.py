"""What audits say: findings, and that nothing could be found out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from graders.bench.rows import RowId


class CannotCheck(RuntimeError):
    """The reward could not be checked at all: no sandbox, no judge. Says nothing about the grader."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        check: The check's name, a key of CHECKS.
        message: What was found, and what was expected.
        rows: The ids of the rows it was found on, as the rows have them; () when it is about the spec itself.
        sample: The sample that did it; None when it was none.
        severity: "exploit" where a wrong answer is paid, "fault" where the grader is wrong in another way, "note" where it
            may be meant so. `assert_reward_ok` fails on the first two.
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
