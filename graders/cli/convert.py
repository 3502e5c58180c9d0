"""grader convert: graders in other documents."""

from __future__ import annotations

import json

import click

from graders.cli import NOT_MET, OK
from graders.cli.shared.common import show_problems, spec_argument


@click.command()
@click.argument("document", type=click.Path(allow_dash=True))
@click.option(
    "--to",
    type=click.Choice(("local", "hosted", "rft", "evals", "promptfoo", "eval-protocol")),
    default="local",
    show_default=True,
    help="The form to write.",
)
def command(document: str, to: str) -> int:
    """Extract graders from a document, or convert them.

    Reads grader specs, fine-tuning jobs (method.reinforcement.grader), evals (testing_criteria, also lists of
    them), requests of the run endpoint and promptfoo configurations, in JSON or YAML, and .py files that define
    grade(sample, item). The result goes to stdout; parts without an equivalent are listed on stderr.

    \b
    grader convert job.json > spec.json
    grader convert grade.py > spec.json
    grader convert spec.json --to evals
    """
    from graders.documents.convert import convert
    from graders.errors import SpecError

    try:
        converted = convert(spec_argument(document), to)
    except SpecError as error:
        show_problems(error.problems)
        return NOT_MET
    if isinstance(converted.document, str):
        click.echo(converted.document, nl=False)
    else:
        click.echo(json.dumps(converted.document, indent=2, ensure_ascii=False))
    for sentence in converted.lost:
        click.echo(f"not carried over: {sentence}", err=True)
    return OK
