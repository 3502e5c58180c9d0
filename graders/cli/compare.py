"""grader compare: two results files, paired by id."""

from __future__ import annotations

import json

import click

from graders.cli import NOT_MET, OK


@click.command()
@click.argument("a", type=click.Path(dir_okay=False))
@click.argument("b", type=click.Path(dir_okay=False))
@click.option(
    "--different-specs", is_flag=True, help="Compare although A and B were graded by different specs."
)
@click.option(
    "--group", metavar="FIELD", help="Rows with the same FIELD are of one item; default: `x`, `x#2` are."
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(("text", "md", "json")),
    default="text",
    show_default=True,
    help="How it is printed.",
)
@click.option("--json", "as_json", is_flag=True, help="As --format json.")
@click.option(
    "--max-drop",
    type=click.FloatRange(0),
    metavar="X",
    help="Exit 1 unless B's mean is surely at most X below A's.",
)
@click.option("--movers", type=click.IntRange(0), default=10, show_default=True, help="Rows shown each way.")
def command(
    a: str,
    b: str,
    different_specs: bool,
    group: str | None,
    format_: str,
    as_json: bool,
    max_drop: float | None,
    movers: int,
) -> int:
    """Say whether B is better than A: two results files of one spec, paired by id.

    Only rows scored in both count. The interval of the difference is made over items, so repeats of one item do not
    pose as news. For pass and fail there is McNemar's exact test, for all rewards a sign-flip test.

    \b
    grader batch spec.json old.jsonl -o old.results.jsonl
    grader batch spec.json new.jsonl -o new.results.jsonl
    grader compare old.results.jsonl new.results.jsonl --max-drop 0.02
    """
    from graders.report.text import comparison_markdown, comparison_text
    from graders.results.read import ResultsError
    from graders.stats.compare import compare, gate
    from graders.stats.summary import to_json

    try:
        found = compare(a, b, group=group, different_specs=different_specs, movers=movers)
    except ResultsError as error:
        raise click.UsageError(str(error)) from None
    gates = [] if max_drop is None else [gate(found, max_drop)]
    if as_json or format_ == "json":
        click.echo(json.dumps({**found.to_json(), "gates": to_json(gates)}, indent=2, ensure_ascii=False))
    elif format_ == "md":
        click.echo(comparison_markdown(found, gates), nl=False)
    else:
        click.echo(comparison_text(found, gates))
    return OK if all(gate.met for gate in gates) else NOT_MET
