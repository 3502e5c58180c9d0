"""One call of `grader test`: its runs and their output."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from graders.cli import BROKEN, INTERRUPTED, NOT_MET, OK
from graders.cli.shared.common import (
    judges_of,
    price_by,
    save,
    show_problems,
)
from graders.cli.shared.console import say_from_signal
from graders.cli.shared.endings import how_to_run_the_rest
from graders.cli.shared.github import (
    annotate,
    annotate_failures,
    annotate_gates,
    write_step_summary,
)
from graders.cli.shared.progress import ProgressLine
from graders.cli.test.suites import results_folder, state_of, suite_of

if TYPE_CHECKING:
    from graders.batch.progress import Stop
    from graders.engine.backends import Backends
    from graders.testing.suite_runs import Outcome
    from graders.testing.suites import Suite

#: Seconds between two checks of the files, with --watch.
WATCH_S = 0.3
CODES = {"passed": OK, "failed": NOT_MET, "error": BROKEN, "interrupted": INTERRUPTED}


@dataclass(frozen=True, slots=True)
class TestSelection:
    """The selection of a suite's tests, as for `Suite.chosen`."""

    names: tuple[str, ...]
    tags: tuple[str, ...]
    without_tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Session:
    """One call of the command: its options, and with --watch its runs."""

    suite: str | None
    choice: TestSelection
    config: str | None
    _: KW_ONLY
    limit: int | None
    output: str | None
    junit: str | None
    judges: Mapping[str, Any]
    as_json: bool
    github: bool
    strict: bool
    unsandboxed: bool
    fail_fast: bool

    def tests(self) -> Suite:
        """The chosen tests, by the present content of their file.

        Raises:
            SpecError, ConfigError: the suite is not valid, or there is none.
        """
        found = suite_of(self.suite, self.config)
        some = found.chosen(self.choice.names, self.choice.tags, self.choice.without_tags)
        if not some.tests:
            raise click.UsageError(f"{found.file}: no test fits; there are {', '.join(found.tests)}")
        return some

    def run(self, tests: Suite) -> int:
        """Run the tests, print the outcomes, and return the exit code.

        Raises:
            SpecError: a spec is not valid.
        """
        return self._graded(tests)[0]

    def _graded(self, tests: Suite) -> tuple[int, bool]:
        """The exit code, and whether there was a Ctrl-C, even after the last row."""
        import graders
        from graders.batch.progress import Stop

        judges = judges_of(self.config, **self.judges)
        backends = graders.Backends(config=self.config, unsandboxed=self.unsandboxed, **judges)
        with backends, results_folder(self.output) as folder:
            with Stop(say_from_signal) as stop:
                outcomes = list(self._outcomes(tests, backends, folder, stop))
            self._show(tests, outcomes, backends.asked)
        if left := [outcome.name for outcome in outcomes if outcome.verdict == "interrupted"]:
            click.echo(f"interrupted. {how_to_run_the_rest(left)}", err=True)
        return _code(outcomes), stop.requested

    def watch(self) -> int:
        """Run the tests whose files change, until Ctrl-C; the exit code is that of the last run."""
        from graders.config.config import ConfigError
        from graders.errors import SpecError

        seen: dict[str, object] = {}
        code = OK
        with suppress(KeyboardInterrupt):
            while True:
                try:
                    tests = self.tests()
                    states = {name: state_of(tests, name) for name in tests.tests}
                    changed = [name for name, state in states.items() if seen.get(name) != state]
                    seen = states
                    if changed:
                        code, stopped = self._graded(tests.chosen(changed))
                        if stopped:
                            break
                        click.echo(f"{time.strftime('%H:%M:%S')} watching; Ctrl-C ends", err=True)
                except (SpecError, ConfigError, click.UsageError) as error:
                    if seen.get("") != str(error):
                        click.echo(f"error: {error}", err=True)
                    seen, code = {"": str(error)}, NOT_MET
                time.sleep(WATCH_S)
        return code

    def _outcomes(self, tests: Suite, backends: Backends, folder: Path, stop: Stop) -> Iterator[Outcome]:
        from graders.testing.suite_runs import SuiteRun, compile_suite

        compiled = compile_suite(tests, backends, strict=self.strict)
        for grader in compiled.values():
            show_problems(grader.warnings)
        line = ProgressLine()
        runs = SuiteRun(
            tests,
            compiled,
            folder,
            limit=self.limit,
            price=price_by(self.config),
            progress=lambda name, now: line.show(f"{name}: {now}"),
            stop=stop,
        )
        for outcome in runs.outcomes():
            line.clear()
            yield outcome
            if self.fail_fast and outcome.verdict != "passed":
                return

    def _show(self, tests: Suite, outcomes: Sequence[Outcome], asked: Mapping[str, object]) -> None:
        from graders.testing.suite_junit import suite_junit
        from graders.testing.suite_text import count_line, failure_text, suite_markdown, suite_table

        if self.as_json:
            documents = [outcome.to_json() for outcome in outcomes]
            click.echo(
                json.dumps({"ok": _code(outcomes) == OK, "tests": documents}, indent=2, ensure_ascii=False)
            )
        else:
            click.echo(suite_table(outcomes))
            for outcome in outcomes:
                if outcome.verdict != "passed":
                    click.echo(f"\n{failure_text(outcome)}")
                    if self.output is not None and outcome.report is not None:
                        click.echo(f"{outcome.name}: grader report {shlex.quote(str(outcome.results))}")
            click.echo(f"\n{count_line(outcomes)}  {sum(outcome.seconds for outcome in outcomes):.2f} s")
            for model, said in asked.items():
                click.echo(f"judge {model}: {said}")
        if self.junit:
            save(suite_junit(str(tests.file), outcomes), self.junit, [])
        if self.github:
            for outcome in outcomes:
                if outcome.error:
                    annotate("error", outcome.error, title=outcome.name)
                annotate_gates(outcome.gates, outcome.name)
                if outcome.report is not None:
                    annotate_failures(outcome.report.summary, outcome.name)
            write_step_summary(suite_markdown(outcomes))


def listed(tests: Suite) -> Iterator[str]:
    for name, test in tests.tests.items():
        yield "  ".join((name, test.spec, ", ".join(test.data), *(f"[{tag}]" for tag in test.tags)))


def _code(outcomes: Sequence[Outcome]) -> int:
    return max((CODES[outcome.verdict] for outcome in outcomes), default=OK)
