"""grader evals pull, import, export."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from graders.cli import BROKEN, NOT_MET, OK
from graders.cli.evals.printing import unknown
from graders.cli.shared.common import open_store

if TYPE_CHECKING:
    from graders.store import RunRecord, Store

BLOCK_BYTES = 1024**2


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--base-url", default="https://api.openai.com/v1", show_default=True)
@click.option(
    "--key-env", default="OPENAI_API_KEY", show_default=True, help="The variable that holds the key."
)
@click.option("--azure", is_flag=True, help="Send the key as Azure expects it; --base-url is .../openai/v1.")
@click.option("--api-version", default="", help="Azure's API version, if its address needs one.")
def pull(folder: Path, base_url: str, key_env: str, azure: bool, api_version: str) -> int:
    """Fetch all evals of an account into FOLDER.

    FOLDER gets their runs, output items and files too. Run it again to continue after an interruption. `grader
    evals import FOLDER` imports it into the store.
    """
    from graders.evals.exchange.pull import AccountClient, PullError
    from graders.evals.exchange.pull import pull as fetch

    account = AccountClient(base_url, os.environ.get(key_env, ""), azure=azure, api_version=api_version)
    try:
        new = fetch(account, folder, lambda line: click.echo(line, err=True))
    except PullError as error:
        click.echo(f"{error}. What has come is in {folder}; run it again to go on", err=True)
        return BROKEN
    finally:
        account.close()
    click.echo(", ".join(f"{count} {name}" for name, count in new.items()))
    return OK


@click.command("import")
@click.argument("paths", type=click.Path(exists=True, path_type=Path), nargs=-1, required=True)
@click.option(
    "--name",
    help="Name of the eval of an export, or of the run of results; default: the file's name.",
)
def import_(paths: tuple[Path, ...], name: str | None) -> int:
    """Import evals into the store.

    PATHS are a dashboard's export (eval_items_*.jsonl), results of `grader batch`, or a folder of `pull`.
    Existing objects do not change. Import again after an interruption: runs that are still "importing" start
    over.
    """
    from graders.evals.exchange.imported import ExchangeError
    from graders.evals.exchange.importing import import_lines

    with open_store() as store:
        for path in paths:
            _import_files(store, path / "files")
            # an eval's file stands before those of its runs
            files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
            try:
                lines = chain.from_iterable(map(_lines, files))
                found = import_lines(store, lines, name or path.stem, _content_hash(files))
            except (ExchangeError, OSError) as error:
                click.echo(f"{path}: {error}", err=True)
                return NOT_MET
            known = f", {found.known} runs were there already" if found.known else ""
            click.echo(f"{path}: {found.evals} evals, {found.runs} runs, {found.items} items{known}")
    return OK


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file


def _content_hash(paths: Sequence[Path]) -> str | None:
    """SHA-256 of what the files hold, one after the other; None where one is a pipe, which can be read only once."""
    if not all(path.is_file() for path in paths):
        return None
    found = sha256()
    for path in paths:
        with path.open("rb") as file:
            while part := file.read(BLOCK_BYTES):
                found.update(part)
    return found.hexdigest()


def _import_files(store: Store, folder: Path) -> None:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if store.files.get(path.name) is None:
            with path.open("rb") as file:
                store.files.add_from(file, purpose="evals", filename=f"{path.name}.jsonl", file_id=path.name)


@click.command("import-logs")
@click.argument(
    "paths", type=click.Path(exists=True, dir_okay=False, path_type=Path), nargs=-1, required=True
)
def import_logs(paths: tuple[Path, ...]) -> int:
    """Import logged requests and answers into the store.

    Evals of type `logs` read them. JSON lines: {"request": ..., "response": ...} of chat completions or responses, LiteLLM's logging payloads, or
    OpenTelemetry's spans for generative AI.
    """
    from graders.evals.exchange.log_forms import LogError, read_logs

    with open_store() as store:
        for path in paths:
            try:
                added = store.completions.add(read_logs(_lines(path)))
            except LogError as error:
                click.echo(f"{path}: {error}; nothing of it was imported", err=True)
                return NOT_MET
            click.echo(f"{path}: {added} new completions")
    return OK


@click.command()
@click.argument("run_id")
@click.option(
    "--format",
    "format_",
    type=click.Choice(("eval_items", "objects", "results")),
    default="eval_items",
    show_default=True,
    help="The dashboard's export, which promptfoo imports; the API's objects; or a results file, for `grader report`.",
)
@click.option("--criterion", metavar="NAME", help="The criterion of a results file; default: the only one.")
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="Default: standard output.")
def export(run_id: str, format_: str, criterion: str | None, output: str | None) -> int:
    """Write a run's items as JSON lines."""
    from graders.evals.exchange.imported import ExchangeError

    with open_store() as store:
        run = store.runs.get(run_id)
        if run is None:
            return unknown("run", run_id)
        lines = (f"{line}\n" for line in _exported(store, run, format_, criterion))
        try:
            if output is None:
                sys.stdout.writelines(lines)
            else:
                with open(output, "w", encoding="utf-8") as file:
                    file.writelines(lines)
        except ExchangeError as error:
            click.echo(str(error), err=True)
            return NOT_MET
    return OK


def _exported(store: Store, run: RunRecord, format_: str, criterion: str | None) -> Iterator[str]:
    if format_ == "results":
        from graders.evals.exchange.batch_results import exported_results

        return exported_results(store, run, criterion)
    if format_ == "objects":
        from graders.evals.exchange.objects import exported_objects

        return exported_objects(store, run)
    from graders.evals.exchange.dashboard import exported_rows

    return exported_rows(store, run)
