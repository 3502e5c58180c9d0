"""Runs python graders in the sandbox on a few rows, one of each shape of row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from graders.errors import PythonRuntimeError
from graders.preflight.findings import Findings, RowCount
from graders.preflight.rows import NamedRow
from graders.spec.model import SpecModel
from graders.wording import plural

if TYPE_CHECKING:
    from graders.engine.backends import Backends

#: Rows that a program is tried on.
TRIED = 8
#: Rows that are searched for distinct shapes.
SHAPED = 20_000

#: Endings of exceptions' names.
_ENDINGS = ("Error", "Exception", "Exit", "Interrupt", "Warning")
#: Exceptions that a program raises for any output, since the name in their message is missing.
_WITHOUT_OUTPUT = ("KeyError", "NameError", "ModuleNotFoundError", "ImportError", "SyntaxError")


def try_programs(
    specs: Mapping[str, SpecModel],
    rows: Sequence[NamedRow],
    findings: Findings,
    backends: Backends,
    *,
    has_samples: bool,
) -> None:
    """Run every python grader on some rows, and report what fails.

    Args:
        has_samples: Whether the rows have outputs. Without, an empty output is graded, and only failures that occur
            with any output are reported.
    """
    programs = [
        (name, at, leaf)
        for name, spec in specs.items()
        for at, leaf in spec.leaves().items()
        if leaf.program() is not None
    ]
    if not programs or not rows:
        return
    import graders

    numbers = {row.id: row.number for row in rows}
    batch = [{"id": row.id, "sample": row.row.sample, "item": row.row.item} for row in rows]
    for name, at, leaf in programs:
        failed: dict[str, RowCount] = {}
        for result in graders.compile(leaf, backends=backends).run_batch(batch):
            for failure in result.failures:
                last = last_words(str(failure))
                if not has_samples and not (
                    isinstance(failure, PythonRuntimeError) and last.startswith(_WITHOUT_OUTPUT)
                ):
                    continue
                failed.setdefault(last, RowCount()).add(result.id, numbers[result.id])
        for last, count in failed.items():
            tried = f"{count.n} of the {plural(len(rows), 'row')} it was tried on"
            without = "" if has_samples else ", with an empty output"
            findings.add(
                "error",
                "program_fails",
                f"The program fails on {tried}{without}: {last}",
                grader=name,
                path=f"{at}source",
                rows=count,
            )


def last_words(text: str) -> str:
    """The exception's name and the first words of its message, from a traceback's text."""
    lines = [line.strip() for line in text.splitlines() if any(map(str.isalnum, line))]
    for index in range(len(lines) - 1, -1, -1):
        kind, _, message = lines[index].partition(":")
        if kind.endswith(_ENDINGS) and kind.replace(".", "").isidentifier():
            message = message.strip() or "".join(lines[index + 1 : index + 2])
            return f"{kind}: {message}" if message else kind
    return lines[-1] if lines else text.strip()
