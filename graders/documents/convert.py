"""Graders in other documents: fine-tuning jobs, Evals, promptfoo. In and out, with what could not be carried over.

A document holds named graders. `graders_in` takes them out of any document that this module knows; `convert` writes
them in another form and lists, in plain words, what that form cannot say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graders.errors import Problem, SpecError
from graders.suggest import did_you_mean

Json = Any

OUTPUT = "{{sample.output_text}}"


@dataclass(frozen=True, slots=True)
class Converted:
    """A document and what is lost in it, one sentence each."""

    document: Json
    lost: list[str] = field(default_factory=list)


# --- in -----------------------------------------------------------------------------------------------------------


def graders_in(document: Json) -> tuple[dict[str, Json], list[str]]:
    """The graders of a document by name, and what of it is not a grader.

    Known are a grader spec, a fine-tuning job (`method.reinforcement.grader`), an eval or its run
    (`testing_criteria`), and a promptfoo test (`assert`).

    Raises:
        SpecError: it is none of these.
    """
    if isinstance(document, Mapping):
        for looks_like, read in _READERS:
            if looks_like(document):
                return read(document)
    raise SpecError(
        [
            Problem(
                "",
                "Found no grader: expected a grader spec ('type'), a fine-tuning job ('method.reinforcement.grader'), "
                "an eval ('testing_criteria') or a promptfoo test ('assert').",
                "no_grader",
            )
        ]
    )


def _reinforcement(document: Mapping[str, Json]) -> Json:
    method = document.get("method", document)
    found = method.get("reinforcement") if isinstance(method, Mapping) else None
    return found if isinstance(found, Mapping) else None


def _read_grader(document: Mapping[str, Json]) -> tuple[dict[str, Json], list[str]]:
    return {str(document.get("name") or document["type"]): dict(document)}, []


def _read_job(document: Mapping[str, Json]) -> tuple[dict[str, Json], list[str]]:
    found = _reinforcement(document)
    grader = found["grader"]
    rest = [f"reinforcement.{key} is not part of a grader" for key in found if key != "grader"]
    return {_name(grader, "grader"): grader}, rest


def _read_eval(document: Mapping[str, Json]) -> tuple[dict[str, Json], list[str]]:
    named: dict[str, Json] = {}
    for index, criterion in enumerate(document["testing_criteria"]):
        name = _name(criterion, f"criterion_{index}")
        named[_free(name, named)] = criterion
    rest = [
        f"{key} is not part of a grader"
        for key in document
        if key not in ("testing_criteria", "name", "object", "id")
    ]
    return named, rest


def _free(name: str, named: Mapping[str, Json]) -> str:
    """The name, with a number where it is taken: `exact`, `exact_2`, ..."""
    if name not in named:
        return name
    # the number of names bounds how often this one was taken, and doubling finds where the free numbers begin
    free = 2
    while f"{name}_{free}" in named:
        free *= 2
    taken = free // 2
    while free - taken > 1:
        middle = (taken + free) // 2
        if f"{name}_{middle}" in named:
            taken = middle
        else:
            free = middle
    return f"{name}_{free}"


def _name(grader: Json, default: str) -> str:
    name = grader.get("name") if isinstance(grader, Mapping) else None
    return str(name or default)


#: promptfoo assertion -> string_check operation. Both compare texts as they are.
_FROM_PROMPTFOO = {"equals": "eq", "not-equals": "ne", "contains": "like", "icontains": "ilike"}
_TO_PROMPTFOO = {operation: kind for kind, operation in _FROM_PROMPTFOO.items()}


def _read_promptfoo(document: Mapping[str, Json]) -> tuple[dict[str, Json], list[str]]:
    named: dict[str, Json] = {}
    lost = []
    for index, assertion in enumerate(document["assert"]):
        kind = assertion.get("type")
        operation = _FROM_PROMPTFOO.get(kind)
        value = assertion.get("value")
        if operation is None or not isinstance(value, str):
            lost.append(f"assert[{index}] ({kind}): no grader means the same")
            continue
        name = str(assertion.get("metric") or f"{kind}_{index}")
        name = _free(name, named)
        reference = re.sub(r"\{\{\s*([\w.]+)\s*\}\}", r"{{item.\1}}", value)
        named[name] = {
            "type": "string_check",
            "name": name,
            "operation": operation,
            "input": OUTPUT,
            "reference": reference,
        }
        if "weight" in assertion:
            lost.append(f"assert[{index}].weight: put it in a multi's calculate_output")
    lost += [f"{key} is not part of a grader" for key in document if key != "assert"]
    return named, lost


_READERS: tuple[
    tuple[
        Callable[[Mapping[str, Json]], bool],
        Callable[[Mapping[str, Json]], tuple[dict[str, Json], list[str]]],
    ],
    ...,
] = (
    (lambda document: isinstance(document.get("testing_criteria"), list), _read_eval),
    (lambda document: "grader" in (_reinforcement(document) or ()), _read_job),
    (lambda document: isinstance(document.get("assert"), list), _read_promptfoo),
    (lambda document: "type" in document, _read_grader),
)


# --- out ----------------------------------------------------------------------------------------------------------


def convert(document: Json, to: str) -> Converted:
    """The document's graders in another form, a key of FORMS.

    Raises:
        SpecError: it holds no grader, or one of its graders is not valid.
        ValueError: there is no such form.
    """
    import graders

    if to not in FORMS:
        raise ValueError(
            f"there is no form {to!r}; the forms are {', '.join(FORMS)}. {did_you_mean(to, FORMS)}".rstrip()
        )
    found, lost = graders_in(document)
    valid = {name: {"name": name, **graders.validate(grader)} for name, grader in found.items()}
    written, more = FORMS[to](valid)
    return Converted(written, lost + more)


def _write_local(found: dict[str, Json]) -> tuple[Json, list[str]]:
    return (next(iter(found.values())) if len(found) == 1 else found), []


def _write_hosted(found: dict[str, Json]) -> tuple[Json, list[str]]:
    """What the service takes: names everywhere, and a list of what it refuses all the same."""
    import graders

    written, lost = {}, []
    for name, grader in found.items():
        if grader["type"] == "multi":
            members = {key: {"name": key, **member} for key, member in grader["graders"].items()}
            grader = {**grader, "graders": members}
        try:
            written[name] = graders.validate(grader, strict=True)
        except SpecError as error:
            errors = (problem for problem in error.problems if problem.severity == "error")
            lost += [f"{name}: the service refuses it: {problem.message}" for problem in errors]
    return _write_local(written)[0] if written else {}, lost


def _write_rft(found: dict[str, Json]) -> tuple[Json, list[str]]:
    """A fine-tuning job's method. Several graders become a multi with their mean."""
    if len(found) == 1:
        return {"type": "reinforcement", "reinforcement": {"grader": next(iter(found.values()))}}, []
    lost = [
        f"{name}: a multi grader cannot stand in another one"
        for name, grader in found.items()
        if grader["type"] == "multi"
    ]
    members = {_key(name): grader for name, grader in found.items() if grader["type"] != "multi"}
    formula = f"({' + '.join(members)}) / {len(members)}"
    multi = {"type": "multi", "name": "mean", "graders": members, "calculate_output": formula}
    return {"type": "reinforcement", "reinforcement": {"grader": multi}}, [
        *lost,
        "the graders are joined by their mean",
    ]


