"""grader test: the suite of tests in graders.toml."""

from __future__ import annotations

import json
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from graders.cli import BROKEN, INTERRUPTED, NOT_MET, OK
from graders.cli.shared.common import (
    config_option,
    judges_of,
    price_by,
    save,
    show_problems,
    strict_option,
    unsandboxed_option,
)
from graders.cli.shared.github import (
    annotate,
    annotate_failures,
    annotate_gates,
    github_option,
    write_step_summary,
)

if TYPE_CHECKING:
    from graders.batch.progress import Progress
    from graders.engine.backends import Backends
    from graders.testing.suite_runs import Outcome
    from graders.testing.suites import Suite

#: A suite beside, or instead of, graders.toml.
YAML_SUITES = ("graders.yaml", "graders.yml")
#: Between two looks at the files, with --watch.
WATCH_S = 0.3
CODES = {"passed": OK, "failed": NOT_MET, "error": BROKEN, "interrupted": INTERRUPTED}


@click.command()
@click.argument("suite", required=False, type=click.Path(exists=True, dir_okay=False))
@click.option(
    "--test",
    "names",
    multiple=True,
    metavar="NAME",
    help="Only tests of this name, or of a pattern of names.",
)
@click.option("--tag", "tags", multiple=True, help="Only tests with this tag; given again, with one of them.")
@click.option("--without-tag", "without_tags", multiple=True, metavar="TAG", help="No tests with this tag.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N rows of each test.")
@click.option("--list", "list_", is_flag=True, help="Print the tests, and run none.")
@click.option("--watch", is_flag=True, help="Run tests again when their files change, until Ctrl-C.")
@click.option("--fail-fast", is_flag=True, help="Stop after the first test that does not pass.")
@click.option(
    "-o",
    "--output",
    metavar="FOLDER",
    help="Keep each test's results, FOLDER/NAME.jsonl, for `grader report`.",
)
@click.option("--junit", metavar="FILE", help="Write JUnit XML too, a test case for each test.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table.")
@click.option(
    "--cache",
    type=click.Path(dir_okay=False),
    help="Keep judges' verdicts in this file, and use those in it.",
)
@click.option(
    "--max-calls", type=click.IntRange(0), metavar="N", help="Stop after this many calls of judges."
)
@click.option(
    "--max-cost",
    type=click.FloatRange(0),
    metavar="X",
    help="Stop when the judges have cost this, by [prices].",
)
@github_option
@strict_option
@config_option
@unsandboxed_option
def command(
    suite: str | None,
    names: tuple[str, ...],
    tags: tuple[str, ...],
    without_tags: tuple[str, ...],
    limit: int | None,
    list_: bool,
    watch: bool,
    fail_fast: bool,
    output: str | None,
    junit: str | None,
    as_json: bool,
    cache: str | None,
    max_calls: int | None,
    max_cost: float | None,
    github: bool,
    strict: bool,
    config: str | None,
    unsandboxed: bool,
) -> int:
    """Run the tests of SUITE: graders on data, each with what it demands of the rewards.

    SUITE is a graders.toml or a YAML file; default: the graders.toml in use, else graders.yaml here. Its tests name
    a spec, data and what the rewards have to reach, as [tests.NAME] with keys like the options of `grader batch`;
    docs/suites.md has all of them. Each spec is checked before the first row is graded. Exits 0 when every
    test passed, 1 when one did not, 3 when the grading itself broke.

    \b
    grader test
    grader test examples/graders.toml --without-tag judge
    grader test --test 'math-*' --limit 20 --watch
    grader test --junit junit.xml -o results
    """
    from graders.config.config import ConfigError
    from graders.errors import SpecError

    session = _Session(
        suite, Choice(names, tags, without_tags), config, limit=limit, output=output, junit=junit, as_json=as_json,
        judges={"cache": cache, "max_calls": max_calls, "max_cost": max_cost},
        github=github, strict=strict, unsandboxed=unsandboxed, fail_fast=fail_fast,
    )  # fmt: skip
    try:
        tests = session.tests()
        if list_:
            click.echo("\n".join(_listed(tests)))
            return OK
        return session.watch() if watch else session.run(tests)
    except SpecError as error:
        show_problems(error.problems)
        return NOT_MET
    except ConfigError as error:
        raise click.UsageError(str(error)) from None


