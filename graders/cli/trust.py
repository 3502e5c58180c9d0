"""grader trust: which graders.toml files may set what a stranger's must not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from graders.cli import NOT_MET, OK

if TYPE_CHECKING:
    from graders.config.files import ConfigFile


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--revoke", is_flag=True, help="Forget the trust in FILE.")
@click.option(
    "--list", "list_", is_flag=True, help="Print the trusted files, and those that have changed since."
)
def command(file: Path | None, revoke: bool, list_: bool) -> int:
    """Trust a graders.toml that is found and not named by --config.

    A graders.toml found upward from the working directory may set only harmless options, since it may have come
    with a foreign repository. Keys, headers, recordings, addresses beyond this machine, `unsandboxed` and weaker
    limits of the sandbox need your trust, which holds for the file's present content. FILE defaults to the one
    found from here. Exits 1 when there is nothing to trust or to revoke.

    \b
    grader trust
    grader trust --list
    grader trust --revoke path/to/graders.toml
    """
    from graders.config import files, trust

    if list_:
        for path, digest in trust.trusted_files():
            click.echo(f"{path}{_state(path, digest)}")
        return OK
    if revoke:
        path = file or Path.cwd() / files.FILE_NAME
        revoked = trust.revoke(path)
        click.echo(f"{path}: {'no longer trusted' if revoked else 'was not trusted'}", err=True)
        return OK if revoked else NOT_MET
    try:
        found = files.read_file(file) if file else files.find_file(Path.cwd())
    except files.NotUsable as error:
        raise click.UsageError(str(error)) from None
    if found is None:
        click.echo(f"no {files.FILE_NAME} from here up to the repository's root; name the file", err=True)
        return NOT_MET
    settings = _settings(found)
    trust.trust(found)
    click.echo(f"trusted {found.path} as it is now; it sets", err=True)
    for setting in settings or ["only what needs no trust"]:
        click.echo(f"  {setting}", err=True)
    return OK


def _settings(file: ConfigFile) -> list[str]:
    """The settings of the file that need trust.

    Raises:
        click.UsageError: it is not a configuration.
    """
    from graders.config.config import ConfigError, config_of
    from graders.config.harmless import settings_that_need_trust

    try:
        return settings_that_need_trust(config_of(file).tables)
    except ConfigError as error:
        raise click.UsageError(str(error)) from None


def _state(path: Path, digest: str) -> str:
    from graders.config import files

    try:
        return "" if files.read_file(path).digest == digest else "  (changed since, so not used)"
    except files.NotUsable:
        return "  (cannot be read)"