def _key(name: str) -> str:
    """A name that a formula can use."""
    key = re.sub(r"\W", "_", name)
    return f"_{key}" if key[:1].isdigit() else key


def _write_evals(found: dict[str, Json]) -> tuple[Json, list[str]]:
    """An eval's testing_criteria, which knows no multi and no formula."""
    criteria, lost = [], []
    for name, grader in found.items():
        members = grader["graders"].items() if grader["type"] == "multi" else [(name, grader)]
        if grader["type"] == "multi":
            lost.append(
                f"{name}: evals have no multi; its graders stand side by side without {grader['calculate_output']!r}"
            )
        for key, member in members:
            criterion = {"name": key, **member}
            if criterion["type"] == "text_similarity" and "pass_threshold" not in criterion:
                criterion["pass_threshold"] = 0.5
                lost.append(f"{key}: evals want a pass_threshold; 0.5 was put in")
            criteria.append(criterion)
    return {"testing_criteria": criteria}, lost


def _write_promptfoo(found: dict[str, Json]) -> tuple[Json, list[str]]:
    """promptfoo assertions, for string checks of the output: the rest means something else there."""
    assertions, lost = [], []
    for name, grader in found.items():
        if grader["type"] != "string_check" or grader["input"].replace(" ", "") != OUTPUT:
            lost.append(f"{name} ({grader['type']}): no promptfoo assertion means the same")
            continue
        value = re.sub(r"\{\{\s*item\.([\w.]+)\s*\}\}", r"{{\1}}", grader["reference"])
        if "sample." in value or "[" in value:
            lost.append(f"{name}: promptfoo has no {grader['reference']!r}")
            continue
        assertions.append({"type": _TO_PROMPTFOO[grader["operation"]], "value": value, "metric": name})
    return {"assert": assertions}, lost


def _write_eval_protocol(found: dict[str, Json]) -> tuple[Json, list[str]]:
    """Python for eval-protocol: an evaluation test a grader, with the spec in it."""
    lines = [
        "import json",
        "",
        "from eval_protocol.models import EvaluateResult, MetricResult",
        "",
        "from graders.adapters.eval_protocol import evaluator",
        "",
    ]
    for name, grader in found.items():
        key = _key(name)
        lines += [
            f"_{key} = evaluator(json.loads({json.dumps(grader, ensure_ascii=False)!r}))",
            "",
            "",
            f"def evaluate_{key}(row):",
            f'    """Grade one row with {name!r}."""',
            f"    fields = _{key}(row)",
            "    fields['metrics'] = {k: MetricResult(**v) for k, v in fields['metrics'].items()}",
            "    row.evaluation_result = EvaluateResult(**fields)",
            "    return row",
            "",
            "",
        ]
    return "\n".join(lines).rstrip() + "\n", []


#: form -> how graders by name are written in it, and what is lost.
FORMS: dict[str, Callable[[dict[str, Json]], tuple[Json, list[str]]]] = {
    "local": _write_local,
    "hosted": _write_hosted,
    "rft": _write_rft,
    "evals": _write_evals,
    "promptfoo": _write_promptfoo,
    "eval-protocol": _write_eval_protocol,
}
