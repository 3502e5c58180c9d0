"""Converts graders from one form of document to another, and lists what the conversion loses."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from graders.documents.document import unique
from graders.documents.promptfoo import write_promptfoo
from graders.documents.reading import read_document
from graders.errors import SpecError
from graders.kinds.multi import joined
from graders.kinds.reading import read
from graders.spec.model import SpecModel
from graders.spec.reading import Source
from graders.spec.wording import Json
from graders.suggest import did_you_mean


@dataclass(frozen=True, slots=True)
class ConvertedDocument:
    """A converted document and its losses, one sentence each."""

    document: Json
    lost: list[str] = field(default_factory=list)


#: Graders by name -> the document and its losses.
Writer = Callable[[Mapping[str, SpecModel]], tuple[Json, list[str]]]


def convert(source: Source, to: str) -> ConvertedDocument:
    """The document's graders in another form, a key of FORMS.

    Raises:
        SpecError: it holds no grader, or one of its graders is not valid.
        ValueError: the form is unknown.
    """
    if to not in FORMS:
        raise ValueError(
            f"there is no form {to!r}; the forms are {', '.join(FORMS)}. {did_you_mean(to, FORMS)}".rstrip()
        )
    found = read_document(source)
    graders = {name: read(one).spec for name, one in found.sources.items()}
    written, lost = FORMS[to](graders)
    return ConvertedDocument(written, [*found.document.lost, *lost])


def _named(name: str, grader: SpecModel) -> dict[str, Json]:
    """The grader's JSON, with a name."""
    return {"name": name, **grader.to_wire(), **({"name": grader.name} if grader.name else {"name": name})}


def _write_local(found: Mapping[str, SpecModel]) -> tuple[Json, list[str]]:
    named = {name: _named(name, grader) for name, grader in found.items()}
    return (next(iter(named.values())) if len(named) == 1 else named), []


def _write_hosted(found: Mapping[str, SpecModel]) -> tuple[Json, list[str]]:
    """The spec as the service accepts it, with names everywhere; the losses list what it still refuses."""
    written, lost = {}, []
    for name, grader in found.items():
        document = _named(name, grader)
        if grader.members():
            document["graders"] = {key: _named(key, member) for key, member in grader.members().items()}
        try:
            written[name] = read(Source(document), strict=True).spec.to_wire()
        except SpecError as error:
            errors = (problem for problem in error.problems if problem.severity == "error")
            lost += [f"{name}: the service refuses it: {problem.message}" for problem in errors]
    if len(written) == 1:
        return next(iter(written.values())), lost
    return written, lost


def _write_rft(found: Mapping[str, SpecModel]) -> tuple[Json, list[str]]:
    """The method of a fine-tuning job. Several graders become a multi with their mean, into which multis are merged."""
    if len(found) == 1:
        ((name, grader),) = found.items()
        return _method(_named(name, grader)), []
    lost = ["the graders are joined by their mean"]
    members: dict[str, Json] = {}
    terms: list[str] = []
    ranges: dict[str, tuple[float, float] | None] = {}
    for name, grader in found.items():
        inside = grader.members()
        keys = {}
        for key, member in (inside or {name: grader}).items():
            keys[key] = unique(_key(f"{name}_{key}" if inside else key), members)
            members[keys[key]] = _named(name if not inside else key, member)
        formula = grader.formula()
        if formula is None:
            terms.append(keys[name])
            ranges[name] = grader.reward_range()
        else:
            terms.append(f"({formula.renamed(keys)})")
            lost.append(f"{name}: its graders and its formula stand in the joined one")
    if len(set(ranges.values())) > 1:
        listed = ", ".join(f"{name} {_range_text(span)}" for name, span in ranges.items())
        lost.append(f"the rewards have different ranges, so the widest rules the mean: {listed}")
    return _method(joined(members, f"({' + '.join(terms)}) / {len(terms)}", "mean")), lost


def _method(grader: Json) -> Json:
    return {"type": "reinforcement", "reinforcement": {"grader": grader}}


def _range_text(span: tuple[float, float] | None) -> str:
    return "unknown" if span is None else f"{span[0]:g} to {span[1]:g}"


def _key(name: str) -> str:
    """A name that is valid as a variable of a formula."""
    key = "".join(char if char.isalnum() or char == "_" else "_" for char in name)
    return key if key.isidentifier() else f"_{key}"


def _write_evals(found: Mapping[str, SpecModel]) -> tuple[Json, list[str]]:
    """An eval's testing_criteria, which has neither multi nor formulas."""
    criteria: dict[str, Json] = {}
    lost = []
    for name, grader in found.items():
        formula = grader.formula()
        if formula is not None:
            lost.append(
                f"{name}: evals have no multi; its graders stand side by side without {formula.text!r}"
            )
        for key, member in (grader.members() or {name: grader}).items():
            criterion = _named(key, member)
            criterion["name"] = unique(criterion["name"], criteria)
            if criterion["type"] == "text_similarity" and "pass_threshold" not in criterion:
                criterion["pass_threshold"] = 0.5
                lost.append(f"{key}: evals want a pass_threshold; 0.5 was put in")
            criteria[criterion["name"]] = criterion
    return {"testing_criteria": list(criteria.values())}, lost


def _write_eval_protocol(found: Mapping[str, SpecModel]) -> tuple[Json, list[str]]:
    """Python source for eval-protocol: one evaluation test for each grader, with its spec."""
    lines = [
        "import json",
        "",
        "from eval_protocol.models import EvaluateResult, MetricResult",
        "",
        "from graders.adapters.eval_protocol import evaluator",
        "",
    ]
    keys: set[str] = set()
    for name, grader in found.items():
        key = unique(_key(name), keys)
        keys.add(key)
        text = json.dumps(_named(name, grader), ensure_ascii=False)
        lines += [
            f"_{key} = evaluator(json.loads({text!r}))",
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


#: form -> its writer.
FORMS: dict[str, Writer] = {
    "local": _write_local,
    "hosted": _write_hosted,
    "rft": _write_rft,
    "evals": _write_evals,
    "promptfoo": write_promptfoo,
    "eval-protocol": _write_eval_protocol,
}
