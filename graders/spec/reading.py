"""Specs: the wire's JSON in, a checked model out, or every problem at once.

`read` goes over a spec three times: `lenient` rewrites what real specs say differently (noting each as a warning,
or under strict as an error), pydantic checks the shape, `check` looks at what a schema cannot say. `check` reads the
JSON and not the model, so that one wrong field does not hide what is wrong with the others. Problems carry the path
in the user's own words and, where the text is known, the line.
"""

from __future__ import annotations

import hashlib
import json
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, Union

from pydantic import BaseModel, ConfigDict, Discriminator, Tag, ValidationError
from pydantic import Field as Field

from graders.errors import Problem, SpecError
from graders.jsontext import parse
from graders.kinds import KINDS, spec_of
from graders.spec import bounds
from graders.spec.positions import Positions
from graders.suggest import did_you_mean
from graders.template import mistakes

if TYPE_CHECKING:
    from graders.kinds import Kind

#: Any JSON value that has not been read yet.
Json: TypeAlias = Any

TemplateText = Annotated[
    str, Field(description="Text; {{ item.path }} and {{ sample.path }} are replaced by the row's values.")
]

# Marks the names of union members in pydantic's error paths, so that they can be taken out again.
_TAG = "#"

#: Keys that the service's own exports put on a grader; read and left alone.
EXPORTED_KEYS = ("$schema", "id", "grdr_id", "inactive_at")


@dataclass(frozen=True, slots=True)
class Options:
    """How kinds are built, beyond what the wire says.

    Attributes:
        metrics: "fast" or "reference": which implementation of text_similarity's metrics.
        metric_options: wire metric name -> options beyond the wire, such as {"rouge_l": {"stemmer": True}}.
        values: "json" or "python": how values that are not strings are rendered in templates.
        judge_steps: Whether judges are asked for reasoning steps before the result, as the service does.
        harden: Whether judges get the row's texts between marks that no text can forge, chat markup in them broken.
        embedder: Whether an embedder is configured; without one, cosine is refused.
    """

    metrics: str = "fast"
    metric_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    values: str = "json"
    judge_steps: bool = True
    harden: bool = False
    embedder: bool = False


class Report:
    """Collects problems; `at` makes the report for a part of the spec."""

    def __init__(
        self, strict: bool = False, path: tuple[str | int, ...] = (), into: list[Problem] | None = None
    ) -> None:
        self.strict = strict
        self.path = path
        self.problems: list[Problem] = [] if into is None else into

    def at(self, *steps: str | int) -> Report:
        return Report(self.strict, self.path + steps, self.problems)

    def where(self, *steps: str | int) -> str:
        """The path of a part, in the user's words: `graders.exact.input[0].content`."""
        return path_text(self.path + steps)

    def error(self, message: str, code: str, *at: str | int, suggestion: str = "") -> None:
        self.problems.append(Problem(self.where(*at), message, code, "error", suggestion))

    def warn(self, message: str, code: str, *at: str | int, suggestion: str = "") -> None:
        self.problems.append(Problem(self.where(*at), message, code, "warning", suggestion))

    def lenient(self, message: str, code: str, *at: str | int, suggestion: str = "") -> None:
        """We accept what the service refuses (or is not known to accept): a warning, under strict an error."""
        (self.error if self.strict else self.warn)(message, code, *at, suggestion=suggestion)

    def template(self, text: Json, *at: str | int) -> None:
        """Check the variables of one text."""
        for mistake in mistakes(text) if isinstance(text, str) else ():
            if mistake.fatal:
                self.error(mistake.message, mistake.code, *at)
            else:
                self.lenient(mistake.message, mistake.code, *at)


def path_text(steps: Iterable[str | int]) -> str:
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


class SpecModel(BaseModel):
    """What all grader specs share."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    type: str
    name: str = Field("", description="Shown in results; a grader without one is given a name on the wire.")
    pass_threshold: float | None = Field(None, description="Used by reports; never changes the reward.")

    @classmethod
    def lenient(cls, raw: dict[str, Json], report: Report) -> dict[str, Json]:
        """A copy of the JSON in canonical words, each change reported."""
        return {key: value for key, value in raw.items() if key not in EXPORTED_KEYS}

    @classmethod
    def check(cls, raw: dict[str, Json], report: Report) -> None:
        """Report what the schema cannot say. Whatever has the wrong shape in `raw` is left to the schema."""

    def build(self, options: Options) -> Kind:
        """The compiled grader."""
        raise NotImplementedError(f"{type(self).__name__} has no build")

    def to_json(self) -> dict[str, Json]:
        """The normalised spec: the user's fields in canonical words, and the defaults the service fills in."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)

    def to_wire(self) -> dict[str, Json]:
        """The spec as the validate endpoint answers it: the user's fields in canonical words, and a name."""
        given = self.model_dump(mode="json", by_alias=True, exclude_unset=True)
        return given if self.name else {**given, "name": self.wire_name()}

    def wire_name(self) -> str:
        """The name on the wire: the spec's, else one of the service's form, the same for the same spec."""
        return self.name or _generated_name(self.to_json())


