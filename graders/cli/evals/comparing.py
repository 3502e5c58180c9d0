"""grader evals compare."""

from __future__ import annotations

import click

from graders.cli import NOT_MET, OK
from graders.cli.evals.printing import flips_option, unknown
from graders.cli.shared.common import open_store


@click.command()
@click.argument("first", metavar="A")
@click.argument("others", metavar="B...", nargs=-1, required=True)
@flips_option
def compare(first: str, others: tuple[str, ...], flips: int) -> int:
    """Compare runs with the first, item by item.

    Shows what flipped, the rates with intervals, and McNemar's test.
    """
    from graders.evals.comparison import NotComparable, as_lines, compare_runs

    with open_store() as store:
        runs = [store.runs.get(one) for one in (first, *others)]
        for run_id, found in zip((first, *others), runs, strict=True):
            if found is None:
                return unknown("run", run_id)
        a, *rest = (one for one in runs if one is not None)
        for n, b in enumerate(rest):
            try:
                lines = list(as_lines(compare_runs(store, a, b), flips))
            except NotComparable as error:
                click.echo(str(error), err=True)
                return NOT_MET
            click.echo("\n".join(["", *lines] if n else lines))
    return OK
