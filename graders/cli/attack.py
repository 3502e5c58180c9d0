"""grader attack: wrong answers that a grader pays like right ones."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from graders.cli import BROKEN, NOT_MET, OK
from graders.cli.shared.common import colors, config_option, save, show_problems, spec_argument
from graders.wording import plural

if TYPE_CHECKING:
    from graders.audit import Attack


@click.command()
@click.argument("spec", type=click.Path(allow_dash=True))
@click.argument("rows", type=click.Path(exists=True, dir_okay=False))
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
    help="Go on behind the first N samples of the plan.",
)
@click.option(
    "--family", "families", multiple=True, metavar="NAME", help="Try this family alone; may be repeated."
)
@click.option(
    "--accept", multiple=True, metavar="NAME", help="A family that is fine for this grader; may be repeated."
)
@click.option(
    "--save",
    "saved",
    metavar="FILE",
    help="Write the broken rows with the samples as their 'bad' ones, as JSONL.",
)
@click.option("--fail-on", type=click.Choice(("exploit",)), help="Exit 1 when there is one.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@config_option
def command(
    spec: str, rows: str, budget: int, seconds: float | None, max_calls: int | None, start: int, families: tuple[str, ...],
    accept: tuple[str, ...], saved: str | None, fail_on: str | None, as_json: bool, quiet: bool, config: str | None,
) -> int:  # fmt: skip
    """Search for samples that are wrong by construction and that SPEC pays like the gold. No model is asked for them.

    ROWS are those of reward checks: item, gold (a sample that deserves the top), prompt, bad. Each exploit comes with the
    smallest sample, why it is wrong, and the rows it breaks; --save writes rows that hold a mended grader to them.

    \b
    grader attack examples/answer.grader.json rows.jsonl --fail-on exploit
    grader attack spec.json rows.jsonl --seconds 30 --save attacks.jsonl
    """
    import graders
    from graders.audit import attack
    from graders.audit.probe import CannotCheck
    from graders.errors import SpecError
    from graders.models import ConfigError

    def show(done: int, planned: int, found: int) -> None:
        click.echo(f"\r{done:,} of {planned:,} samples, {found:,} paid", nl=False, err=True)

    try:
        with graders.Backends(config=config) as backends:
            found = attack(
                spec_argument(spec), rows, families=families or None, accept=accept, budget=budget, seconds=seconds,
                max_calls=max_calls, start=start, backends=backends,
                on_progress=show if sys.stderr.isatty() and not quiet else None,
            )  # fmt: skip
    except SpecError as error:
        show_problems(error.problems)
        return NOT_MET
    except CannotCheck as error:
        click.echo(f"error: {error}", err=True)
        return BROKEN
    except (ValueError, ConfigError) as error:
        raise click.UsageError(str(error)) from None
    if as_json:
        click.echo(json.dumps(_document(found), indent=2, ensure_ascii=False, default=repr))
    else:
        _text(found)
    if saved:
        lines = (json.dumps(row, ensure_ascii=False, default=repr) for row in found.bad_rows())
        save("".join(f"{line}\n" for line in lines), saved, [rows])
    return NOT_MET if fail_on and found else OK


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
    told = plural(len(found), "exploit") if found else "no exploit"
    said = click.style(told, fg="red" if found else "green", bold=True)
    click.echo(
        f"{said}  {found.n_samples:,} of {plural(found.n_planned, 'sample')} tried", color=colors(sys.stdout)
    )
    if found.skipped_rows:
        names = ", ".join(map(str, found.skipped_rows[:5]))
        click.echo(f"left out, since their gold is paid next to nothing: {names}; `check_reward` says more")
    if found.n_samples < found.n_planned:
        click.echo(f"the budget was spent; --start {found.n_samples} goes on")
