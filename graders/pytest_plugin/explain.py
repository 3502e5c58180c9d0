"""Explanation of a failing assert: flags, sub-rewards, rendered texts and a diff, all shortened."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from graders.engine.grader import Grader
from graders.errors import GradeError
from graders.result import RunResult
from graders.row import Row
from graders.spec.model import SpecModel
from graders.template import Template

TEXT_MAX = 300  # characters of one text
DIFF_MAX = 12  # lines of one diff


def explained(grader: Grader, result: RunResult, sample: Any, item: Mapping[str, Any]) -> list[str]:
    """Lines for people."""
    of_row = f" of row {result.id!r}" if result.id else ""
    lines = [f"reward {result.reward:g}{of_row} by {grader.name!r} ({grader.type})"]
    lines += [
        f"  {failure.flag}: {_short(str(failure).strip().splitlines()[-1:])}" for failure in result.failures
    ]
    for key, reward in result.sub_rewards.items():
        lines.append(f"  {key}: {'failed' if key in result.failed_members else f'{reward:g}'}")
    for key, spec in (grader.spec.members() or {"": grader.spec}).items():
        lines += [f"  {key + ' ' if key else ''}{line}" for line in _rendered(spec, sample, item)]
    return lines


def _rendered(spec: SpecModel, sample: Any, item: Mapping[str, Any]) -> Iterator[str]:
    """The texts of one grader with this row's values in them; without templates the sample and item themselves."""
    try:
        row = Row(sample, item)
    except GradeError as error:
        yield f"the sample cannot be read: {error}"
        return
    texts = spec.compared()
    if texts:
        got, want = (_filled(text, row) for text in texts)
        yield f"input:     {_short(got)}"
        yield f"reference: {_short(want)}"
        if got != want:
            yield from _diff(want, got)
        return
    shown = [f"{at}: {_short(_filled(text, row))}" for at, text in spec.templates()]
    if shown:
        yield from shown
        return
    yield f"sample: {_short(row.sample.complete()['output_text'])}"
    yield f"item:   {_short(dict(item))}"


def _filled(text: str, row: Row) -> str:
    try:
        return Template(text).render(row)
    except GradeError as error:
        return f"({error})"


def _diff(want: str, got: str) -> Iterator[str]:
    """The lines of a diff from the reference (-) to the input (+)."""
    lines = list(difflib.ndiff(want[: 4 * TEXT_MAX].splitlines(), got[: 4 * TEXT_MAX].splitlines()))
    for line in lines[:DIFF_MAX]:
        yield f"  {line.rstrip()[:TEXT_MAX]}"
    if len(lines) > DIFF_MAX:
        yield f"  ... {len(lines) - DIFF_MAX} more lines"


def _short(value: Any) -> str:
    text = (
        json.dumps(value, ensure_ascii=False, default=repr)
        if not isinstance(value, list)
        else " ".join(value)
    )
    return (
        text
        if len(text) <= TEXT_MAX
        else f"{text[: TEXT_MAX * 2 // 3]} ... {text[-TEXT_MAX // 4 :]} ({len(text)} characters)"
    )
