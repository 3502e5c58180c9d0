"""Loads the JSON of specs from files, JSON or YAML texts and objects, with positions for messages."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from graders.errors import Problem, SpecError
from graders.jsontext import parse, text_of_file
from graders.spec import bounds
from graders.spec.positions import Positions
from graders.spec.wording import Json

#: A short valid grader, for messages.
EXAMPLE = (
    '{"type": "string_check", "name": "exact", "input": "{{sample.output_text}}", '
    '"reference": "{{item.answer}}", "operation": "eq"}'
)


@dataclass(frozen=True, slots=True)
class Source:
    """A spec's JSON, and the text that it came from, in which a path's line can be found.

    Attributes:
        at: The spec's path within that text's document; () when it is the whole document.
    """

    value: Json
    positions: Positions | None = None
    file: str = ""
    at: tuple[str | int, ...] = ()


def load(spec: object) -> Source:
    """The JSON of a spec given as a dict, JSON text, a path, or an object with `model_dump()`; a .py file's text.

    Raises:
        SpecError: there is no such file, or it is not JSON (or YAML, by its ending).
    """
    if isinstance(spec, Source):
        return spec
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
        text = text_of_file(path.read_bytes())
    except UnicodeDecodeError as error:
        raise SpecError(
            [
                Problem(
                    "", f"the file is neither UTF-8 nor UTF-16: {error}", "invalid_encoding", file=str(path)
                )
            ]
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SpecError(
            [Problem("", f"cannot read the spec: {reason}", "unreadable_file", file=str(path))]
        ) from None
    if path.suffix == ".py":
        # a program, whose grader type depends on the ending (see kinds.PROGRAMS)
        return Source(text, file=str(path))
    return parse_text(text, str(path), yaml=path.suffix in (".yaml", ".yml"))


def parse_text(text: str, file: str = "", *, yaml: bool = False, guess: bool = False) -> Source:
    """The spec in a text.

    Args:
        yaml: Whether the text is YAML, by its file's ending.
        guess: Whether a text that does not begin like JSON is read as YAML.

    Raises:
        SpecError: it is not JSON (not YAML), with line and column; or the `[yaml]` extra is not installed.
    """
    if too_long := bounds.text_mistake(text, yaml=yaml):
        raise SpecError([Problem("", too_long, "spec_too_large", file=file)])
    if yaml or (guess and text.strip() and text.lstrip()[:1] not in "{["):
        return Source(_parse_yaml(text, file), Positions(text, yaml=True), file)
    try:
        value = parse(text)
    except json.JSONDecodeError as error:
        found = f"not JSON: {error.msg}" if text.strip() else f"empty; expected a grader, such as {EXAMPLE}"
        hint = "A spec is one object; lines of JSON are data." if error.msg == "Extra data" else ""
        found += "." if hint else ""
        problem = Problem(
            "", found, "invalid_json", suggestion=hint, line=error.lineno, column=error.colno, file=file
        )
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
