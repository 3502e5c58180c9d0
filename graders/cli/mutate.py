"""grader mutate: small changes of a spec that its rows do not notice."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from graders.cli import NOT_MET, OK
from graders.cli.shared.audits import (
    bound_to,
    claim,
    claims_option,
    echo_json,
    refusals,
    rows_argument,
    save_rows,
)
from graders.cli.shared.common import colors, config_option, spec_argument
from graders.wording import plural

if TYPE_CHECKING:
    from graders.mutation.mutation import KillingSample, Mutation


@click.command()
@click.argument("spec", type=click.Path(allow_dash=True))
@rows_argument
@click.option(
    "--max-mutants",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    metavar="N",
    help="Largest number of mutants; more are sampled.",
)
@click.option("--save", "saved", metavar="FILE", help="Write rows that notice the other mutants, as JSONL.")
@click.option(
    "--fail-under",
    type=click.FloatRange(0, 1),
    metavar="X",
    help="Exit 1 if less than this fraction of the mutants is noticed.",
)
@claims_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def command(
    spec: str, rows: str, max_mutants: int, saved: str | None, fail_under: float | None, claims: str | None, as_json: bool,
    config: str | None,
) -> int:  # fmt: skip
    """Make small changes to SPEC, one at a time, and report those that the golds and bads of ROWS do not notice.

    Operations and metrics are swapped, fields misnamed, formulas changed; conditions, normalisation and anchors of programs are
    dropped. Each change that is not noticed comes with a sample that shows it, if one is found.

    \b
    grader mutate spec.json rows.jsonl --fail-under 0.8 --save more.jsonl
    """
    import graders
    from graders.mutation.mutation import mutate

    with refusals(), graders.Backends(config=config) as backends:
        grader = graders.compile(spec_argument(spec), backends=backends)
        found = mutate(grader, rows, max_mutants=max_mutants, backends=backends)
    if as_json:
        echo_json(_document(found))
    else:
        _show(found)
    if saved:
        save_rows(found.rows(), saved, rows)
    if claims:
        claim(claims, "mutation", _claimed(found), bound_to(grader))
    return NOT_MET if fail_under is not None and found.score < fail_under else OK


def _claimed(found: Mutation) -> str:
    return f"its rows notice {found.score:.0%} of {plural(len(found.tried), 'mutant')}"


def _document(found: Mutation) -> dict[str, Any]:
    def as_dict(sample: KillingSample | None) -> dict[str, Any] | None:
        if sample is None:
            return None
        return {"row": sample.row, "reward": sample.reward, "mutants_reward": sample.mutants_reward}

    return {
        "score": found.score,
        "of": found.of,
        "mutants": [
            {
                "kind": one.mutant.kind,
                "where": one.mutant.where,
                "before": one.mutant.before,
                "after": one.mutant.after,
                "noticed": one.noticed,
                "killing_sample": as_dict(one.killing_sample),
            }
            for one in found.tried
        ],
    }


def _show(found: Mutation) -> None:
    colour = colors(sys.stdout)
    for one in found.survivors:
        click.echo(f"{click.style('not noticed', fg='yellow', bold=True)}: {one.mutant}", color=colour)
        killing = one.killing_sample
        if killing is None:
            click.echo("    no sample was found that shows it; it may be the same grader")
        else:
            row = killing.row
            sample = row["bad"][-1] if "bad" in row else row["gold"]
            shown = json.dumps(sample, ensure_ascii=False, default=repr)
            click.echo(
                f"    shown by {shown[:160]}: {_reward(killing.reward)}, not {_reward(killing.mutants_reward)}"
            )
    click.echo(f"{_claimed(found)}{f' (of {found.of:,})' * (found.of > len(found.tried))}", color=colour)


def _reward(value: float | None) -> str:
    return "a failure" if value is None else f"{value:g}"