_NAME_CHARS = string.ascii_letters + string.digits
_NAME_LENGTH = 12


def _generated_name(spec: dict[str, Json]) -> str:
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"))
    number = int.from_bytes(hashlib.sha256(text.encode()).digest())
    chars = []
    for _ in range(_NAME_LENGTH):
        number, place = divmod(number, len(_NAME_CHARS))
        chars.append(_NAME_CHARS[place])
    return "grader-" + "".join(chars)


def type_of(value: Json) -> str:
    """The discriminator: pydantic's tag for a grader of the type it names."""
    kind = value.get("type") if isinstance(value, Mapping) else getattr(value, "type", None)
    return _TAG + str(kind)


def tagged(tag: str) -> Tag:
    """The mark of a union's member; left out of the paths that users see."""
    return Tag(_TAG + tag)


def union_of(types: Sequence[str]) -> Any:
    """The annotation for "one of these grader types", told apart by `type`."""
    members = tuple(Annotated[spec_of(kind), tagged(kind)] for kind in types)
    return Annotated[Union[members], Discriminator(type_of)]  # noqa: UP007  # built at run time


# --- reading ------------------------------------------------------------------------------------------------------


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


_SHORTEST = (
    'such as {"type": "string_check", "name": "exact", "input": "{{sample.output_text}}", '
    '"reference": "{{item.answer}}", "operation": "eq"}'
)


def parse_text(text: str, file: str = "", *, yaml: bool = False) -> Source:
    """The spec in a text.

    Raises:
        SpecError: it is not JSON (not YAML), with line and column; or the `[yaml]` extra is not installed.
    """
    if too_long := bounds.text_mistake(text):
        raise SpecError([Problem("", too_long, "spec_too_large", file=file)])
    if yaml:
        return Source(_parse_yaml(text, file), Positions(text, yaml=True), file)
    try:
        value = parse(text)
    except json.JSONDecodeError as error:
        found = f"not JSON: {error.msg}" if text.strip() else f"empty; expected a grader, {_SHORTEST}"
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
    report = Report(strict)
    spec = _read(source.value, report)
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


def _read(raw: Json, report: Report) -> SpecModel | None:
    model = model_for(raw, report)
    if model is None:
        return None
    try:
        canonical = model.lenient(raw, report)
        model.check(canonical, report)
        return model.model_validate(canonical)
    except ValidationError as error:
        translate(error, model, report)
    except RecursionError:
        report.error("Invalid grader: it is nested too deeply.", "invalid_value")
    return None


def model_for(raw: Json, report: Report, types: Sequence[str] = tuple(KINDS)) -> type[SpecModel] | None:
    """The spec model that `raw` names in `type`; None, with the reason reported, when it names none."""
    if not isinstance(raw, dict):
        report.error(wrong_type(report.where(), "an object", raw), "invalid_type")
        return None
    if "type" not in raw:
        report.error(
            missing(report.where("type")), "missing_required_parameter", "type", suggestion=one_of(types)
        )
        return None
    kind = raw["type"]
    if not isinstance(kind, str):
        report.error(wrong_type(report.where("type"), "a string", kind), "invalid_type", "type")
        return None
    if kind not in types:
        report.error(bad_value(kind, types), "invalid_value", "type", suggestion=did_you_mean(kind, types))
        return None
    return spec_of(kind)


# --- the service's wording ----------------------------------------------------------------------------------------

_TYPE_WORDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "a boolean"),
    (str, "a string"),
    (int, "an integer"),
    (float, "a decimal number"),
    (dict, "an object"),
    ((list, tuple), "an array"),
    (type(None), "null"),
)


def type_word(value: Json) -> str:
    return next(
        (word for types, word in _TYPE_WORDS if isinstance(value, types)), f"a {type(value).__name__}"
    )


def wrong_type(path: str, wanted: str, value: Json) -> str:
    return f"Invalid type for '{path or 'grader'}': expected {wanted}, but got {type_word(value)} instead."


