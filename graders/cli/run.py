"""grader run: one row."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from graders.cli import NOT_MET, OK
from graders.cli.common import (
    colors,
    compile_spec,
    config_option,
    read_object,
    read_text,
    show_problems,
    strict_option,
    unsandboxed_option,
)

if TYPE_CHECKING:
    from graders.result import RunResult


@click.command()
@click.argument("spec", type=click.Path(allow_dash=True))
@click.option("--sample", required=True, metavar="TEXT|@FILE|-", help="The model's text.")
@click.option(
    "--sample-json", is_flag=True, help="Read --sample as JSON: a sample object, messages, a completion."
)
@click.option("--item", default="{}", metavar="JSON|@FILE", help="The dataset row; default {}.")
@click.option("--json", "as_json", is_flag=True, help="JSON also on a terminal.")
@strict_option
@config_option
@unsandboxed_option
def command(
    spec: str,
    sample: str,
    sample_json: bool,
    item: str,
    as_json: bool,
    strict: bool,
    config: str | None,
    unsandboxed: bool,
) -> int:
    """Grade one row and print the result.

    Prints the run endpoint's JSON; on a terminal a table, unless --json. Exits 1 when the row was not graded
    (a flag is set) or the spec is not valid.

    \b
    grader run examples/exact.grader.json --sample Paris --item '{"answer": "Paris"}'
    grader run spec.json --sample @answer.txt --item @row.json
    """
    from graders.errors import SpecError

    text: object = read_text(sample)
    if sample_json:
        try:
            text = json.loads(str(text))
        except json.JSONDecodeError as error:
            raise click.BadParameter(f"--sample is not JSON: {error}") from None
    row = read_object(item, "--item")
    try:
        grader = compile_spec(spec, strict=strict, config=config, unsandboxed=unsandboxed)
    except SpecError as error:
        show_problems(error.problems)
        return NOT_MET
    with grader.backends:
        result = grader.run(text, row)
    if sys.stdout.isatty() and not as_json:
        _table(result)
    else:
        click.echo(json.dumps(result.to_wire(), indent=2, ensure_ascii=False))
    for failure in result.failures:
        message = click.style(failure.flag, fg="red", bold=True) + f": {failure}"
        click.echo(message, err=True, color=colors(sys.stderr))
    return OK if result.ok else NOT_MET


def _table(result: RunResult) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    metadata = result.metadata
    table.add_row(
        "reward", f"[bold]{result.reward:g}[/bold]" + ("" if result.ok else "  (not a score: the row failed)")
    )
    for key, value in result.sub_rewards.items():
        table.add_row(f"  {key}", "failed" if key in result.failed_members else f"{value:g}")
    table.add_row("grader", f"{metadata.name} ({metadata.type})")
    table.add_row("time", f"{metadata.execution_time * 1000:.2f} ms")
    if metadata.token_usage:
        table.add_row("tokens", str(metadata.token_usage.total_tokens))
    for key, value in result.provenance.items():
        table.add_row(
            key, json.dumps(value, ensure_ascii=False, default=str) if not isinstance(value, str) else value
        )
    Console().print(table)
