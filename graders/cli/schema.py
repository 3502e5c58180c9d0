"""grader schema: the JSON Schema of specs."""

from __future__ import annotations

import json

import click

from graders.cli import OK


@click.command()
def command() -> int:
    """Print the JSON Schema of specs, for editors and validators.

    Save it and name it in a spec's "$schema" key, or map it to *.grader.json in the editor's settings.

    \b
    grader schema > grader.schema.json
    """
    from graders.kinds.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    return OK