def missing(path: str) -> str:
    return f"Missing required parameter: '{path}'."


def bad_value(value: Json, allowed: Sequence[str]) -> str:
    return f"Invalid value: {quoted(value)}. {one_of(allowed)}"


def one_of(allowed: Sequence[str]) -> str:
    words = [f"'{word}'" for word in allowed]
    if len(words) <= 2:
        return f"Supported values are: {' and '.join(words)}."
    return f"Supported values are: {', '.join(words[:-1])}, and {words[-1]}."


def quoted(value: Json) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


# What pydantic calls an error -> what was expected, in the service's words.
_EXPECTED = {
    "string_type": "a string",
    "bool_type": "a boolean",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "list_type": "an array",
    "tuple_type": "an array",
}


def translate(error: ValidationError, model: type[BaseModel], report: Report) -> None:
    """Report pydantic's findings in the user's words: real paths, the service's sentences, what was meant."""
    for found in error.errors(include_url=False)[: bounds.PROBLEMS_MAX + 1]:
        tags = [step for step in found["loc"] if isinstance(step, str) and step.startswith(_TAG)]
        loc = tuple(step for step in found["loc"] if step not in tags)
        kind, value, context = found["type"], found["input"], found.get("ctx", {})
        where = report.where(*loc)
        if kind == "missing":
            report.error(missing(where), "missing_required_parameter", *loc)
        elif kind == "extra_forbidden":
            fields = _fields_near(model, found["loc"])
            report.error(
                f"Unknown parameter: '{where}'.",
                "unknown_parameter",
                *loc,
                suggestion=did_you_mean(loc[-1], fields),
            )
        elif kind in _EXPECTED:
            report.error(wrong_type(where, _EXPECTED[kind], value), "invalid_type", *loc)
        elif kind == "literal_error":
            allowed = [word.strip("'") for word in context["expected"].replace(" or ", ", ").split(", ")]
            if isinstance(value, str):
                hint = did_you_mean(value, allowed)
                report.error(bad_value(value, allowed), "invalid_value", *loc, suggestion=hint)
            else:
                report.error(
                    wrong_type(where, "a string", value), "invalid_type", *loc, suggestion=one_of(allowed)
                )
        elif kind == "union_tag_invalid":
            _bad_tag(value, context, loc, report)
        else:
            report.error(f"Invalid value for '{where}': {found['msg']}.", "invalid_value", *loc)


def _bad_tag(value: Json, context: Mapping[str, Any], loc: tuple[str | int, ...], report: Report) -> None:
    allowed = [word.strip(f"'{_TAG}") for word in str(context["expected_tags"]).split(", ")]
    if not isinstance(value, dict):
        wanted = " or ".join(_CONTENT_WORDS.get(word, "an object") for word in dict.fromkeys(allowed))
        report.error(
            wrong_type(report.where(*loc), wanted if "text" in allowed else "an object", value),
            "invalid_type",
            *loc,
        )
    elif "type" not in value:
        report.error(
            missing(report.where(*loc, "type")),
            "missing_required_parameter",
            *loc,
            "type",
            suggestion=one_of(allowed),
        )
    else:
        kind = value["type"]
        if kind in KINDS and set(allowed) < set(KINDS):
            hint, code = f"A '{kind}' grader cannot stand inside another one.", f"nested_{kind}"
        else:
            hint, code = did_you_mean(kind, allowed), "invalid_value"
        report.error(bad_value(kind, allowed), code, *loc, "type", suggestion=hint)


_CONTENT_WORDS = {"text": "a string", "part": "an object", "parts": "an array"}


def _fields_near(model: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    """The field names an unknown key may have been meant as."""
    for step in loc:
        if isinstance(step, str) and step.startswith(_TAG) and step[1:] in KINDS:
            model = spec_of(step[1:])
    inner: type[BaseModel] = model
    for step in loc[:-1]:
        annotation = getattr(inner, "model_fields", {}).get(step)
        for candidate in (
            getattr(annotation.annotation, "__args__", (annotation.annotation,)) if annotation else ()
        ):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                inner = candidate
    return list(inner.model_fields)


def json_schema() -> dict[str, Json]:
    """The JSON Schema of a grader spec, made from the models, for editors and validators."""
    from pydantic import TypeAdapter

    schema = TypeAdapter(union_of(tuple(KINDS))).json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Grader",
        "description": "A grader spec in the format of OpenAI's graders.",
        **schema,
    }
