"""Reads a spec's JSON into a checked model, or reports every problem at once.

A type's model first rewrites deviating spellings of real specs (`lenient`; each change is a warning, under strict an
error), then checks the rules that no schema can express (`check`), and pydantic checks the shape. `check` reads the
JSON and not the model, so that one wrong field does not hide the problems of the others. This module adds the place to
each problem: the file and, where its text is known, line and column.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePath

from graders.errors import Problem, SpecError
from graders.kinds import PROGRAMS, program_grader, read_grader
from graders.spec import bounds
from graders.spec.model import SpecModel
from graders.spec.problems import Problems
from graders.spec.reading import Source
from graders.spec.wording import Json


@dataclass(frozen=True, slots=True)
class CheckedSpec:
    """A valid spec with its warnings."""

    spec: SpecModel
    warnings: tuple[Problem, ...]


def read(source: Source, *, strict: bool = False) -> CheckedSpec:
    """The checked spec.

    Raises:
        SpecError: with all errors and warnings; under `strict`, deviations that we tolerate are errors too.
    """
    if beyond := bounds.mistake(source.value):
        raise SpecError([Problem("", beyond, "spec_too_large", file=source.file)])
    report = Problems(strict, source.at)
    spec = read_grader(_json_of(source), report)
    found = sorted(report.problems, key=lambda problem: problem.severity)[: bounds.PROBLEMS_MAX]
    problems = [placed(problem, source) for problem in found]
    problems.sort(key=lambda problem: (problem.line, problem.column))
    if len(report.problems) > len(found):
        rest = f"There are more problems than these {len(found)}."
        problems.append(Problem("", rest, "more_problems", "warning", file=source.file))
    if spec is None or any(problem.severity == "error" for problem in problems):
        raise SpecError(problems)
    return CheckedSpec(spec, tuple(problems))


def _json_of(source: Source) -> Json:
    """The JSON of a source's grader; a program's file becomes the grader of its type."""
    file = PurePath(source.file)
    if isinstance(source.value, str) and file.suffix in PROGRAMS:
        return program_grader(source.value, file.stem, file.suffix)
    return source.value


def placed(problem: Problem, source: Source) -> Problem:
    """The problem with its file, and its line and column where the text is known."""
    if source.positions is None:
        return replace(problem, file=source.file)
    line, column = source.positions.locate(problem.path)
    return replace(problem, line=line, column=column, file=source.file)
