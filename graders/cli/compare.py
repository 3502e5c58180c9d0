"""grader compare: results files, paired by id."""

from __future__ import annotations

import json
from typing import Literal

import click

from graders.cli.shared.common import save
from graders.cli.shared.gates import exit_code, inconclusive_option, surely_option
from graders.cli.shared.github import annotate_gates, github_option, write_step_summary


@click.command()
@click.argument("first", metavar="A", type=click.Path(dir_okay=False))
@click.argument("others", metavar="B...", type=click.Path(dir_okay=False), nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="A page (.html) of the rows that differ, side by side; for two files.",
)
@click.option(
    "--different-specs", is_flag=True, help="Compare although A and B were graded by different specs."
)
@click.option(
    "--group",
    metavar="FIELD",
    help="Rows with the same FIELD belong to one item; '': each row to its own. Default: `x` and `x#2` belong together.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(("text", "md", "json")),
    default="text",
    show_default=True,
    help="The output format.",
)
@click.option("--json", "as_json", is_flag=True, help="As --format json.")
@click.option(
    "--max-drop",
    type=click.FloatRange(0),
    metavar="X",
    help="Exit 1 unless B's mean is at most X below A's.",
)
@surely_option
@inconclusive_option
@github_option
@click.option(
    "--movers",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    help="Number of rows shown with the largest gains, and with the largest losses.",
)
def command(
    first: str,
    others: tuple[str, ...],
    output: str | None,
    different_specs: bool,
    group: str | None,
    format_: str,
    as_json: bool,
    max_drop: float | None,
    surely: bool,
    inconclusive: Literal["pass", "fail"],
    github: bool,
    movers: int,
) -> int:
    """Compare results files B of one spec with A, paired by id.

    Only rows scored in both count. The interval of the difference is over items, so that repeats of one item do
    not count as independent. For pass and fail there is McNemar's exact test, for all rewards a sign-flip test.
    Intervals of several files or sub-rewards are simultaneous, and their p values are adjusted.

    \b
    grader batch spec.json old.jsonl -o old.results.jsonl
    grader batch spec.json new.jsonl -o new.results.jsonl
    grader compare old.results.jsonl new.results.jsonl --max-drop 0.02
    grader compare old.results.jsonl new.results.jsonl -o page.html
    """
    from graders.report.comparison_page import MOVERS, comparison_page
    from graders.report.markdown import comparisons_markdown
    from graders.report.terminal import comparisons_text
    from graders.results.read import ResultsError
    from graders.stats.compare import compare_runs, gate
    from graders.stats.figures import to_json

    if output is not None and len(others) > 1:
        raise click.UsageError("-o FILE is a page of two files: name one B, or leave -o out")
    if output is not None:
        movers = MOVERS
    try:
        found = compare_runs([first, *others], group=group, different_specs=different_specs, movers=movers)
    except ResultsError as error:
        raise click.UsageError(str(error)) from None
    gates = [[] if max_drop is None else [gate(each, max_drop, surely=surely)] for each in found]
    if output is not None:
        save(comparison_page(found[0], gates[0]), output, [first, *others])
    if as_json or format_ == "json":
        made = [{**each.to_json(), "gates": to_json(own)} for each, own in zip(found, gates, strict=True)]
        shown = made[0] if len(made) == 1 else {"comparisons": made}
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    elif format_ == "md":
        click.echo(comparisons_markdown(found, gates), nl=False)
    else:
        click.echo(comparisons_text(found, gates))
    if github:
        for each, own in zip(found, gates, strict=True):
            annotate_gates(own, each.b.path)
        write_step_summary(comparisons_markdown(found, gates))
    return exit_code([gate for own in gates for gate in own], inconclusive)
