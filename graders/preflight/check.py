"""Does this spec fit this dataset? Everything that can be found out before a row is graded; no judge is asked.

    report = check("spec.json", "answers.jsonl")
    for finding in report.findings:
        print(finding)

Every variable of every template is looked up in every row. Programs are tried on a few rows in the sandbox, one of
each shape of row. Formulas are tried over what their graders can give. What judges would be asked is counted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

from graders.datasets.dataset import open_dataset
from graders.datasets.ids import IdAssigner
from graders.datasets.read import open_data
from graders.datasets.rows import Unreadable
from graders.documents.bodies import TRAIN_ROWS, Body, read_body
from graders.errors import GradeError, MissingVariable, Problem, SpecError
from graders.fields import FieldMap, field_of, item_of, sample_of
from graders.formula import Formula
from graders.preflight.formulas import constant, range_of, witness
from graders.row import Row
from graders.spec.reading import Source, SpecModel, load, read
from graders.suggest import did_you_mean
from graders.template import Path, Template

if TYPE_CHECKING:
    from graders.ask import ModelAsk
    from graders.engine.backends import Backends
    from graders.models import Estimate

NAMED = 3  # rows that a finding names
TRIED = 8  # rows that a program is tried on
SHAPED = 20_000  # rows among which those are looked for
ESTIMATED = 20_000  # rows whose questions to judges are counted; the others are taken to be like them

_ROUGE_WORD = re.compile("[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know before grading.

    Attributes:
        severity: "error": rows will fail, or be graded for nothing. "warning": probably not what was meant.
        code: A stable word for programs.
        message: What was found and what follows.
        grader: The grader's name, "" when it is about the data or the document.
        path: Where in the grader's spec, "" when nowhere in particular.
        count: How many rows it is about; 0 when it is not about rows.
        rows: The ids of the first of them.
        suggestion: What was probably meant, or "".
        file, line, column: Where in the spec's file; "" and 0 when unknown.
    """

    severity: str
    code: str
    message: str
    grader: str = ""
    path: str = ""
    count: int = 0
    rows: tuple[str, ...] = ()
    suggestion: str = ""
    file: str = ""
    line: int = 0
    column: int = 0

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Report:
    """What `check` found.

    Attributes:
        findings: Errors first.
        rows: Rows looked at.
        graders: Names of the graders that were checked.
        has_samples: Whether the data holds model outputs; without them only items are looked at.
        estimates: Judge model -> what asking it about all rows would take.
    """

    findings: tuple[Finding, ...]
    rows: int
    graders: tuple[str, ...]
    has_samples: bool
    estimates: Mapping[str, Estimate]

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings may be there."""
        return not any(finding.severity == "error" for finding in self.findings)


def check(
    spec: object,
    data: object,
    *,
    sample_field: str | None = None,
    item_field: str | None = None,
    id_field: str | None = None,
    format: str | None = None,
    strict: bool = False,
    run: bool = True,
    backends: Backends | None = None,
) -> Report:
    """Look for whatever would go wrong when this dataset is graded. Nothing is graded and no judge is asked.

    Args:
        spec: A grader spec, a fine-tuning job's body or an eval's; in any form that `graders.compile` takes.
        data: A path, "-" for standard input, or an iterable of mappings. Rows without a sample are fine: then only
            what the spec takes from the item is looked at.
        sample_field, item_field, id_field, format: As for `grade_dataset`.
        strict: Report what the hosted service would refuse as errors.
        run: Whether programs are tried in the sandbox.

    Raises:
        DataError: the data cannot be read, or a named field is not there.
        SpecError: the document holds no grader at all.
    """
    source = load(spec)
    body = read_body(source.value)
    found = _Findings(source)
    for problem in body.problems:
        found.problem(problem, "")
    specs = dict(_valid(body, strict, found, source))
    opened = open_dataset(
        open_data(data, format), sample=sample_field, item=item_field, row_id=id_field, samples=False
    )
    rows = _Rows(opened.field_map)
    checks = [
        _GraderCheck(name, grader, found, bool(opened.field_map.sample)) for name, grader in specs.items()
    ]
    kept: dict[tuple[Any, ...], tuple[str, Row]] = {}
    asked = _Asked(specs, backends)
    for chunk in opened.chunks:
        some = rows.read(chunk.rows, rows.id_assigner.names(chunk))
        for each in checks:
            each.look(some)
        asked.look(some)
        if rows.n <= SHAPED and len(kept) < TRIED:
            for id, row in some:
                kept.setdefault(_shape(row), (id, row))
    rows.report(found, opened.field_map)
    for each in checks:
        each.report(rows.n)
    if run and opened.field_map.sample:
        _try_programs(specs, list(islice(kept.values(), TRIED)), found, backends)
    if body.job and rows.n > TRAIN_ROWS:
        found.add(
            "error", "too_many_rows",
            f"The data has {rows.n} rows; a reinforcement job takes at most {TRAIN_ROWS} for training.",
        )  # fmt: skip
    return Report(
        found.sorted(), rows.n, tuple(specs), bool(opened.field_map.sample), asked.estimates(rows.n)
    )


class _Findings:
    """Collects findings, and places them in the spec's file."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._found: list[Finding] = []

    def add(self, severity: str, code: str, message: str, **more: Any) -> None:
        self._found.append(Finding(severity, code, message, **more))

    def problem(self, problem: Problem, grader: str) -> None:
        self.add(
            problem.severity, problem.code, problem.message, grader=grader, path=problem.path,
            suggestion=problem.suggestion, file=problem.file, line=problem.line, column=problem.column,
        )  # fmt: skip

    def sorted(self) -> tuple[Finding, ...]:
        return tuple(sorted(self._found, key=lambda finding: finding.severity != "error"))


