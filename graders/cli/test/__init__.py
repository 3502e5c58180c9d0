"""grader test: the suite of tests in graders.toml."""

from __future__ import annotations

import click

from graders.cli import NOT_MET, OK
from graders.cli.shared.common import (
    config_option,
    judge_options,
    show_problems,
    strict_option,
    unsandboxed_option,
)
from graders.cli.shared.github import github_option
from graders.cli.test.session import Session, TestSelection, listed
from graders.cli.test.suites import config_of_suite


@click.command()
@click.argument("suite", required=False, type=click.Path(exists=True, dir_okay=False))
@click.option(
    "--test",
    "names",
    multiple=True,
    metavar="NAME",
    help="Only tests of this name, or of a pattern of names.",
)
@click.option("--tag", "tags", multiple=True, help="Only tests with this tag; if repeated, with one of them.")
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
@judge_options
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
    """Run the tests of SUITE. Each grades data and has conditions on the rewards.

    SUITE is a graders.toml, whose judges are then asked, or a YAML file; default: the graders.toml in use, else
    graders.yaml here. Its tests name a spec, data and conditions, as [tests.NAME] with keys like the options of
    `grader batch`; docs/suites.md has all of them. Each spec is checked before the first row is graded. Exits 0
    when every test passed, 1 when one did not, 3 when the grading itself broke.

    \b
    grader test
    grader test grader-examples/graders.toml --without-tag judge
    grader test --test 'math-*' --limit 20 --watch
    grader test --junit junit.xml -o results
    """
    from graders.config.config import ConfigError
    from graders.errors import SpecError

    try:
        config = config or config_of_suite(suite)
        session = Session(
            suite,
            TestSelection(names, tags, without_tags),
            config,
            limit=limit,
            output=output,
            junit=junit,
            as_json=as_json,
            judges={"cache": cache, "max_calls": max_calls, "max_cost": max_cost},
            github=github,
            strict=strict,
            unsandboxed=unsandboxed,
            fail_fast=fail_fast,
        )
        tests = session.tests()
        if list_:
            click.echo("\n".join(listed(tests)))
            return OK
        return session.watch() if watch else session.run(tests)
    except SpecError as error:
        show_problems(error.problems)
        return NOT_MET
    except ConfigError as error:
        raise click.UsageError(str(error)) from None
