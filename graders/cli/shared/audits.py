"""Helpers of the audit commands: their rows, exit codes and output."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from graders.cli import BROKEN, NOT_MET
from graders.cli.shared.common import save, show_problems

if TYPE_CHECKING:
    from graders.engine.grader import Grader
    from graders.report.binding import Binding

rows_argument = click.argument("rows", type=click.Path(exists=True, dir_okay=False))
claims_option = click.option(
    "--claims", metavar="FILE", help="Write the result to FILE, for `grader report --claims FILE`."
)


@contextmanager
def refusals() -> Iterator[None]:
    """A context in which an invalid spec ends the command with NOT_MET, and a grader that cannot grade with BROKEN.

    Raises:
        click.UsageError: rows, options or the configuration are not valid.
        click.exceptions.Exit: other errors, after they were printed.
    """
    from graders.errors import ModelStop, SpecError
    from graders.models import ConfigError
    from graders.session.findings import CannotCheck

    try:
        yield
    except SpecError as error:
        show_problems(error.problems)
        raise click.exceptions.Exit(NOT_MET) from None
    except (CannotCheck, ModelStop) as error:
        click.echo(f"error: {error}", err=True)
        raise click.exceptions.Exit(BROKEN) from None
    except (ValueError, ConfigError) as error:
        raise click.UsageError(str(error)) from None


def echo_json(document: Any) -> None:
    """Print findings; samples may be values without a JSON form."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False, default=repr))


def save_rows(rows: Iterable[Any], path: str, source: str) -> None:
    """Write rows of reward checks as JSONL, never over their source."""
    save(
        "".join(f"{json.dumps(row, ensure_ascii=False, default=repr)}\n" for row in rows),
        path,
        [source],
    )


def bound_to(grader: Grader) -> Binding:
    """The binding of a claim about a grader."""
    from graders.report.binding import binding

    return binding(grader.spec, grader.identity.provenance)


def claim(path: str, name: str, text: str, bound: Binding, **figures: Any) -> None:
    """Write a command's claim to a claims file; see `graders.report.claims`.

    Raises:
        click.UsageError: the file cannot be written.
    """
    from graders.report.claims import write_claim

    try:
        write_claim(path, name, text, bound, **figures)
    except OSError as error:
        raise click.UsageError(f"cannot write {path}: {error.strerror}") from None
