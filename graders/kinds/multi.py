"""multi: several graders of one row, and a formula over their rewards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import InstanceOf, SerializeAsAny

from graders.ask import Answer, Ask, ModelAsk
from graders.errors import FormulaError, GradeError
from graders.formula import Formula
from graders.formula.parser import FormulaSyntax
from graders.kinds import read_grader
from graders.kinds.schema import MemberSchema
from graders.result import JudgeUsage, Score
from graders.row import Row
from graders.spec.kind import ColumnScores, GradeColumns, Kind, NotColumnar
from graders.spec.model import Field, SpecModel
from graders.spec.options import Options
from graders.spec.problems import Problems
from graders.spec.wording import Json, missing, wrong_type
from graders.suggest import did_you_mean
from graders.template import check_rendered

# The placeholder of a member whose JSON is not valid, so that the rest of the spec is still checked.
_UNREAD = SpecModel.model_construct(type="")


class MultiSpec(SpecModel):
    """`calculate_output` over the rewards of `graders`, whose keys are its variables. Never clamped."""

    hosted: ClassVar[bool] = True
    nestable: ClassVar[bool] = False

    type: Literal["multi"]
    graders: dict[str, Annotated[SerializeAsAny[InstanceOf[SpecModel]], MemberSchema]] = Field(
        description="key -> grader; the keys are the formula's variables."
    )
    calculate_output: str = Field(
        description="+ - * / ^, parentheses, min max abs floor ceil exp sqrt log, over the keys of graders."
    )

    invalid_grade: float | None = Field(
        None, description="Azure's: the number beside the flags of a row that could not be graded; default 0."
    )

    @classmethod
    def lenient(cls, raw: dict[str, Json], problems: Problems) -> dict[str, Json]:
        raw = super().lenient(raw, problems)
        if problems.strict and raw.get("invalid_grade") is not None:
            message = f"Unknown parameter: '{problems.where('invalid_grade')}'. It is Azure's."
            problems.error(message, "unknown_parameter", "invalid_grade")
        graders = raw.get("graders")
        if isinstance(graders, list):
            raw["graders"] = graders = _keyed(graders, problems.at("graders"))
        if graders in ({}, []):
            problems.error(
                "Invalid 'graders': it is empty; a multi needs at least one.", "empty_object", "graders"
            )
        elif isinstance(graders, dict) and isinstance(graders.get("type"), str):
            # a single grader in place of the map: newer SDK types allow it; the service answers with this message
            problems.error(
                wrong_type(problems.where("graders", "input"), "an object", ""),
                "invalid_type",
                "graders",
                suggestion='\'graders\' maps a name to each grader: {"exact": {"type": ...}, ...}.',
            )
            raw["graders"] = {}
        elif isinstance(graders, dict):
            raw["graders"] = {
                key: read_grader(member, problems.at("graders", key), nested=True) or _UNREAD
                for key, member in graders.items()
                # SDK objects fill their maps up with nulls
                if member is not None
            }
        return raw

    @classmethod
    def check(cls, raw: dict[str, Json], problems: Problems) -> None:
        graders, text = raw.get("graders"), raw.get("calculate_output")
        if not isinstance(graders, dict) or not isinstance(text, str) or not graders:
            return
        try:
            formula = Formula(text, tuple(graders))
        except FormulaSyntax as error:
            hint = did_you_mean(error.unknown, graders) if error.unknown else ""
            message = f"Invalid 'calculate_output': {error}."
            problems.error(message, "invalid_formula", "calculate_output", suggestion=hint)
            return
        for key in graders:
            if key not in formula.used:
                message = f"'{key}' is graded but not used in calculate_output."
                problems.warn(message, "unused_grader", "graders", key)

    def build(self, options: Options) -> Multi:
        return Multi(self, options)

    def to_json(self) -> dict[str, Json]:
        members = {key: grader.to_json() for key, grader in self.graders.items()}
        return {**super().to_json(), "graders": members}

    def members(self) -> Mapping[str, SpecModel]:
        return self.graders

    def leaves(self) -> Mapping[str, SpecModel]:
        return {f"graders.{key}.": member for key, member in self.graders.items()}

    def reward_range(self) -> None:
        return None

    def formula(self) -> Formula:
        return Formula(self.calculate_output, tuple(self.graders))


def joined(graders: Mapping[str, Json], formula: str, name: str = "") -> dict[str, Json]:
    """The JSON of a multi: several graders and a formula."""
    named = {"name": name} if name else {}
    return {"type": "multi", **named, "graders": dict(graders), "calculate_output": formula}


def _keyed(graders: list[Json], problems: Problems) -> dict[str, Json]:
    """An array of graders (the form of one published example), keyed by `name`."""
    problems.lenient(
        "'graders' is an array; it is read as an object keyed by each grader's name.",
        "graders_array",
        source="OpenAI's answer in openai-java#647 has an object, one example of the specification an array",
    )
    keyed: dict[str, Json] = {}
    for index, grader in enumerate(graders):
        name = grader.get("name") if isinstance(grader, dict) else None
        if not isinstance(name, str) or not name:
            problems.error(
                missing(problems.where(index, "name")), "missing_required_parameter", index, "name"
            )
        elif name in keyed:
            problems.error(f"Two graders are named '{name}'.", "duplicate_value", index, "name")
        else:
            keyed[name] = grader
    return keyed


class Multi(Kind):
    def __init__(self, spec: MultiSpec, options: Options) -> None:
        self.children: dict[str, Kind] = {key: grader.build(options) for key, grader in spec.graders.items()}
        self.formula = Formula(spec.calculate_output, tuple(self.children))
        self._invalid_grade = spec.invalid_grade
        self.failed_reward = spec.invalid_grade or 0.0
        self.n_asks = sum(child.n_asks for child in self.children.values())
        self.provenance = {
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
            except GradeError as error:
                # the error is this member's answer; the other members still ask
                asks += [error] * child.n_asks
        return asks

    def grade(self, row: Row, answers: Sequence[Answer]) -> Score:
        rewards: dict[str, float] = {}
        failed: dict[str, GradeError] = {}
        judge_usage: tuple[JudgeUsage, ...] = ()
        provenance: dict[str, Any] = {}
        at = 0
        for key, child in self.children.items():
            mine = answers[at : at + child.n_asks]
            at += child.n_asks
            try:
                score = child.grade(row, mine)
            except GradeError as error:
                # the member counts as 0 in the formula, and the multi takes its flag
                failed[key] = error
                rewards[key] = 0.0
                if error.provenance:
                    provenance[key] = error.provenance
                continue
            rewards[key] = score.value
            judge_usage += score.judge_usage
            if score.provenance:
                provenance[key] = score.provenance
        failures = list(failed.values())
        try:
            value = self.formula.value(tuple(rewards.values()))
        except FormulaError as error:
            value = 0.0
            failures.append(error)
        if failures and self._invalid_grade is not None:
            value = self._invalid_grade
        more = {"graders": provenance} if provenance else {}
        return Score(value, rewards, tuple(failures), judge_usage, more, failed)

    def columns(self) -> GradeColumns | None:
        members = {key: child.columns() for key, child in self.children.items()}
        if None in members.values():
            return None
        value = self.formula.value

        def grade(samples: Sequence[str], items: Sequence[Any]) -> ColumnScores:
            subs = {key: member(samples, items).rewards for key, member in members.items() if member}
            try:
                return ColumnScores(list(map(value, zip(*subs.values(), strict=True))), subs)
            except GradeError:
                raise NotColumnar from None

        return grade
