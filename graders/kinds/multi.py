"""multi: several graders of one row, and a formula over their rewards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from graders.ask import Answer, Ask, ModelAsk
from graders.errors import FormulaError, GradeError
from graders.formula import Formula, FormulaSyntax
from graders.kinds import KINDS, Kind, spec_of
from graders.result import Score, Spent
from graders.row import Row
from graders.spec.reading import Field, Json, Options, Report, SpecModel, missing, union_of, wrong_type
from graders.suggest import did_you_mean
from graders.template import check_rendered

MEMBERS = tuple(kind for kind in KINDS if kind != "multi")
if TYPE_CHECKING:
    Member: TypeAlias = SpecModel
else:
    Member = union_of(MEMBERS)


class MultiSpec(SpecModel):
    """`calculate_output` over the rewards of `graders`, whose keys are its variables. Never clamped."""

    type: Literal["multi"]
    graders: dict[str, Member] = Field(description="key -> grader; the keys are the formula's variables.")
    calculate_output: str = Field(
        description="+ - * / ^, parentheses, min max abs floor ceil exp sqrt log, over the keys of graders."
    )

    @classmethod
    def lenient(cls, raw: dict[str, Json], report: Report) -> dict[str, Json]:
        raw = super().lenient(raw, report)
        graders = raw.get("graders")
        if isinstance(graders, list):
            raw["graders"] = graders = _keyed(graders, report.at("graders"))
        if graders in ({}, []):
            report.error(
                "Invalid 'graders': it is empty; a multi needs at least one.", "empty_object", "graders"
            )
        elif isinstance(graders, dict) and isinstance(graders.get("type"), str):
            # One grader where the map belongs: newer SDK types say so; this is what the service answers.
            report.error(
                wrong_type(report.where("graders", "input"), "an object", ""), "invalid_type", "graders",
                suggestion="'graders' maps a name to each grader: {\"exact\": {\"type\": ...}, ...}.",
            )  # fmt: skip
            raw["graders"] = {}
        elif isinstance(graders, dict):
            raw["graders"] = {
                key: _member(value, report.at("graders", key)) for key, value in graders.items()
            }
        return raw

    @classmethod
    def check(cls, raw: dict[str, Json], report: Report) -> None:
        graders, text = raw.get("graders"), raw.get("calculate_output")
        if not isinstance(graders, dict):
            return
        for key, grader in graders.items():
            if _is_member(grader):
                spec_of(grader["type"]).check(grader, report.at("graders", key))
        if isinstance(text, str) and graders:
            cls._check_formula(text, graders, report)

    @classmethod
    def _check_formula(cls, text: str, graders: dict[str, Json], report: Report) -> None:
        try:
            formula = Formula(text, tuple(graders))
        except FormulaSyntax as error:
            unknown = str(error).partition("unknown name '")[2].partition("'")[0]
            report.error(
                f"Invalid 'calculate_output': {error}.", "invalid_formula", "calculate_output",
                suggestion=did_you_mean(unknown, graders) if unknown else "",
            )  # fmt: skip
            return
        for key in graders:
            if key not in formula.used:
                report.warn(
                    f"'{key}' is graded but not used in calculate_output.", "unused_grader", "graders", key
                )

    def build(self, options: Options) -> Multi:
        return Multi(self, options)

    def to_json(self) -> dict[str, Json]:
        members = {key: grader.to_json() for key, grader in self.graders.items()}
        return {**super().to_json(), "graders": members}


def _keyed(graders: list[Json], report: Report) -> dict[str, Json]:
    """An array of graders (the form of one published example), keyed by `name`."""
    report.lenient(
        "'graders' is an array; it is read as an object keyed by each grader's name.", "graders_array",
    )  # fmt: skip
    keyed: dict[str, Json] = {}
    for index, grader in enumerate(graders):
        name = grader.get("name") if isinstance(grader, dict) else None
        if not isinstance(name, str) or not name:
            report.error(missing(report.where(index, "name")), "missing_required_parameter", index, "name")
        elif name in keyed:
            report.error(f"Two graders are named '{name}'.", "duplicate_value", index, "name")
        else:
            keyed[name] = grader
    return keyed


def _is_member(grader: Json) -> bool:
    return isinstance(grader, dict) and isinstance(grader.get("type"), str) and grader["type"] in MEMBERS


def _member(raw: Json, report: Report) -> Json:
    """One grader in canonical words; what is wrong with its type is left for the schema to say."""
    return spec_of(raw["type"]).lenient(raw, report) if _is_member(raw) else raw


class Multi:
    def __init__(self, spec: MultiSpec, options: Options) -> None:
        self.children: dict[str, Kind] = {key: grader.build(options) for key, grader in spec.graders.items()}
        self.formula = Formula(spec.calculate_output, tuple(self.children))
        self.n_asks = sum(child.n_asks for child in self.children.values())
        self.provenance: Mapping[str, Any] = {
            "graders": {
                key: dict(child.provenance) for key, child in self.children.items() if child.provenance
            }
        }

    def ask(self, row: Row) -> Sequence[Ask | GradeError]:
        asks: list[Ask | GradeError] = []
        n_chars = 0
        for child in self.children.values():
            if not child.n_asks:
                continue
            try:
                own = child.ask(row)
                n_chars += sum(ask.n_chars for ask in own if isinstance(ask, ModelAsk))
                check_rendered(n_chars)
                asks += own
            except GradeError as error:  # it has its answer already; the others still ask
                asks += [error] * child.n_asks
        return asks

    def grade(self, row: Row, answers: Sequence[Answer]) -> Score:
        rewards: dict[str, float] = {}
        failed: dict[str, GradeError] = {}
        spent: tuple[Spent, ...] = ()
        provenance: dict[str, Any] = {}
        at = 0
        for key, child in self.children.items():
            mine = answers[at : at + child.n_asks]
            at += child.n_asks
            try:
                score = child.grade(row, mine)
            except GradeError as error:  # counts 0 in the formula; its flag goes to the parent
                failed[key] = error
                rewards[key] = 0.0
                continue
            rewards[key] = score.value
            spent += score.spent
            if score.provenance:
                provenance[key] = score.provenance
        failures = list(failed.values())
        try:
            value = self.formula.value(tuple(rewards.values()))
        except FormulaError as error:
            value = 0.0
            failures.append(error)
        more = {"graders": provenance} if provenance else {}
        return Score(value, rewards, tuple(failures), spent, more, failed)
