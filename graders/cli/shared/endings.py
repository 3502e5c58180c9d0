"""The end of a batch: its exit code, and the command that resumes it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from graders.cli import BROKEN, INTERRUPTED, OK
from graders.cli.shared.console import Console

if TYPE_CHECKING:
    from graders.batch.progress import Run


def ending(run: Run, spec: str, output: str, config: str | None, console: Console) -> int:
    """The exit code of the grading; prints the next step after a failure."""
    if run.interrupted:
        console.say(f"interrupted. {how_to_go_on(output)}")
        return INTERRUPTED
    if run.broken:
        console.say(
            f"error: {run.broken}. {how_to_go_on(output, '--retry-failed' if run.infrastructure_failures else '--resume')}"
        )
        return BROKEN
    if run.graded and not run.tally.scored:
        # failures of judge or sandbox
        if run.infrastructure_failures:
            doctor = ["grader", "doctor", spec, "--probe", *(["--config", config] if config else [])]
            why = f"`{shlex.join(doctor)}` says what does not work; the rows of OUT say why. "
            console.say(f"error: no row could be graded; {why}{how_to_go_on(output, '--retry-failed')}")
        else:
            again = "" if output == "-" else f"; --force grades anew into {output}"
            console.say(
                f"error: no row could be graded; `grader check` says what is wrong with spec or data{again}"
            )
        return BROKEN
    return OK


def how_to_go_on(output: str, option: str = "--resume") -> str:
    """The command that grades the missing rows."""
    if output == "-":
        return ""
    arguments = [
        argument for argument in sys.argv[1:] if argument not in ("--resume", "--retry-failed", "--force")
    ]
    return f"Go on with: {shlex.join(['grader', *arguments, option])}"


def how_to_run_the_rest(names: Iterable[str]) -> str:
    """The command that runs these tests of a suite, in place of those that `--test` chose."""
    given, arguments = iter(sys.argv[1:]), []
    for argument in given:
        if argument == "--test":
            next(given, None)
        elif not argument.startswith("--test="):
            arguments.append(argument)
    return f"Go on with: {shlex.join(['grader', *arguments, *(f'--test={name}' for name in names)])}"
