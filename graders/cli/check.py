"""grader check: does the spec fit the data?"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from graders.cli import NOT_MET, OK
from graders.cli.shared.common import (
    colors,
    config_option,
    data_options,
    show_problems,
    spec_argument,
    strict_option,
)
from graders.cli.shared.gates import pass_threshold_option
from graders.cli.shared.selection import selection_options
from graders.wording import plural

if TYPE_CHECKING:
    from graders.batch.selection import Selection
    from graders.models import SpendingEstimate
    from graders.preflight.findings import CheckReport, PreflightFinding


@click.command()
@click.argument("spec", type=click.Path(allow_dash=True))
@click.argument("data", nargs=-1, required=True, type=click.Path(allow_dash=True))
@data_options
@selection_options
@pass_threshold_option
@click.option(
    "--validation", type=click.Path(exists=True, dir_okay=False), help="A fine-tuning job's validation file."
)
@click.option("--no-run", is_flag=True, help="Do not try python graders in the sandbox.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@strict_option
@config_option
def command(
    spec: str,
    data: tuple[str, ...],
    sample_field: str | None,
    item_field: str | None,
    item_map: dict[str, str],
    id_field: str | None,
    format_: str | None,
    selection: Selection,
    pass_threshold: float | None,
    validation: str | None,
    no_run: bool,
    as_json: bool,
    strict: bool,
    config: str | None,
) -> int:
    """Check SPEC and DATA before grading. No judge is asked and nothing is graded.

    Variables are looked up in every row, programs are tried on a few rows in the sandbox, formulas are checked
    over the ranges of their graders, and the calls and cost of judges are estimated. SPEC may also be the body of
    an eval, or of a fine-tuning job of any method, whose training rows are then checked as the hosted service
    does. If DATA lacks outputs, only items are checked. The options that select rows are those of `grader batch`;
    a job's files are checked whole. Exits 1 when there is an error.

    \b
    grader check grader-examples/answer.grader.json grader-examples/answers.jsonl
    grader check grader-examples/helpful.grader.json grader-examples/answers.jsonl --sample 5
    grader check job.json train.jsonl --validation valid.jsonl
    """
    import graders
    from graders.datasets.rows import DataError
    from graders.errors import SpecError
    from graders.models import ConfigError
    from graders.preflight.check import check
    from graders.spec.reading import load
    from graders.training_files.check import check_job

    if spec == "-" and "-" in data:
        raise click.UsageError("SPEC and DATA cannot both be standard input.")
    started = time.monotonic()
    try:
        with graders.Backends(config=config) as backends:
            source = load(spec_argument(spec))
            options: dict[str, Any] = {
                "sample_field": sample_field,
                "item_field": item_field,
                "item_map": item_map,
                "id_field": id_field,
                "format": format_,
                "selection": selection,
                "strict": strict,
                "run": not no_run,
                "backends": backends,
            }
            report = check_job(source, data[0], validation, **options)
            if report is not None and len(data) > 1:
                raise click.UsageError(
                    "A fine-tuning job has one training file; name others with --validation."
                )
            if report is None:
                if validation:
                    raise click.UsageError("--validation goes with the body of a fine-tuning job.")
                report = check(source, data, **options)
    except SpecError as error:
        show_problems(error.problems)
        return NOT_MET
    except (DataError, ConfigError) as error:
        raise click.UsageError(str(error)) from None
    if as_json:
        _json(report)
    else:
        _text(report, time.monotonic() - started)
    return OK if report.ok else NOT_MET


def _json(report: CheckReport) -> None:
    document = {
        "ok": report.ok,
        "rows": report.rows,
        "graders": report.graders,
        "has_samples": report.has_samples,
        "findings": [finding.to_json() for finding in report.findings],
        "estimates": {model: estimate.to_json() for model, estimate in report.estimates.items()},
    }
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def _text(report: CheckReport, seconds: float) -> None:
    for finding in report.findings:
        click.echo(_line(finding, several=len(report.graders) > 1), color=colors(sys.stdout))
    errors = sum(finding.severity == "error" for finding in report.findings)
    warnings = len(report.findings) - errors
    verdict = "fine" if not report.findings else f"{plural(errors, 'error')}, {plural(warnings, 'warning')}"
    head = click.style(verdict, fg="red" if errors else "yellow" if warnings else "green", bold=True)
    rows = plural(report.rows, "row") + (
        "" if report.has_samples else " without outputs: only items were looked at"
    )
    click.echo(f"{head}  {rows}, {seconds:.2f} s", color=colors(sys.stdout))
    _estimates(report.estimates)


def _line(finding: PreflightFinding, several: bool) -> str:
    severity = click.style(finding.severity, fg="red" if finding.severity == "error" else "yellow", bold=True)
    place = ":".join(str(part) for part in (finding.file, finding.line, finding.column) if part)
    where = ".".join(part for part in (finding.grader if several else "", finding.path) if part)
    where = " ".join(part for part in (place, where) if part)
    hint = f" {finding.suggestion}" if finding.suggestion else ""
    more = ", ..." if finding.count > len(finding.rows) else ""
    named = (
        f"{row_id} (line {number})" for row_id, number in zip(finding.rows, finding.numbers, strict=True)
    )
    rows = f" Rows: {', '.join(named)}{more}." if finding.rows else ""
    return f"{severity}: {where + ': ' if where else ''}{finding.message}{hint}{rows} [{finding.code}]"


def _estimates(estimates: Mapping[str, SpendingEstimate]) -> None:
    for model, estimate in estimates.items():
        cost = "" if estimate.cost is None else f", about {estimate.cost:,.4g} by [prices]"
        click.echo(
            f"{model}: {plural(estimate.calls, 'call')}, about {estimate.prompt_tokens:,} prompt and at most "
            f"{estimate.completion_tokens:,} answer tokens{cost}"
        )
