"""Reads and writes promptfoo's assertions that compare texts.

Only assertions with the same meaning are converted. A Jinja value beyond a plain variable, a file, or a transform is
listed as a loss and never copied as text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from graders.documents.document import Document, DocumentGrader, Steps, unique
from graders.spec.model import SpecModel
from graders.spec.wording import Json, path_text
from graders.template import Template

OUTPUT = "{{sample.output_text}}"

#: promptfoo's assertion -> the operation of a string_check. Both compare texts as they are.
OPERATIONS = {"equals": "eq", "not-equals": "ne", "contains": "like", "icontains": "ilike"}
#: Keys of an assertion that do not affect the comparison.
_HARMLESS = ("type", "value", "metric")


def is_promptfoo(document: Mapping[str, Json]) -> bool:
    return any(_assertions(document))


def read_promptfoo(document: Mapping[str, Json]) -> Document:
    found = Document("a promptfoo configuration" if "assert" not in document else "a promptfoo test")
    for at, assertion in _assertions(document):
        _add(found, at, assertion)
    for key in document:
        if key == "tests":
            found.lost += [
                f"tests[{index}].vars: put them into the items of the data"
                for index, test in enumerate(_list(document[key]))
                if isinstance(test, Mapping) and test.get("vars")
            ]
        elif key not in ("assert", "defaultTest"):
            found.lost.append(f"{key} is not part of a grader")
    return found


def _assertions(document: Mapping[str, Json]) -> Iterator[tuple[Steps, Json]]:
    """The assertions of a test, and of a configuration's default test and tests, with their paths."""
    places: list[tuple[Steps, Json]] = [((), document), (("defaultTest",), document.get("defaultTest"))]
    places += [(("tests", index), test) for index, test in enumerate(_list(document.get("tests")))]
    for at, test in places:
        listed = _list(test.get("assert")) if isinstance(test, Mapping) else []
        yield from (((*at, "assert", index), assertion) for index, assertion in enumerate(listed))


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _add(found: Document, at: Steps, assertion: Json) -> None:
    """Add the grader of one assertion, or the reason why there is none."""
    place = path_text(at)
    kind = assertion.get("type") if isinstance(assertion, Mapping) else None
    value = assertion.get("value") if isinstance(assertion, Mapping) else None
    operation = OPERATIONS.get(str(kind))
    if operation is None or not isinstance(value, str):
        found.lost.append(f"{place} ({kind}): no grader means the same")
        return
    reference = "" if "transform" in assertion else template_of(value)
    if not reference and value:
        why = "its transform" if "transform" in assertion else f"{value!r}"
        found.lost.append(f"{place} ({kind}): {why} has no counterpart in a grader")
        return
    name = str(assertion.get("metric") or f"{kind}_{at[-1]}")
    grader = {
        "type": "string_check",
        "name": name,
        "operation": operation,
        "input": OUTPUT,
        "reference": reference,
    }
    if any(held.value == grader for held in found.graders.values()):
        return
    found.graders[unique(name, found.graders)] = DocumentGrader(grader, at)
    found.lost += [
        f"{place}.{key}: put it in a multi's calculate_output"
        if key == "weight"
        else f"{place}.{key}: has no counterpart"
        for key in assertion
        if key not in _HARMLESS
    ]


def template_of(value: str) -> str:
    """A promptfoo value as a template; "" when it has more than text and plain variables."""
    if value.startswith("file://") or "{%" in value or "{#" in value:
        return ""
    first, *rest = value.split("{{")
    pieces = [first]
    for part in rest:
        name, closed, text = part.partition("}}")
        name = name.strip()
        if not closed or not _is_variable(name):
            return ""
        pieces += ["{{item.", name, "}}", text]
    return "".join(pieces)


def _is_variable(name: str) -> bool:
    """Whether a Jinja expression is a plain variable, perhaps with members and indexes, and not `env`."""
    variable = Template("{{item." + name + "}}")
    if (
        len(variable.pieces) != 1
        or not variable.paths
        or not all(_is_step(step) for step in variable.paths[0].steps)
    ):
        return False
    return variable.paths[0].steps[0] != "env"


def _is_step(step: str | int) -> bool:
    return isinstance(step, int) or step.isidentifier()


def write_promptfoo(found: Mapping[str, SpecModel]) -> tuple[Json, list[str]]:
    """promptfoo's default test, for string checks of the output; other graders have no equivalent there."""
    kinds = {operation: kind for kind, operation in OPERATIONS.items()}
    assertions, lost = [], []
    for name, grader in found.items():
        fields = grader.to_json()
        texts = grader.compared()
        kind = kinds.get(str(fields.get("operation")))
        if texts is None or kind is None:
            lost.append(f"{name} ({grader.type}): no promptfoo assertion means the same")
            continue
        got, want = texts
        if kind in ("equals", "not-equals") and _without_blanks(want) == OUTPUT:
            got, want = want, got
        value = _jinja_of(want)
        if _without_blanks(got) != OUTPUT or value is None:
            lost.append(f"{name} ({grader.type}): no promptfoo assertion means the same")
            continue
        assertions.append({"type": kind, "value": value, "metric": name})
        if grader.pass_threshold is not None:
            lost.append(f"{name}.pass_threshold: has no counterpart in promptfoo")
    return {"defaultTest": {"assert": assertions}}, lost


def _without_blanks(text: str) -> str:
    return "".join(
        f"{{{{{piece}}}}}" if not isinstance(piece, str) else piece for piece in Template(text).pieces
    )


def _jinja_of(text: str) -> str | None:
    """A template as a promptfoo value; None when Jinja would give it another meaning."""
    pieces = []
    for piece in Template(text).pieces:
        if isinstance(piece, str):
            if "{{" in piece or "{%" in piece or "{#" in piece or piece.startswith("file://"):
                return None
            pieces.append(piece)
        elif piece.namespace != "item" or not piece.steps or not all(map(_is_step, piece.steps)):
            return None
        else:
            pieces.append("{{" + str(piece).removeprefix("item.") + "}}")
    return "".join(pieces)
