"""What keeps the commands of audits from their work, said with the exit code for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from graders.cli import BROKEN, NOT_MET
from graders.cli.shared.common import show_problems


@contextmanager
def refusals() -> Iterator[None]:
    """Within it, a spec that is not valid ends the command with NOT_MET, and a grader that cannot grade with BROKEN.

    Raises:
        click.UsageError: rows, options or the configuration do not fit.
        click.exceptions.Exit: the others, after they were said.
    """
    from graders.bench.bench import CannotCheck
    from graders.errors import ModelStop, SpecError
    from graders.models import ConfigError

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
