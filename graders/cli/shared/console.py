"""A batch's messages on stderr: progress and summary."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

import click

from graders.cli.shared.progress import ProgressLine
from graders.wording import plural

if TYPE_CHECKING:
    from collections.abc import Mapping

    from graders.batch.progress import Progress, Run
    from graders.results.lines import Tally
    from graders.stats.figures import Summary


def is_file(output: str) -> bool:
    """Whether OUT can be read again, unlike standard output, a pipe or a device."""
    return output != "-" and (os.path.isfile(output) or not os.path.exists(output))


def say_from_signal(text: str) -> None:
    """Print a message inside a signal handler, where a buffered stream may be in use."""
    os.write(2, f"\n{text}\n".encode())


class Console:
    """The messages on stderr: progress and summary."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._line = ProgressLine(quiet=quiet)

    def say(self, text: str) -> None:
        click.echo(text, err=True)

    def progress(self, now: Progress) -> None:
        """Show the progress; called several times a second."""
        self._line.show(now)

    def summary(self, run: Run, output: str, summary: Summary | None, judges: Mapping[str, object]) -> None:
        if self._quiet:
            return
        self._line.clear()
        tally = run.tally
        for note in run.notes:
            self.say(f"note: {note}")
        if summary is not None:
            from graders.report.terminal import summary_text

            lines = [summary_text(summary)]
        else:
            lines = _counts(tally)
            if is_file(output):
                lines.append(f"intervals and more: grader report {shlex.quote(output)}")
        if run.narrow_enough:
            lines.append(
                "stopped before the end of the data: the mean is known as closely as --until-width asks"
            )
        if run.graded < tally.rows:
            lines.append(f"{run.graded:,} of {tally.rows:,} rows graded now")
        lines += [f"judge {model}: {asked}" for model, asked in judges.items()]
        if run.cost is not None:
            lines.append(f"cost of this run: {run.cost:.4g}")
        if run.unmatched_rows:
            lines.append(f"note: {plural(run.unmatched_rows, 'row')} of {output} not in this data")
        rate = run.graded / max(run.seconds, 1e-6)
        lines.append(f"{run.seconds:.2f} s, {rate:,.0f} rows/s -> {output}")
        # stdout may contain the results themselves
        click.echo("\n".join(lines), err=output == "-")


def _counts(tally: Tally) -> list[str]:
    """The summary of results that are too many to read again, or were written to a pipe."""
    flags = ", ".join(f"{flag} {n:,}" for flag, n in sorted(tally.flags.items(), key=lambda pair: -pair[1]))
    failed = f"{tally.failed:,} failed ({flags})" if tally.failed else "0 failed"
    lines = [f"{plural(tally.rows, 'row')}: {tally.scored:,} scored, {failed}"]
    if tally.scored:
        lines.append(f"mean reward of the scored rows: {tally.total / tally.scored:.6g}")
    for model, (prompt, completion) in tally.tokens.items():
        lines.append(f"{model}: {prompt:,} tokens asked, {completion:,} answered")
    return lines
