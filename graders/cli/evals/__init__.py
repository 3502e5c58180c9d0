"""grader evals: the store's evals and runs, with or without a server."""

from __future__ import annotations

import click

from graders.cli.evals.comparing import compare
from graders.cli.evals.listing import ls, rm, show
from graders.cli.evals.moving import export, import_, import_logs, pull
from graders.cli.evals.running import regrade, run, wait


@click.group()
def command() -> None:
    """Run, show and compare evals of the store (GRADERS_HOME).

    \b
    grader evals run eval.json rows.jsonl                 grade the samples in rows.jsonl
    grader evals run eval.json rows.jsonl --model o3 --prompt prompt.json
    grader evals ls
    grader evals compare evalrun_A evalrun_B
    """


for subcommand in (run, wait, ls, show, compare, regrade, rm, pull, import_, import_logs, export):
    command.add_command(subcommand)
