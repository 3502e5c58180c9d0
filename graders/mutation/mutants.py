"""Mutants of a spec: small changes that rows should notice, made without naming any grader type."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic.fields import FieldInfo

from graders.mutation.changes import program_changes
from graders.session.rows import CheckRow
from graders.spec.model import SpecModel, is_template
from graders.spec.translation import OneOf
from graders_sandbox import Sandbox

_ITEM_FIELD = re.compile(r"(\{\{\s*item\.)(\w+)(\s*\}\})")
_TOKEN = re.compile(r"[-+*/]|\b(?:min|max)\b(?=\()|\d+(?:\.\d+)?|[A-Za-z_]\w*(?!\w|\()")
_SWAPPED = {"+": "-", "-": "+", "*": "+", "/": "*", "min": "max", "max": "min"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A spec with one change.

    Attributes:
        kind: "operation swapped", "wrong field", "off formula", "normalisation dropped", "weaker regex", ...
        where: The path of the changed field, with the line in a program.
        before, after: The old and the new text.
        spec: The changed spec.
    """

    kind: str
    where: str
    before: str
    after: str
    spec: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.kind} ({self.where}): {_short(self.before)} -> {_short(self.after)}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:40]} ... {line[-15:]}"


def mutants(spec: SpecModel, rows: Sequence[CheckRow], sandbox: Sandbox | None) -> Iterator[Mutant]:
    """Every mutant of a spec, except changes of judges' questions, which would cost calls.

    Args:
        rows: Rows with the fields that templates may name in place of the right ones.
        sandbox: The sandbox that reads programs; None without programs.
    """
    whole = spec.to_json()
    for prefix, leaf in spec.leaves().items():
        if leaf.judge() is not None:
            continue
        for field, info in type(leaf).model_fields.items():
            before = getattr(leaf, field)
            if not isinstance(before, str) or field in ("type", "name"):
                continue
            for kind, after, line in _of_field(leaf, info, before, rows, sandbox):
                where = f"{prefix}{field}" + (f", line {line}" if line else "")
                old, new = _difference(before, after)
                yield Mutant(kind, where, old, new, _with(whole, prefix, field, after))
    formula = spec.formula()
    if formula is not None:
        (field,) = (name for name, value in whole.items() if value == formula.text)
        for before, after, text in _of_formula(formula.text):
            yield Mutant("off formula", field, before, after, _with(whole, "", field, text))


def _of_field(
    leaf: SpecModel, info: FieldInfo, before: str, rows: Sequence[CheckRow], sandbox: Sandbox | None
) -> Iterator[tuple[str, str, int]]:
    """(kind, the new value, the line in a program or 0) of one field."""
    if before == leaf.program():
        if sandbox is not None:
            yield from program_changes(before, sandbox)
    elif is_template(info):
        names = dict.fromkeys(
            name for row in rows for name, value in row.item.items() if isinstance(value, (str, int, float))
        )
        for found in _ITEM_FIELD.finditer(before):
            for name in names:
                if name != found[2]:
                    yield (
                        "wrong field",
                        f"{before[: found.start()]}{found[1]}{name}{found[3]}{before[found.end() :]}",
                        0,
                    )
    else:
        for choice in _choices(info):
            if choice != before:
                yield "operation swapped", choice, 0


def _choices(info: FieldInfo) -> list[str]:
    """The choices of a field with an enumerated type."""
    named = next((mark.names() for mark in info.metadata if isinstance(mark, OneOf)), None)
    return [
        choice
        for choice in (get_args(info.annotation) if named is None else named)
        if isinstance(choice, str)
    ]


def _of_formula(text: str) -> Iterator[tuple[str, str, str]]:
    """(old part, new part, changed formula) of each change."""
    for found in _TOKEN.finditer(text):
        token = found[0]
        others = (
            [_SWAPPED[token]]
            if token in _SWAPPED
            else [f"({token} + 1)"]
            if token[0].isdigit()
            else ["0", "1"]
        )
        for other in others:
            yield token, other, text[: found.start()] + other + text[found.end() :]


def _with(spec: Mapping[str, Any], prefix: str, field: str, value: str) -> Mapping[str, Any]:
    changed = copy.deepcopy(dict(spec))
    inner: Any = changed
    if prefix:
        holder, _, key = prefix.rstrip(".").partition(".")
        inner = changed[holder][key]
    inner[field] = value
    return changed


def _difference(before: str, after: str) -> tuple[str, str]:
    """The differing parts of two texts, extended to whole words."""
    start = 0
    while start < min(len(before), len(after)) and before[start] == after[start]:
        start += 1
    end = 0
    while end < min(len(before), len(after)) - start and before[-1 - end] == after[-1 - end]:
        end += 1
    while start and not before[start - 1].isspace():
        start -= 1
    while end and not before[len(before) - end].isspace():
        end -= 1
    return before[start : len(before) - end], after[start : len(after) - end]


def key_of(mutant: Mutant) -> str:
    """The key by which mutants are equal."""
    return json.dumps(mutant.spec, sort_keys=True)