@dataclass(frozen=True, slots=True)
class Choice:
    """Which tests of a suite are run, as for `Suite.chosen`."""

    names: tuple[str, ...]
    tags: tuple[str, ...]
    without_tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Session:
    """One call of the command: what it was asked for, and with --watch the runs that it makes."""

    suite: str | None
    choice: Choice
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
        """The tests that are chosen, as their file has them now.

        Raises:
            SpecError, ConfigError: the suite is not valid, or there is none.
        """
        found = _suite(self.suite, self.config)
        some = found.chosen(self.choice.names, self.choice.tags, self.choice.without_tags)
        if not some.tests:
            raise click.UsageError(f"{found.file}: no test fits; there are {', '.join(found.tests)}")
        return some

    def run(self, tests: Suite) -> int:
        """Grade, say how it went, and give the exit code.

        Raises:
            SpecError: a spec is not valid.
        """
        import graders

        judges = judges_of(self.config, **self.judges)
        backends = graders.Backends(config=self.config, unsandboxed=self.unsandboxed, **judges)
        with backends, _folder(self.output) as folder:
            outcomes = list(self._outcomes(tests, backends, folder))
            self._show(tests, outcomes, backends.asked)
        return _code(outcomes)

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
                    states = {name: _state(tests, name) for name in tests.tests}
                    changed = [name for name, state in states.items() if seen.get(name) != state]
                    seen = states
                    if changed:
                        code = self.run(tests.chosen(changed))
                        click.echo(f"{time.strftime('%H:%M:%S')} watching; Ctrl-C ends", err=True)
                except (SpecError, ConfigError, click.UsageError) as error:
                    if seen.get("") != str(error):
                        click.echo(f"error: {error}", err=True)
                    seen, code = {"": str(error)}, NOT_MET
                if code == INTERRUPTED:
                    break
                time.sleep(WATCH_S)
        return code

    def _outcomes(self, tests: Suite, backends: Backends, folder: Path) -> Iterator[Outcome]:
        from graders.batch.progress import Stop
        from graders.testing.suite_runs import SuiteRun, compile_suite

        compiled = compile_suite(tests, backends, strict=self.strict)
        for grader in compiled.values():
            show_problems(grader.warnings)
        with Stop(lambda text: click.echo(f"\n{text}", err=True)) as stop:
            runs = SuiteRun(
                tests, compiled, folder,
                limit=self.limit, price=price_by(self.config), progress=_progress_line(), stop=stop,
            )  # fmt: skip
            for outcome in runs.outcomes():
                yield outcome
                if self.fail_fast and outcome.verdict != "passed":
                    return

    def _show(self, tests: Suite, outcomes: Sequence[Outcome], asked: Mapping[str, object]) -> None:
        from graders.testing.suite_junit import suite_junit
        from graders.testing.suite_text import count_line, suite_markdown, suite_table, why

        if sys.stderr.isatty():
            # in place of the progress line
            click.echo("\r\x1b[K", nl=False, err=True)
        if self.as_json:
            documents = [outcome.to_json() for outcome in outcomes]
            click.echo(
                json.dumps({"ok": _code(outcomes) == OK, "tests": documents}, indent=2, ensure_ascii=False)
            )
        else:
            click.echo(suite_table(outcomes))
            for outcome in outcomes:
                if outcome.verdict != "passed":
                    click.echo(f"\n{why(outcome)}")
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


def _listed(tests: Suite) -> Iterator[str]:
    for name, test in tests.tests.items():
        yield "  ".join((name, test.spec, ", ".join(test.data), *(f"[{tag}]" for tag in test.tags)))


def _code(outcomes: Sequence[Outcome]) -> int:
    return max((CODES[outcome.verdict] for outcome in outcomes), default=OK)


def _state(tests: Suite, name: str) -> object:
    """A test's table, and of each of its files when it was written and how large it is."""
    from graders.datasets.read import files_of

    test = tests.tests[name]
    files = [
        str(tests.path(test.spec)),
        *(file for data in test.data for file in files_of(str(tests.path(data)))),
    ]
    return test, [(file, os.stat(file).st_mtime_ns, os.stat(file).st_size) for file in files]


def _suite(named: str | None, config: str | None) -> Suite:
    """The suite that was named, or that is in use here.

    Raises:
        SpecError, ConfigError: it is not valid, or there is none.
    """
    from graders.config.config import ConfigError, load_config
    from graders.spec.reading import Source
    from graders.testing.suites import read_suite, suite_in

    if named is not None:
        return read_suite(named)
    found = load_config(config)
    if found.path is not None and "tests" in found.tables:
        return suite_in(Source(found.tables, file=_short(found.path)))
    for name in YAML_SUITES:
        if os.path.isfile(name):
            return read_suite(name)
    where = "there is no graders.toml here" if found.path is None else f"{found.path} has no [tests.NAME]"
    raise ConfigError(
        f"no tests: {where}, and no {YAML_SUITES[0]}; `grader init` writes an example, or name SUITE"
    )


def _short(path: Path) -> str:
    """A path as seen from here, where that is shorter."""
    with_dots = os.path.relpath(path)
    return with_dots if len(with_dots) < len(str(path)) else str(path)


@contextmanager
def _folder(named: str | None) -> Iterator[Path]:
    """Where results go: a folder that stays, or one that does not."""
    if named is not None:
        Path(named).mkdir(parents=True, exist_ok=True)
        yield Path(named)
        return
    with tempfile.TemporaryDirectory(prefix="grader-test-") as temporary:
        yield Path(temporary)


def _progress_line() -> Callable[[str, Progress], None] | None:
    """A line that renews itself, on a terminal."""
    if not sys.stderr.isatty():
        return None

    def show(name: str, now: Progress) -> None:
        of = f" of {now.total:,}" if now.total else ""
        click.echo(f"\r\x1b[K{name}: {now.rows:,} rows{of}", nl=False, err=True)

    return show
