"""Checks that a spec fits a dataset before any row is graded, without asking a judge.

    report = check("spec.json", "answers.jsonl")
    for finding in report.findings:
        print(finding)

Every variable of every template is looked up in every row. Programs run on a few rows in the sandbox, one of each shape
of row. Formulas are evaluated over the ranges of their members. Questions to judges are counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from graders.batch.selection import Selection
from graders.datasets.dataset import open_dataset
from graders.datasets.ids import has_question
from graders.datasets.read import open_data
from graders.documents.jobs import TRAIN_ROWS
from graders.documents.reading import read_document
from graders.engine.compile import default_backends
from graders.engine.configured import problems_here
from graders.errors import SpecError
from graders.kinds.reading import read
from graders.preflight.findings import CheckReport, Findings
from graders.preflight.graders import GraderCheck
from graders.preflight.programs import SHAPED, TRIED, try_programs
from graders.preflight.questions import Questions
from graders.preflight.rows import NamedRow, RowReader, shape_of
from graders.spec.model import SpecModel
from graders.spec.reading import Source, load

if TYPE_CHECKING:
    from graders.engine.backends import Backends


def check(
    spec: object,
    data: object,
    *,
    sample_field: str | None = None,
    item_field: str | None = None,
    id_field: str | None = None,
    item_map: Mapping[str, str] | None = None,
    format: str | None = None,
    selection: Selection | None = None,
    strict: bool = False,
    run: bool = True,
    backends: Backends | None = None,
) -> CheckReport:
    """Find the problems of grading a dataset with a spec. No row is graded and no judge is asked.

    Args:
        spec: A grader spec, or any document with graders in it (graders.documents.reading); in any form that
            `graders.compile` takes.
        data: A path, "-" for standard input, or an iterable of mappings. If rows have no sample, only the spec's use of
            the item is checked.
        sample_field, item_field, id_field, item_map, format, selection: As for `grade_dataset`.
        strict: Whether deviations that the hosted service refuses are errors.
        run: Whether programs are run in the sandbox.

    Raises:
        ConfigError: the configuration is not valid.
        DataError: the data cannot be read, or lacks a named field.
        SpecError: the document has no grader.
    """
    backends = backends or default_backends()
    source = load(spec)
    found = read_document(source)
    findings = Findings()
    for problem in found.document.problems:
        findings.problem(problem, "")
    specs = dict(_valid(found.sources, strict, findings, backends))
    opened = open_dataset(
        open_data(data, format),
        sample=sample_field,
        item=item_field,
        row_id=id_field,
        item_map=item_map,
        samples=False,
    )
    has_samples = bool(opened.field_map.sample)
    reader = RowReader(opened.field_map)
    checks = [GraderCheck(name, grader, findings, has_samples) for name, grader in specs.items()]
    questions = Questions(specs, backends)
    shapes: dict[tuple[Any, ...], NamedRow] = {}
    for chunk, ids in (selection or Selection()).of(reader.named(opened.chunks)):
        rows = reader.read(chunk, ids)
        for each in checks:
            each.inspect(rows)
        questions.inspect(rows)
        if reader.n <= SHAPED and len(shapes) < TRIED:
            for row in rows:
                shapes.setdefault(shape_of(row.row), row)
    reader.report(findings, question=has_question(opened.first, opened.field_map))
    for each in checks:
        each.report(reader.n)
    if run:
        tried = list(islice(shapes.values(), TRIED))
        try_programs(specs, tried, findings, backends, has_samples=has_samples)
    if found.document.for_training and reader.n > TRAIN_ROWS:
        message = f"The data has {reader.n} rows; a job takes at most {TRAIN_ROWS} for training."
        findings.add("error", "too_many_rows", message)
    estimates = questions.estimates(reader.n)
    return CheckReport(findings.sorted(), reader.n, tuple(specs), has_samples, estimates)


def _valid(
    sources: Mapping[str, Source], strict: bool, findings: Findings, backends: Backends
) -> Iterator[tuple[str, SpecModel]]:
    """The valid graders; the problems of the others are reported."""
    for name, source in sources.items():
        try:
            checked = read(source, strict=strict)
        except SpecError as error:
            for problem in error.problems:
                findings.problem(problem, name)
            continue
        for problem in (*checked.warnings, *problems_here(checked.spec, source, backends)):
            findings.problem(problem, name)
        yield name, checked.spec
