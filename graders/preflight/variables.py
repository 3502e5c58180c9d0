"""Looks up every variable of a grader's templates in every row."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graders.errors import GradeError, MissingVariable
from graders.fields import likely_field
from graders.preflight.findings import Findings, RowCount
from graders.preflight.rows import NamedRow
from graders.spec.model import VariableValues
from graders.template import Path, json_text
from graders.wording import plural

_TYPES = {
    str: "text",
    bool: "boolean",
    int: "integer",
    float: "decimal number",
    type(None): "null",
    dict: "object",
    list: "list",
}


@dataclass(slots=True)
class Variable:
    """The statistics of one template variable over all rows.

    Attributes:
        at: The path of the template's field in the spec.
        missing, nulls: The rows that lack it, and those in which it is null.
        meant: Name that was probably meant -> number of rows that have it.
        types, examples: As in VariableValues.
    """

    at: str
    path: Path
    missing: RowCount = field(default_factory=RowCount)
    nulls: RowCount = field(default_factory=RowCount)
    meant: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def inspect(self, rows: Sequence[NamedRow]) -> None:
        """Look the variable up in some rows. The usual case, texts one step into item or sample, is done by column."""
        path = self.path
        if len(path.steps) == 1 and isinstance(path.steps[0], str):
            roots: list[Mapping[str, Any]]
            if path.namespace == "item":
                roots = [row.row.item for row in rows]
            else:
                roots = [row.row.sample for row in rows]
            # dict.get does not derive a sample's absent keys, which are looked up below
            values: list[Any] = [root.get(path.steps[0]) for root in roots]
            if set(map(type, values)) == {str}:
                self._count("text", values[0], len(values))
                return
        for row in rows:
            try:
                value = path.value(row.row)
            except GradeError as error:
                if not self.missing.n:
                    self.missing.example = str(error)
                self.missing.add(row.id, row.number)
                if isinstance(error, MissingVariable) and (near := _nearest(error)):
                    self.meant[near] += 1
                continue
            self._count(_TYPES.get(type(value), type(value).__name__), value)
            if value is None:
                self.nulls.add(row.id, row.number)

    def _count(self, kind: str, value: Any, times: int = 1) -> None:
        self.types[kind] += times
        if kind not in self.examples:
            self.examples[kind] = _shown(value)

    def report(self, findings: Findings, grader: str, n_rows: int) -> None:
        """Report rows in which it is missing, null, or of several types."""
        path, missing, nulls = self.path, self.missing, self.nulls
        if missing.n:
            which = f"every row ({n_rows:,})" if missing.n == n_rows else f"{missing.n:,} of {n_rows:,} rows"
            meant = self.meant.most_common(1)
            findings.add(
                "error",
                "missing_variable",
                f"'{path}' is missing in {which}, which will fail with invalid_variable_error: {missing.example}.",
                grader=grader,
                path=self.at,
                rows=missing,
                suggestion=_suggestion(str(path), meant[0][0]) if meant else "",
            )
        if nulls.n:
            message = f"'{path}' is null in {plural(nulls.n, 'row')} and is put in as the text 'null'."
            findings.add("warning", "null_variable", message, grader=grader, path=self.at, rows=nulls)
        kinds = sorted(set(self.types) - {"null"})
        if len(kinds) > 1:
            listed = ", ".join(
                f"{kind} in {plural(self.types[kind], 'row')} (such as {self.examples[kind]})"
                for kind in kinds
            )
            message = f"'{path}' is {listed}."
            findings.add("warning", "mixed_types", message, grader=grader, path=self.at)

    def values(self, prefix: str) -> VariableValues:
        """The values for the spec's own findings; `prefix` is removed from the path of the field."""
        return VariableValues(self.at.removeprefix(prefix), self.path, self.types, self.examples)


def _suggestion(path: str, meant: str) -> str:
    (namespace, _, name), (_, _, source) = path.partition("."), meant.partition(".")
    option = (
        ""
        if namespace != "item" or "." in name + source
        else f" --map {shlex.quote(f'{name}={source}')} gives it."
    )
    return f"Did you mean '{meant}'?{option}"


def _nearest(error: MissingVariable) -> str:
    """The existing name that a missing one is probably a misspelling of."""
    parent, _, last = error.path.rpartition(".")
    near = likely_field(last, dict.fromkeys(error.have))
    return f"{parent}.{near}" if near and parent else ""


def _shown(value: Any) -> str:
    try:
        text = json_text(value)
    except GradeError:
        text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