def _valid(body: Body, strict: bool, found: _Findings, source: Source) -> Iterator[tuple[str, SpecModel]]:
    """The graders that can be checked further; what is wrong with a spec is reported."""
    whole = source.value is next(iter(body.graders.values()))
    for name, raw in body.graders.items():
        try:
            checked = read(source if whole else Source(raw, None, source.file), strict=strict)
        except SpecError as error:
            for problem in error.problems:
                found.problem(problem, name)
            continue
        for problem in checked.warnings:
            found.problem(problem, name)
        yield name, checked.spec


# --- rows ---------------------------------------------------------------------------------------------------------

Named: TypeAlias = tuple[str, Row]


class _Rows:
    """Reads rows, and counts what is wrong with them as rows."""

    def __init__(self, field_map: FieldMap) -> None:
        self.n = 0
        self.id_assigner = IdAssigner(field_map)
        self._field_map = field_map
        self._bad: dict[str, _Count] = {}
        self._items: dict[str, int] = {}

    def read(self, rows: Sequence[Any], ids: Sequence[str]) -> list[Named]:
        field_map, named = self._field_map, []
        self.n += len(rows)
        for id, row in zip(ids, rows, strict=True):
            if isinstance(row, Unreadable):
                self._count("unreadable_row", id, row.message)
                continue
            sample = sample_of(row, field_map) if field_map.sample else ""
            if sample is None:
                self._count("missing_sample", id, f"no sample in '{field_map.sample}'")
                continue
            try:
                read = Row(sample, item_of(row, field_map), id)
            except GradeError as error:
                self._count("invalid_row", id, str(error))
                continue
            self._same_id(id, row, read)
            named.append((id, read))
        return named

    def _same_id(self, id: str, row: Mapping[str, Any], read: Row) -> None:
        """Rows with one id are samples of one item; with different items the id names two things."""
        if not self._field_map.id:
            return
        own = field_of(row, self._field_map.id, None)
        if own is None:
            self._count("missing_id", id, f"no id in '{self._field_map.id}'")
            return
        item = read.item
        if item is row:
            out = (self._field_map.sample, self._field_map.sample.partition(".")[0])
            item = {key: value for key, value in row.items() if key not in out}
        try:
            digest = hash((*item, *item.values()))
        except TypeError:  # lists and objects in it
            digest = hash(repr(item))
        if self._items.setdefault(str(own), digest) != digest:
            self._count("duplicate_id", id, f"'{own}' stands for different items")

    def _count(self, code: str, id: str, example: str) -> None:
        self._bad.setdefault(code, _Count(example)).add(id)

    def report(self, found: _Findings, field_map: FieldMap) -> None:
        texts = {
            "unreadable_row": ("error", "{n} cannot be read and will fail: {example}"),
            "missing_sample": ("error", "{n} will fail: {example}"),
            "invalid_row": ("error", "{n} will fail: {example}"),
            "duplicate_id": (
                "error",
                "{n} share an id with another item: {example}. Results are known by id.",
            ),
            "missing_id": ("warning", "{n} will be named by their content: {example}"),
        }
        for code, count in self._bad.items():
            severity, text = texts[code]
            found.add(
                severity, code, text.format(n=_rows_text(count.n), example=count.example),
                count=count.n, rows=tuple(count.ids),
            )  # fmt: skip


