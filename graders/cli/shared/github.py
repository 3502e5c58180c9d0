"""Output for GitHub Actions: annotations on stdout, Markdown on the run's summary page."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from graders.stats.agreement.labels import Agreement
    from graders.stats.figures import Summary
    from graders.stats.gates import Gate

#: The variable that names the file of the summary page.
SUMMARY_FILE = "GITHUB_STEP_SUMMARY"
#: Annotations of failure reasons; GitHub shows ten for a step.
REASONS = 5

github_option = click.option(
    "--github",
    is_flag=True,
    help="Annotate gates and failures for GitHub Actions, and write its step summary.",
)


def annotate(severity: str, message: str, **properties: object) -> None:
    """Print a workflow command with GitHub's escapes of percent signs, line ends, and colons and commas in properties."""
    named = ",".join(f"{key}={_property(str(value))}" for key, value in properties.items())
    click.echo(f"::{severity}{' ' + named if named else ''}::{_message(message)}")


def annotate_gates(gates: Iterable[Gate], title: str) -> None:
    """An error for each gate that failed, a warning for each that is inconclusive."""
    for gate in gates:
        if not gate.met:
            severity = "error" if gate.verdict == "failed" else "warning"
            annotate(severity, f"gate {gate.verdict}: {gate.name} {gate.text}", title=title)


def annotate_failures(summary: Summary, title: str) -> None:
    """A warning for each of the most frequent reasons of failures."""
    from graders.wording import plural

    for reason in summary.reasons[:REASONS]:
        many = plural(reason.rows, "row")
        annotate("warning", f"{many} failed, {reason.example} for one: {reason.text}", title=title)


def show_on_github(summary: Summary, gates: Sequence[Gate], agreement: Agreement | None = None) -> None:
    """Print all annotations of a run, and append its summary."""
    from graders.report.markdown import summary_markdown

    title = summary.header.name or summary.header.type
    annotate_gates(gates, title)
    annotate_failures(summary, title)
    write_step_summary(summary_markdown(summary, gates, agreement))


def write_step_summary(markdown: str) -> None:
    """Append to the summary page of the running step; no effect outside of GitHub Actions."""
    path = os.environ.get(SUMMARY_FILE)
    if not path:
        return
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(markdown.rstrip() + "\n\n")
    except OSError as error:
        click.echo(f"note: cannot write {SUMMARY_FILE} {path}: {error.strerror}", err=True)


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
