"""Reading specs: JSON, YAML, files and objects in; a checked model out, or every problem at once.

A type's model rewrites what real specs say differently (`lenient`, each change a warning, or under strict an error),
looks at what a schema cannot say (`check`), and lets pydantic check the shape. `check` reads the JSON and not the
model, so that one wrong field does not hide what is wrong with the others. Here problems get their place: the file,
and where its text is known the line and column.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from graders.errors import Problem, SpecError
from graders.jsontext import parse
from graders.kinds import EXAMPLE, read_grader
from graders.spec import bounds
from graders.spec.model import SpecModel
from graders.spec.positions import Positions
from graders.spec.problems import Problems
from graders.spec.wording import Json


@dataclass(frozen=True, slots=True)
class Source:
    """A spec's JSON, and what is needed to find a path's line in the text it came from."""

    value: Json
    positions: Positions | None = None
    file: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """A valid spec and what to read before using it."""

    spec: SpecModel
    warnings: tuple[Problem, ...]


def load(spec: object) -> Source:
    """The JSON of a spec given as a dict, JSON text, a path, or an object with `model_dump()`.

    Raises:
        SpecError: there is no such file, or it is not JSON (or YAML, by its ending).
    """
    if isinstance(spec, Path):
        return _load_file(spec)
    if isinstance(spec, (str, bytes)):
        text = spec.decode() if isinstance(spec, bytes) else spec
        if text.lstrip()[:1] in ("{", "[", '"') or "\n" in text:
            return parse_text(text)
        return _load_file(Path(text))
    dump = getattr(spec, "model_dump", None)
    if callable(dump):
        return Source(dump(mode="json", exclude_unset=True))
    return Source(spec)


def _load_file(path: Path) -> Source:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError(
            [Problem("", f"the file is not UTF-8: {error}", "invalid_encoding", file=str(path))]
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SpecError(
            [Problem("", f"cannot read the spec: {reason}", "unreadable_file", file=str(path))]
        ) from None
    return parse_text(text, str(path), yaml=path.suffix in (".yaml", ".yml"))


def parse_text(text: str, file: str = "", *, yaml: bool = False) -> Source:
    """The spec in a text.

    Raises:
        SpecError: it is not JSON (not YAML), with line and column; or the `[yaml]` extra is not installed.
    """
    if too_long := bounds.text_mistake(text, yaml=yaml):
        raise SpecError([Problem("", too_long, "spec_too_large", file=file)])
    if yaml:
        return Source(_parse_yaml(text, file), Positions(text, yaml=True), file)
    try:
        value = parse(text)
    except json.JSONDecodeError as error:
        found = f"not JSON: {error.msg}" if text.strip() else f"empty; expected a grader, such as {EXAMPLE}"
        problem = Problem("", found, "invalid_json", line=error.lineno, column=error.colno, file=file)
        raise SpecError([problem]) from None
    except (RecursionError, ValueError) as error:
        raise SpecError(
            [Problem("", f"not JSON that can be read: {error}", "invalid_json", file=file)]
        ) from None
    return Source(value, Positions(text), file)


def _parse_yaml(text: str, file: str) -> Json:
    try:
        import yaml
    except ImportError:
        message = "reading YAML needs PyYAML: pip install 'local-graders[yaml]', or write the spec as JSON"
        raise SpecError([Problem("", message, "yaml_not_installed", file=file)]) from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        message = f"not YAML: {getattr(error, 'problem', None) or error}"
        raise SpecError([Problem("", message, "invalid_yaml", line=line, column=column, file=file)]) from None
    except (RecursionError, ValueError) as error:
        raise SpecError(
            [Problem("", f"not YAML that can be read: {error}", "invalid_yaml", file=file)]
        ) from None


def read(source: Source, *, strict: bool = False) -> Checked:
    """The checked spec.

    Raises:
        SpecError: with all errors and warnings found; `strict` makes errors of what we merely tolerate.
    """
    if beyond := bounds.mistake(source.value):
        raise SpecError([Problem("", beyond, "spec_too_large", file=source.file)])
    report = Problems(strict)
    spec = read_grader(source.value, report)
    found = sorted(report.problems, key=lambda problem: problem.severity)[: bounds.PROBLEMS_MAX]
    problems = [_placed(problem, source) for problem in found]
    problems.sort(key=lambda problem: (problem.line, problem.column))
    if len(report.problems) > len(found):
        rest = f"There are more problems than these {len(found)}."
        problems.append(Problem("", rest, "more_problems", "warning", file=source.file))
    if spec is None or any(problem.severity == "error" for problem in problems):
        raise SpecError(problems)
    return Checked(spec, tuple(problems))


def _placed(problem: Problem, source: Source) -> Problem:
    if source.positions is None:
        return replace(problem, file=source.file)
    line, column = source.positions.locate(problem.path)
    return replace(problem, line=line, column=column, file=source.file)
