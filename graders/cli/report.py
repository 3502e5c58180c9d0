"""grader report: results, to look at."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Literal

import click

from graders.cli.shared.common import config_option, group_option, label_threshold_option, price_by, save
from graders.cli.shared.gates import exit_code, gate_options, print_unmet
from graders.cli.shared.github import github_option, show_on_github

if TYPE_CHECKING:
    from graders.report.report import Report

FORMATS = ("text", "html", "md", "json", "junit")
ENDINGS = {".html": "html", ".htm": "html", ".md": "md", ".json": "json", ".xml": "junit", ".txt": "text"}


@click.command()
@click.argument("results", metavar="OUT", type=click.Path(dir_okay=False))
@click.option(
    "-o", "--output", metavar="FILE", help="The file to write, in the format of its ending. Default: stdout."
)
@click.option("--format", "format_", type=click.Choice(FORMATS), help="Default: by FILE's ending, else text.")
@click.option(
    "--label", metavar="FIELD", help="Field with a human's verdict: true/false, 0/1, pass/fail, a number."
)
@label_threshold_option
@group_option
@click.option("--reference", metavar="FIELD", help="Field with the text that outputs are compared with.")
@click.option(
    "--claims",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="Show the results of `grader audit`, `attack`, `mutate` and `calibrate` in FILE, and whether they still hold.",
)
@gate_options
@github_option
@config_option
def command(
    results: str,
    output: str | None,
    format_: str | None,
    label: str | None,
    label_threshold: float | None,
    group: str | None,
    reference: str | None,
    claims: str | None,
    fail_under: float | None,
    surely: bool,
    min_coverage: float | None,
    inconclusive: Literal["pass", "fail"],
    pass_threshold: float | None,
    github: bool,
    config: str | None,
) -> int:
    """Summarise the results file OUT of `grader batch`.

    Prints a short summary. With -o report.html it writes one self-contained page: distribution, sub-rewards,
    failures, agreement with labels, every row with its differences from the reference. md is for a comment on a
    change, json for programs, junit for a CI.

    \b
    grader report results.jsonl
    grader report results.jsonl -o report.html --label human
    grader report results.jsonl --format md --fail-under 0.8 --min-coverage 0.99
    """
    from graders.models import ConfigError
    from graders.report.report import make_report
    from graders.results.read import ResultsError

    format_ = format_ or _format_of(output)
    if label_threshold is not None and label is None:
        raise click.UsageError("--label-threshold needs --label")
    try:
        report = make_report(
            results,
            group=group,
            label=label,
            label_threshold=label_threshold,
            reference=reference,
            fail_under=fail_under,
            min_coverage=min_coverage,
            surely=surely,
            pass_threshold=pass_threshold,
            claims=claims,
            price=price_by(config),
            rows=format_ in ("html", "junit"),
        )
    except (ResultsError, ConfigError) as error:
        raise click.UsageError(str(error)) from None
    text = _written(report, format_)
    if output in (None, "-"):
        click.echo(text, nl=not text.endswith("\n"))
    else:
        save(text, str(output), [results])
    if format_ == "junit" and report.summary.threshold is None and report.summary.scored:
        click.echo(
            "note: no row can fail in this JUnit file, since its spec has no pass_threshold; --pass-threshold sets one",
            err=True,
        )
    print_unmet(report.gates)
    if github:
        show_on_github(report.summary, report.gates, report.agreement)
    return exit_code(report.gates, inconclusive)


def _format_of(output: str | None) -> str:
    if output in (None, "-"):
        return "text"
    ending = os.path.splitext(str(output))[1].lower()
    if ending not in ENDINGS:
        raise click.UsageError(
            f"-o {output}: its ending does not say which format; use {', '.join(ENDINGS)}, or --format"
        )
    return ENDINGS[ending]


def _written(report: Report, format_: str) -> str:
    if format_ == "html":
        from graders.report.page import page

        return page(report)
    if format_ == "junit":
        from graders.report.junit import junit

        return junit(report)
    if format_ == "json":
        return json.dumps(report.to_json(), indent=2, ensure_ascii=False)
    if format_ == "md":
        from graders.report.markdown import summary_markdown

        return summary_markdown(report.summary, report.gates, report.agreement, report.claims)
    from graders.report.terminal import summary_text

    return summary_text(report.summary, report.gates, report.agreement, report.claims)