@dataclass(slots=True)
class _Count:
    """How many rows, and which were the first."""

    example: str = ""
    n: int = 0
    ids: list[str] = field(default_factory=list)

    def add(self, id: str) -> None:
        self.n += 1
        if len(self.ids) < NAMED:
            self.ids.append(id)


def _rows_text(n: int) -> str:
    return "1 row" if n == 1 else f"{n} rows"


def _shape(row: Row) -> tuple[Any, ...]:
    """Rows of one shape have the same keys with values of the same types, and an output of the same kind."""
    text = row.sample.get("output_text")
    kind = text[:1] if isinstance(text, str) and text[:1] in ("{", "[") else bool(text)
    return (*sorted((key, type(value).__name__) for key, value in row.item.items()), kind)


# --- one grader ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Variable:
    """One variable of one template over all rows."""

    at: str
    path: Path
    missing: _Count = field(default_factory=_Count)
    meant: Counter[str] = field(default_factory=Counter)
    nulls: _Count = field(default_factory=_Count)
    types: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def saw(self, kind: str, value: Any, times: int = 1) -> None:
        self.types[kind] += times
        if kind not in self.first:
            self.first[kind] = _shown(value)


class _GraderCheck:
    """The templates of one grader, over all rows."""

    def __init__(self, name: str, spec: SpecModel, found: _Findings, has_samples: bool) -> None:
        self.name, self.spec, self._found = name, spec, found
        self._leaves = dict(_leaves(spec))
        self._variables: dict[tuple[str, str], _Variable] = {}
        for at, leaf in self._leaves.items():
            for place, text in _texts(leaf, at):
                for path in Template(text).paths:
                    if path.namespace == "item" or has_samples:
                        self._variables.setdefault((place, str(path)), _Variable(place, path))
        self._references = [
            (at, leaf, Template(leaf.reference), _Count(), _Count())
            for at, leaf in self._leaves.items()
            if leaf.type in ("string_check", "text_similarity")
            and all(path.namespace == "item" for path in Template(leaf.reference).paths)
        ]
        self._has_samples = has_samples

    def look(self, rows: Sequence[Named]) -> None:
        for variable in self._variables.values():
            _look_up(variable, rows)
        for _, leaf, reference, empty, blind in self._references:
            if reference.constant is not None:
                continue
            shortest = _rouge_words(leaf)
            for id, row in rows:
                try:
                    text = reference.render(row)
                except GradeError:
                    continue
                if not text.strip():
                    empty.add(id)
                elif (
                    shortest
                    and sum(1 for _ in islice(_ROUGE_WORD.finditer(text.lower()), shortest)) < shortest
                ):
                    blind.add(id)

    def report(self, n_rows: int) -> None:
        for variable in self._variables.values():
            self._report_variable(variable, n_rows)
        for at, leaf, reference, empty, blind in self._references:
            self._report_reference(at, leaf, reference, empty, blind)
        for at, leaf in self._leaves.items():
            self._report_leaf(at, leaf)
        if self.spec.type == "multi":
            self._report_formula()

    def _say(
        self,
        severity: str,
        code: str,
        message: str,
        path: str,
        count: _Count | None = None,
        suggestion: str = "",
    ) -> None:
        self._found.add(
            severity, code, message, grader=self.name, path=path, suggestion=suggestion,
            count=count.n if count else 0, rows=tuple(count.ids) if count else (),
        )  # fmt: skip

    def _report_variable(self, variable: _Variable, n_rows: int) -> None:
        path, missing = variable.path, variable.missing
        if missing.n:
            which = "every row" if missing.n == n_rows else f"{missing.n} of {n_rows} rows"
            meant = variable.meant.most_common(1)
            hint = f"Did you mean '{meant[0][0]}'?" if meant else ""
            self._say(
                "error", "missing_variable",
                f"'{path}' is not in {which}, which will fail with invalid_variable_error: {missing.example}.",
                variable.at, missing, hint,
            )  # fmt: skip
        if variable.nulls.n:
            message = f"'{path}' is null in {_rows_text(variable.nulls.n)} and is put in as the text 'null'."
            self._say("warning", "null_variable", message, variable.at, variable.nulls)
        kinds = {kind for kind in variable.types if kind != "null"}
        leaf = self._leaves[_leaf_of(variable.at)]
        if len(kinds) > 1:
            listed = ", ".join(
                f"{kind} in {_rows_text(variable.types[kind])} (such as {variable.first[kind]})"
                for kind in sorted(kinds)
            )
            self._say("warning", "mixed_types", f"'{path}' is {listed}.", variable.at)
        elif (
            leaf.type == "string_check" and kinds & {"boolean", "decimal number"} and path.namespace == "item"
        ):
            (kind,) = kinds
            message = (
                f"'{path}' is a {kind} and is compared as its JSON text, such as {variable.first[kind]}."
            )
            self._say("warning", "compared_as_json", message, variable.at)

    def _report_reference(
        self, at: str, leaf: Any, reference: Template, empty: _Count, blind: _Count
    ) -> None:
        place = f"{at}reference"
        always = reference.constant is not None and not reference.constant.strip()
        if always or empty.n:
            which = "" if always else f" in {_rows_text(empty.n)}"
            severity, follows = _EMPTY[getattr(leaf, "operation", "similar")]
            self._say(severity, "empty_reference", f"The reference is empty{which}: {follows}.", place, empty)
        if blind.n:
            message = (
                f"The reference has too few latin letters and digits for {leaf.evaluation_metric} in "
                f"{_rows_text(blind.n)}: they score 0 whatever the output is."
            )
            self._say("error", "rouge_blind", message, place, blind)

    def _report_leaf(self, at: str, leaf: Any) -> None:
        if leaf.type in ("string_check", "text_similarity"):
            if _squeezed(leaf.input) == _squeezed(leaf.reference):
                self._say(
                    "error",
                    "same_on_both_sides",
                    "input and reference are the same template: every row gets the same reward.",
                    f"{at}input",
                )
            elif not Template(leaf.input).paths and not Template(leaf.reference).paths:
                self._say(
                    "error",
                    "no_variable",
                    "Neither input nor reference has a variable: every row gets the same reward.",
                    f"{at}input",
                )
        elif leaf.type in ("score_model", "label_model"):
            if not any(Template(text).paths for _, text in _texts(leaf, at)):
                self._say(
                    "error",
                    "no_variable",
                    "No message has a variable: the judge sees the same for every row.",
                    f"{at}input",
                )
            if leaf.type == "label_model" and set(leaf.labels) == set(leaf.passing_labels):
                self._say(
                    "error",
                    "every_label_passes",
                    "Every label passes: every row gets 1.",
                    f"{at}passing_labels",
                )

    def _report_formula(self) -> None:
        spec: Any = self.spec
        formula = Formula(spec.calculate_output, tuple(spec.graders))
        ranges = [range_of(member) for member in spec.graders.values()]
        error = witness(formula, ranges)
        if error is not None:
            self._say(
                "error", "formula_can_fail", f"{str(error)[0].upper()}{str(error)[1:]}.", "calculate_output"
            )
        elif constant(formula, ranges):
            self._say(
                "error",
                "formula_constant",
                "The formula gives the same for whatever its graders give.",
                "calculate_output",
            )


