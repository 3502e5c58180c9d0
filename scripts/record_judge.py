"""Write examples/recorded_judge.jsonl: what judges answer about examples/answers.jsonl, made up by hand.

    python scripts/record_judge.py

Run it after changing one of the two specs or the rows: a recording answers the questions that it holds, and no others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import graders
from graders.judges.callables import client_of
from graders.judges.recorded import Recorded

EXAMPLES = Path(__file__).parents[1] / "examples"
JUDGES = ("helpful", "tone")
#: A row's id -> what each of JUDGES answers.
VERDICTS = {
    "capital-fr": (10, "neutral"),
    "capital-jp": (10, "neutral"),
    "capital-au": (0, "neutral"),
    "capital-br": (10, "neutral"),
    "capital-ch": (9, "friendly"),
    "sum": (10, "neutral"),
    "product": (9, "friendly"),
    "half": (2, "neutral"),
    "thousand": (9, "neutral"),
    "planet": (9, "neutral"),
    "metal": (0, "rude"),
    "author": (10, "neutral"),
}


def record(path: Path) -> None:
    """Ask each judge about every row, one after the other, and write the answers down."""
    path.unlink(missing_ok=True)
    text = (EXAMPLES / "answers.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    for place, name in enumerate(JUDGES):
        answers = iter([VERDICTS[row["id"]][place] for row in rows])
        judge = Recorded(path, client_of(partial(_answer, answers)))
        with graders.Backends(models=judge) as backends:
            grader = graders.compile(EXAMPLES / f"{name}.grader.json", backends=backends)
            for row in rows:
                result = grader.run(row["sample"], row["item"])
                assert result.ok, result.failures


def _answer(answers: Iterator[float | str], request: Mapping[str, Any]) -> dict[str, Any]:
    return {"steps": [], "result": next(answers)}


if __name__ == "__main__":
    record(EXAMPLES / "recorded_judge.jsonl")
