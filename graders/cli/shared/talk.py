"""What a batch says on stderr: how far it is, and how it went."""

from __future__ import annotations

import os
import shlex
import sys
import time
from typing import TYPE_CHECKING

import click

from graders.wording import plural

if TYPE_CHECKING:
    from collections.abc import Mapping

    from graders.batch.progress import Progress, Run
    from graders.results.lines import Tally
    from graders.stats.figures import Summary

#: Between two progress lines where stderr is not a terminal.
LINE_EVERY_S = 5.0


def is_file(output: str) -> bool:
    """Whether OUT can be read again: not standard output, a pipe or a device."""
    return output != "-" and (os.path.isfile(output) or not os.path.exists(output))


class Talk:
    """Everything on stderr: a line that renews itself on a terminal, one every LINE_EVERY_S elsewhere; the summary."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty() and not quiet
        self._told = time.monotonic()

    def say(self, text: str) -> None:
        click.echo(text, err=True)

    def from_signal(self, text: str) -> None:
        """As `say`, from inside a signal handler, where a buffered stream may be in use."""
        os.write(2, f"\n{text}\n".encode())

    def progress(self, now: Progress) -> None:
        """Called several times a second."""
        if self._quiet:
            return
        if self._terminal:
            columns = os.get_terminal_size(2).columns
            sys.stderr.write(f"\r\x1b[K{_line(now)[: columns - 1]}")
            sys.stderr.flush()
        elif time.monotonic() - self._told > LINE_EVERY_S:
            self._told = time.monotonic()
            self.say(_line(now))

    def summary(self, run: Run, output: str, summary: Summary | None, judges: Mapping[str, object]) -> None:
        if self._quiet:
            return
        if self._terminal:
            sys.stderr.write("\r\x1b[K")  # in place of the progress line
            sys.stderr.flush()
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
        # the results themselves may be what goes to stdout
        click.echo("\n".join(lines), err=output == "-")


def _counts(tally: Tally) -> list[str]:
    """The summary of results that are many, or gone down a pipe."""
    flags = ", ".join(f"{flag} {n:,}" for flag, n in sorted(tally.flags.items(), key=lambda pair: -pair[1]))
    failed = f"{tally.failed:,} failed ({flags})" if tally.failed else "0 failed"
    lines = [f"{plural(tally.rows, 'row')}: {tally.scored:,} scored, {failed}"]
    if tally.scored:
        lines.append(f"mean reward of the scored rows: {tally.total / tally.scored:.6g}")
    for model, (prompt, completion) in tally.tokens.items():
        lines.append(f"{model}: {prompt:,} tokens asked, {completion:,} answered")
    return lines


def _line(now: Progress) -> str:
    """`1,234 rows of 5,000 (24 %)  310/s  12 failed  45,678 tokens  cost 0.1234  0:12 left`."""
    of = f" of {now.total:,} ({now.rows / now.total:.0%})" if now.total else ""
    parts = [
        f"{now.rows:,} rows{of}",
        f"{now.graded / max(now.seconds, 0.001):,.0f}/s",
        f"{now.failed:,} failed",
    ]
    if now.tokens:
        parts.append(f"{now.tokens:,} tokens")
    if now.cost is not None:
        parts.append(f"cost {now.cost:.4g}")
    if now.left_s is not None and now.seconds > 1:
        parts.append(f"{_clock(now.left_s)} left")
    return "  ".join(parts)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
