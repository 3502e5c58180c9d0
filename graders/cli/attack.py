"""grader attack: wrong answers that a grader pays like right ones."""

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
from graders.cli.shared.progress import ProgressLine
from graders.wording import plural

if TYPE_CHECKING:
    from graders.attack.climb import Climb
    from graders.audit import Attack
    from graders.engine.grader import Grader


@click.command()
@click.argument("spec", type=click.Path(allow_dash=True))
@rows_argument
@click.option(
    "--budget",
    type=click.IntRange(min=1),
    default=2000,
    show_default=True,
    metavar="N",
    help="Grade at most N samples.",
)
@click.option(
    "--seconds", type=click.FloatRange(min=0, min_open=True), metavar="S", help="Stop after S seconds."
)
@click.option(
    "--max-calls",
    type=click.IntRange(min=0),
    metavar="N",
    help="Ask judges at most N times; needed where SPEC asks one.",
)
@click.option(
    "--start",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Skip the first N samples of the plan.",
)
@click.option(
    "--family", "families", multiple=True, metavar="NAME", help="Use only this family; may be repeated."
)
@click.option(
    "--accept",
    multiple=True,
    metavar="NAME",
    help="A family whose samples are acceptable for this grader; may be repeated.",
)
@click.option(
    "--save",
    "saved",
    metavar="FILE",
    help="Write the broken rows with the samples as their 'bad' ones, as JSONL.",
)
@click.option(
    "--model",
    metavar="NAME",
    help="A model of graders.toml that proposes more samples, with one call for each of six rows.",
)
@click.option(
    "--climb",
    "climbs",
    is_flag=True,
    help="Show the best reward of wrong answers by the number of samples, as a policy would drift.",
)
@claims_option
@click.option("--fail-on", type=click.Choice(("exploit",)), help="Exit 1 if an exploit is found.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@config_option
def command(
    spec: str, rows: str, budget: int, seconds: float | None, max_calls: int | None, start: int, families: tuple[str, ...],
    accept: tuple[str, ...], saved: str | None, model: str | None, climbs: bool, claims: str | None, fail_on: str | None,
    as_json: bool, quiet: bool, config: str | None,
) -> int:  # fmt: skip
    """Search for samples that are wrong by construction and that SPEC rewards like the gold. No model is needed.

    ROWS have the fields of reward checks: item, gold (a sample that deserves the top reward), prompt, bad. Each
    exploit has its smallest sample, the reason why it is wrong, and the rows it breaks; --save writes rows that
    test a corrected grader for them.

    \b
    grader attack grader-examples/answer.grader.json rows.jsonl --fail-on exploit
    grader attack spec.json rows.jsonl --seconds 30 --save attacks.jsonl
    grader attack spec.json rows.jsonl --climb
    """
    import graders
    from graders.attack.climb import climb
    from graders.attack.search import attack

    line = ProgressLine(quiet=quiet, logged=False)

    def show(done: int, planned: int, found: int) -> None:
        line.show(f"{done:,} of {planned:,} samples, {found:,} paid")

    with refusals(), graders.Backends(config=config) as backends:
        grader = graders.compile(spec_argument(spec), backends=backends)
        if climbs:
            _show_climb(climb(grader, rows, budget=budget, backends=backends), as_json=as_json)
            return OK
        found = attack(
            grader,
            rows,
            families=families or None,
            accept=accept,
            budget=budget,
            seconds=seconds,
            max_calls=max_calls,
            start=start,
            model=model,
            backends=backends,
            on_progress=show,
        )
    line.clear()
    if as_json:
        echo_json(_document(found))
    else:
        _text(found)
    if saved:
        save_rows(found.bad_rows(), saved, rows)
    if claims:
        _claim(found, grader, accept, claims)
    return NOT_MET if fail_on and found else OK


def _show_climb(found: Climb, *, as_json: bool) -> None:
    if as_json:
        steps = [{"n_samples": step.n_samples, "share": step.share} for step in found.steps]
        best = {str(row): {"sample": text, "reward": reward} for row, (text, reward) in found.best.items()}
        echo_json({"steps": steps, "best": best})
        return
    for step in found.steps:
        click.echo(f"{step.n_samples:>8,} samples  {step.share:7.1%} of the gold's reward without its answer")
    for row, (text, reward) in found.best.items():
        click.echo(f"row {row}: {reward:g} for {json.dumps(text, ensure_ascii=False)[:160]}")


def _claim(found: Attack, grader: Grader, accepted: tuple[str, ...], path: str) -> None:
    families = ", ".join(dict.fromkeys(exploit.family for exploit in found))
    text = f"{plural(found.n_samples, 'wrong sample')} tried: {f'paid are {families}' if found else 'none is paid like the gold'}"
    if accepted:
        text += f"; accepted: {', '.join(accepted)}"
    claim(path, "attack", text, bound_to(grader), exploits=[one.to_json() for one in found])


def _document(found: Attack) -> dict[str, Any]:
    return {
        "exploits": [exploit.to_json() for exploit in found],
        "n_samples": found.n_samples,
        "n_planned": found.n_planned,
        "skipped_rows": list(found.skipped_rows),
    }


def _text(found: Attack) -> None:
    for exploit in found:
        click.echo(f"{click.style('exploit', fg='red', bold=True)}: {exploit}", color=colors(sys.stdout))
    count = plural(len(found), "exploit") if found else "no exploit"
    verdict = click.style(count, fg="red" if found else "green", bold=True)
    click.echo(
        f"{verdict}  {found.n_samples:,} of {plural(found.n_planned, 'sample')} tried",
        color=colors(sys.stdout),
    )
    if found.skipped_rows:
        names = ", ".join(map(str, found.skipped_rows[:5]))
        click.echo(f"left out, since their gold is paid next to nothing: {names}; `check_reward` says more")
    if found.n_samples < found.n_planned:
        click.echo(f"the budget was spent; --start {found.n_samples} goes on")