#: What an empty reference means, by operation.
_EMPTY = {
    "eq": ("warning", "only an empty output equals it"),
    "ne": ("warning", "every output but an empty one passes"),
    "like": ("error", "every output contains it and passes"),
    "ilike": ("error", "every output contains it and passes"),
    "similar": ("error", "nothing is similar to it"),
}


def _leaves(spec: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """The graders in a grader, by the path of their fields: "" or `graders.KEY.`."""
    if spec.type != "multi":
        yield at, spec
    for key, member in spec.graders.items() if spec.type == "multi" else ():
        yield from _leaves(member, f"graders.{key}.")


def _leaf_of(place: str) -> str:
    """The path of the grader whose template stands at `place`."""
    found = re.match(r"graders\..*\.(?=(?:input|reference)\b)", place)
    return found[0] if found else ""


def _texts(leaf: Any, at: str) -> Iterator[tuple[str, str]]:
    """Every template of a grader, with its path."""
    raw = leaf.to_json()
    for name in ("input", "reference"):
        yield from _strings(raw.get(name), f"{at}{name}")


def _strings(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _strings(inner, f"{place}[{index}]")
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key not in ("role", "type", "detail", "format"):
                yield from _strings(inner, f"{place}.{key}")


def _squeezed(text: str) -> str:
    """Without blanks inside of double braces."""
    return re.sub(r"\{\{([^{}]*)\}\}", lambda braces: f"{{{{{braces[1].strip()}}}}}", text)


def _rouge_words(leaf: Any) -> int:
    """How many words a text needs to have a rouge score at all; 0 for other graders."""
    if leaf.type != "text_similarity" or not leaf.evaluation_metric.startswith("rouge"):
        return 0
    return int(leaf.evaluation_metric[-1]) if leaf.evaluation_metric[-1].isdigit() else 1


_KINDS = {str: "text", bool: "boolean", int: "integer", float: "decimal number", type(None): "null", dict: "object", list: "list"}  # fmt: skip


def _look_up(variable: _Variable, rows: Sequence[Named]) -> None:
    """One variable in every row. Texts one step into the item or sample, the usual case, go over a column."""
    path = variable.path
    if len(path.steps) == 1 and isinstance(path.steps[0], str):
        key = path.steps[0]
        roots: list[Mapping[str, Any]]
        roots = [row.item for _, row in rows] if path.namespace == "item" else [row.sample for _, row in rows]
        values: list[Any] = [root.get(key) for root in roots]  # get derives nothing: what it lacks goes below
        if set(map(type, values)) == {str}:
            variable.saw("text", values[0], len(values))
            return
    for id, row in rows:
        try:
            value = path.value(row)
        except GradeError as error:
            if not variable.missing.n:
                variable.missing.example = str(error)
            variable.missing.add(id)
            if isinstance(error, MissingVariable) and (near := _nearest(error)):
                variable.meant[near] += 1
            continue
        kind = _KINDS.get(type(value), type(value).__name__)
        variable.saw(kind, value)
        if value is None:
            variable.nulls.add(id)


def _nearest(error: MissingVariable) -> str:
    """The existing name that a missing one was probably meant as."""
    parent, _, last = error.path.rpartition(".")
    hint = did_you_mean(last, error.have)
    near = re.search(r"'(.*?)'", hint)
    return f"{parent}.{near[1]}" if near and parent else ""


def _shown(value: Any) -> str:
    from graders.template import json_text

    try:
        text = json_text(value)
    except GradeError:
        text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


# --- what is tried, and what would be asked -----------------------------------------------------------------------


def _try_programs(
    specs: Mapping[str, SpecModel], rows: Sequence[Named], found: _Findings, backends: Backends | None
) -> None:
    """Every python grader on a few rows, in the sandbox."""
    programs = [
        (name, at, leaf)
        for name, spec in specs.items()
        for at, leaf in _leaves(spec)
        if leaf.type == "python"
    ]
    if not programs or not rows:
        return
    import graders

    for name, at, leaf in programs:
        grader = graders.compile(leaf, backends=backends)
        batch = [{"id": id, "sample": row.sample, "item": row.item} for id, row in rows]
        failed: dict[str, _Count] = {}
        for result in grader.run_batch(batch):
            for failure in result.failures:
                last = str(failure).strip().rpartition("\n")[2]
                failed.setdefault(last, _Count(str(failure))).add(str(result.id))
        for last, count in failed.items():
            found.add(
                "error", "program_fails", f"It fails on {count.n} of the {len(rows)} rows it was tried on: {last}",
                grader=name, path=f"{at}source", count=count.n, rows=tuple(count.ids),
            )  # fmt: skip


class _Asked:
    """Counts what judges would be asked."""

    def __init__(self, specs: Mapping[str, SpecModel], backends: Backends | None) -> None:
        self._kinds: list[Any] = []
        self._asks: list[ModelAsk] = []
        self._rows = 0
        judges = [
            leaf
            for spec in specs.values()
            for _, leaf in _leaves(spec)
            if leaf.type in ("score_model", "label_model")
        ]
        if judges:
            import graders

            self._backends = backends or graders.Backends.from_env()
            self._kinds = [graders.compile(leaf, backends=self._backends).kind for leaf in judges]

    def look(self, rows: Sequence[Named]) -> None:
        if not self._kinds or self._rows >= ESTIMATED:
            return
        self._rows += len(rows)
        for _, row in rows:
            for kind in self._kinds:
                try:
                    self._asks += kind.ask(row)
                except GradeError:
                    continue  # reported as a missing variable

    def estimates(self, n_rows: int) -> Mapping[str, Estimate]:
        if not self._asks:
            return {}
        from dataclasses import replace

        from graders.models import estimate

        scale = max(1.0, n_rows / self._rows)
        return {
            model: replace(
                found,
                calls=round(found.calls * scale),
                prompt_tokens=round(found.prompt_tokens * scale),
                completion_tokens=round(found.completion_tokens * scale),
                cost=None if found.cost is None else found.cost * scale,
            )
            for model, found in estimate(self._backends.config, self._asks).items()
        }
