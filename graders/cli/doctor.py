"""grader doctor: what works on this machine."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

import click

from graders.cli import NOT_MET, OK
from graders.cli.shared.common import colors, config_option, spec_argument

if TYPE_CHECKING:
    from graders.doctor.diagnosis import Diagnosis


@click.command()
@click.argument("specs", nargs=-1, type=click.Path(allow_dash=True))
@click.option(
    "--probe", is_flag=True, help="Ask each judge of the specs (or of graders.toml) one tiny question."
)
@click.option(
    "--warm",
    is_flag=True,
    help="Compile the interpreter of the sandbox tier wasm now, once for this machine.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def command(specs: tuple[str, ...], probe: bool, warm: bool, as_json: bool, config: str | None) -> int:
    """Check what works on this machine: sandbox, libraries, judges.

    With SPECS it also shows the endpoint of each of their judges, and the packages, corpora and files that their
    programs need. Exits 1 when something necessary does not work.

    \b
    grader doctor
    grader doctor grader-examples/helpful.grader.json --probe
    """
    from graders.doctor import judges, machine, programs
    from graders.doctor.diagnosis import named_spec
    from graders.engine.backends import Backends

    # each once: standard input is read for -
    named = [named_spec(spec, partial(spec_argument, spec)) for spec in specs]
    with Backends(config=config) as backends:
        wasm = machine.wasm() if warm else ()
        diagnoses = [
            *machine.python_version(),
            *machine.libraries(),
            *machine.sandbox_tier(backends),
            *wasm,
            *programs.needs(named),
            *judges.judges(backends, named, probe=probe),
        ]
    if as_json:
        click.echo(json.dumps([asdict(diagnosis) for diagnosis in diagnoses], indent=2))
    else:
        _print(diagnoses)
    return NOT_MET if any(diagnosis.ok is False for diagnosis in diagnoses) else OK


_MARKS = {True: ("ok", "green"), False: ("no", "red"), None: ("--", "yellow")}


def _print(diagnoses: list[Diagnosis]) -> None:
    part = ""
    for diagnosis in diagnoses:
        if diagnosis.part != part:
            part = diagnosis.part
            click.echo(click.style(part, bold=True), color=colors(sys.stdout))
        mark, colour = _MARKS[diagnosis.ok]
        click.echo(
            f"  {click.style(mark, fg=colour)}  {diagnosis.name:<24} {diagnosis.text}",
            color=colors(sys.stdout),
        )
