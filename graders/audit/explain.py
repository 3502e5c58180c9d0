"""What a failing assert shows beside the number: flags, sub-rewards, rendered texts and a diff, all shortened."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from graders.audit.probe import leaves
from graders.engine.grader import Grader
from graders.errors import GradeError
from graders.result import RunResult
from graders.row import Row
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
    for key, spec in leaves(grader.spec):
        lines += [f"  {key + ' ' if key else ''}{line}" for line in _rendered(spec.to_json(), sample, item)]
    return lines


def _rendered(fields: Mapping[str, Any], sample: Any, item: Mapping[str, Any]) -> Iterator[str]:
    """The texts of one grader with this row's values in them; without templates the sample and item themselves."""
    try:
        row = Row(sample, item)
    except GradeError as error:
        yield f"the sample cannot be read: {error}"
        return
    got, want = (_filled(fields.get(side), row) for side in ("input", "reference"))
    if got is not None and want is not None:
        yield f"input:     {_short(got)}"
        yield f"reference: {_short(want)}"
        if got != want:
            yield from _diff(want, got)
        return
    messages = fields.get("input")
    if isinstance(messages, list):
        for message in messages:
            content = message.get("content")
            texts = content if isinstance(content, list) else [content]
            for part in texts:
                text = part.get("text") if isinstance(part, Mapping) else part
                yield f"{message.get('role')}: {_short(_filled(text, row) or part)}"
        return
    yield f"sample: {_short(row.sample.complete()['output_text'])}"
    yield f"item:   {_short(dict(item))}"


def _filled(text: Any, row: Row) -> str | None:
    if not isinstance(text, str):
        return None
    try:
        return Template(text).render(row)
    except GradeError as error:
        return f"({error})"


def _diff(want: str, got: str) -> Iterator[str]:
    """How to get from the reference (-) to the input (+)."""
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
