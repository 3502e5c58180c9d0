"""The options that choose rows: --limit, --sample, --seed, --filter, --only, --of, --repeat."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

_OPTIONS = (
    click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N rows."),
    click.option("--sample", type=click.IntRange(1), metavar="N", help="Only N rows, selected by their ids."),
    click.option("--seed", type=int, default=0, show_default=True, help="The seed of --sample."),
    click.option(
        "--filter",
        "conditions",
        multiple=True,
        metavar="FIELD=VALUE",
        help="Only rows whose FIELD is VALUE, or is not, with FIELD!=VALUE; if repeated, all must hold.",
    ),
    click.option(
        "--only",
        type=click.Choice(("failed", "wrong")),
        help="Only rows that failed, or that were graded and did not pass, in the results --of FILE.",
    ),
    click.option("--of", type=click.Path(exists=True, dir_okay=False), help="The results file for --only."),
    click.option(
        "--repeat",
        type=click.IntRange(1),
        default=1,
        metavar="N",
        help="Grade each row N times, as ID, ID#2, ..., to measure how far a judge agrees with itself.",
    ),
)


def selection_options(command: Callable[..., int]) -> Callable[..., int]:
    """The options, which a command gets as one Selection, `selection`. Its own --pass-threshold says which rows are wrong."""

    @wraps(command)
    def selecting(
        *, limit: int | None, sample: int | None, seed: int, conditions: tuple[str, ...], only: str | None,
        of: str | None, repeat: int, **options: Any,
    ) -> int:  # fmt: skip
        from graders.batch.selection import Condition, Selection, ids_of
        from graders.results.read import ResultsError

        if (only is None) != (of is None):
            raise click.UsageError("--only and --of go together: --only failed --of results.jsonl")
        try:
            ids = ids_of(of, only, options.get("pass_threshold")) if of and only else None
            parsed = tuple(map(Condition.parse, conditions))
        except (ResultsError, ValueError) as error:
            raise click.UsageError(str(error)) from None
        return command(selection=Selection(parsed, ids, sample, seed, limit, repeat), **options)

    for option in reversed(_OPTIONS):
        option(selecting)
    return selecting
