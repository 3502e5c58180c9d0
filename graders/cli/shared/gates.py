"""Gates on the command line: their options, messages and exit code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from graders.cli import NOT_MET, OK

if TYPE_CHECKING:
    from graders.stats.gates import Gate

Command = TypeVar("Command", bound=Callable[..., Any])

surely_option = click.option(
    "--surely", is_flag=True, help="Require the whole 95 % interval to meet the gate, not only the estimate."
)
inconclusive_option = click.option(
    "--inconclusive",
    type=click.Choice(("fail", "pass")),
    default="fail",
    show_default=True,
    help="Whether a gate that the rows cannot decide counts as failed or passed.",
)
pass_threshold_option = click.option(
    "--pass-threshold",
    type=float,
    metavar="X",
    help="The lowest reward that passes; default: the spec's pass_threshold, or 1 for graders that give only 0 and 1.",
)

_MEAN_OPTIONS = (
    click.option(
        "--fail-under",
        type=float,
        metavar="X",
        help="Exit 1 unless the mean reward is at least X. Failed rows count with the lowest reward, unless "
        "--min-coverage is given.",
    ),
    surely_option,
    click.option(
        "--min-coverage",
        type=click.FloatRange(0, 1),
        metavar="X",
        help="Exit 1 if less than this fraction of the rows was scored.",
    ),
    inconclusive_option,
    pass_threshold_option,
)


def gate_options(command: Command) -> Command:
    """--fail-under, --surely, --min-coverage, --inconclusive and --pass-threshold."""
    for option in reversed(_MEAN_OPTIONS):
        command = option(command)
    return command


def print_unmet(gates: Sequence[Gate]) -> None:
    """Print a line on stderr for each gate that is not met."""
    for gate in gates:
        if not gate.met:
            click.echo(f"gate {gate.verdict}: {gate.name} {gate.text}", err=True)


def exit_code(gates: Sequence[Gate], inconclusive: Literal["pass", "fail"]) -> int:
    """0 where all gates pass, else 1."""
    from graders.stats.gates import all_pass

    return OK if all_pass(gates, inconclusive=inconclusive) else NOT_MET
