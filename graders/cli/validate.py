"""grader validate: every problem of specs."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import click

from graders.cli import NOT_MET, OK
from graders.cli.shared.common import (
    colors,
    config_option,
    document_argument,
    grader_option,
    show_problems,
    strict_option,
)
from graders.cli.shared.github import annotate

if TYPE_CHECKING:
    from graders.errors import Problem

FORMATS = ("text", "json", "github")


@click.command()
@click.argument("specs", nargs=-1, required=True, type=click.Path(allow_dash=True))
@click.option(
    "--output-format",
    type=click.Choice(FORMATS),
    default="text",
    help="github: annotations for a pull request.",
)
@click.option("--json", "as_json", is_flag=True, help="Same as --output-format json.")
@grader_option
@strict_option
@config_option
def command(
    specs: tuple[str, ...],
    output_format: str,
    as_json: bool,
    grader_name: str | None,
    strict: bool,
    config: str | None,
) -> int:
    """List every problem of specs, with file, line and path.

    Exits 1 when a spec has an error. A package that a valid spec needs and this machine lacks is a warning.
    Nothing is run and no model is asked.

    \b
    grader validate grader-examples/*.grader.json
    grader validate --strict spec.yaml
    """
    import graders
    from graders.engine.configured import problems_here
    from graders.errors import SpecError
    from graders.kinds.reading import read
    from graders.models import ConfigError

    backends = graders.Backends(config=config)
    problems: list[Problem] = []
    for spec in specs:
        try:
            found = document_argument(spec, grader_name)
        except SpecError as error:
            problems += error.problems
            continue
        problems += found.document.problems
        for source in found.sources.values():
            try:
                checked = read(source, strict=strict)
                here = problems_here(checked.spec, source, backends)
            except SpecError as error:
                problems += error.problems
            except ConfigError as error:
                raise click.UsageError(str(error)) from None
            else:
                problems += checked.warnings
                problems += [replace(problem, severity="warning") for problem in here]
    invalid = {problem.file for problem in problems if problem.severity == "error"}
    _PRINT["json" if as_json else output_format](problems)
    if not as_json and output_format == "text":
        n_valid = len(specs) - len(invalid)
        word = click.style(f"{n_valid} of {len(specs)} valid", fg="red" if invalid else "green")
        click.echo(word, color=colors(sys.stdout))
    return NOT_MET if invalid else OK


def _json(problems: list[Problem]) -> None:
    click.echo(
        json.dumps({"problems": [asdict(problem) for problem in problems]}, indent=2, ensure_ascii=False)
    )


def _github(problems: list[Problem]) -> None:
    for problem in problems:
        message = f"{problem.message} {problem.suggestion}".rstrip()
        annotate(
            problem.severity, message, file=problem.file, line=problem.line or 1, col=problem.column or 1
        )


_PRINT = {"text": show_problems, "json": _json, "github": _github}
