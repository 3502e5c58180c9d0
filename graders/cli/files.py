"""grader files: the store's files, also beside a server that uses them."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from graders.cli import BROKEN, NOT_MET, OK
from graders.cli.shared.common import open_store

if TYPE_CHECKING:
    from graders.store import FileRecord, Store

BLOCK_BYTES = 1024**2


@click.group()
def command() -> None:
    """Upload, list, read and delete files of the store (GRADERS_HOME).

    \b
    grader files add rows.jsonl
    grader files ls
    """


@command.command()
@click.option("--purpose", help="Only files uploaded for this purpose.")
@click.option("--json", "as_json", is_flag=True, help="The service's objects, a line each.")
def ls(purpose: str | None, as_json: bool) -> int:
    """List files, the newest first."""
    from graders.store import Cursor

    with open_store() as store:
        for record in store.files.page(Cursor(10_000, descending=True), purpose).rows:
            _print(record, as_json)
    return OK


@command.command()
@click.argument("path", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--purpose", default="evals", show_default=True)
@click.option("--name", help="Its name; default: PATH's last part.")
@click.option("--json", "as_json", is_flag=True, help="The service's object.")
def add(path: str, purpose: str, name: str | None, as_json: bool) -> int:
    """Upload the file PATH, or standard input for -, and print its id."""
    with open_store() as store, click.open_file(path, "rb") as file:
        try:
            record = store.files.add_from(
                file, purpose=purpose, filename=name or ("stdin" if path == "-" else path)
            )
        except OSError as error:
            click.echo(f"{path!r} cannot be kept: {error.strerror or error}", err=True)
            return BROKEN
        click.echo(json.dumps(record.to_wire()) if as_json else record.id)
    return OK


@command.command()
@click.argument("file_id")
def show(file_id: str) -> int:
    """Describe a file."""
    with open_store() as store:
        record = _found(store, file_id)
        if record is None:
            return NOT_MET
        click.echo(json.dumps(record.to_wire(), indent=2))
    return OK


@command.command()
@click.argument("file_id")
def cat(file_id: str) -> int:
    """Write a file's content to standard output."""
    with open_store() as store:
        record = _found(store, file_id)
        if record is None:
            return NOT_MET
        with store.files.path(record).open("rb") as file:
            while part := file.read(BLOCK_BYTES):
                sys.stdout.buffer.write(part)
    return OK


@command.command()
@click.argument("file_ids", nargs=-1, required=True)
def rm(file_ids: tuple[str, ...]) -> int:
    """Delete files."""
    with open_store() as store:
        unknown = [file_id for file_id in file_ids if not store.files.delete(file_id)]
    for file_id in unknown:
        click.echo(f"no file {file_id!r} in the store", err=True)
    return NOT_MET if unknown else OK


def _found(store: Store, file_id: str) -> FileRecord | None:
    record = store.files.get(file_id)
    if record is None:
        click.echo(f"no file {file_id!r} in the store; `grader files ls` lists them", err=True)
    return record


def _print(record: FileRecord, as_json: bool) -> None:
    if as_json:
        click.echo(record.to_text())
    else:
        click.echo(f"{record.id}  {record.purpose:<12} {record.bytes:>12}  {record.filename}")
