"""grader evals ls, show, rm."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

from graders.cli import NOT_MET, OK
from graders.cli.evals.printing import MOST, counts, echo_items, json_option, print_run, unknown
from graders.cli.shared.common import open_store

if TYPE_CHECKING:
    from graders.store import Store


@click.command()
@click.argument("eval_id", required=False)
@json_option
def ls(eval_id: str | None, as_json: bool) -> int:
    """List evals, or the runs of one, the newest first."""
    from graders.evals.wire import eval_text, run_text
    from graders.store import Cursor

    cursor = Cursor(MOST, descending=True)
    with open_store() as store:
        if eval_id is None:
            for record in store.evals.page(cursor).rows:
                last = store.runs.page(record.id, Cursor(1, descending=True)).rows
                line = f"{record.id}  {record.name}  {counts(last[0]) if last else 'no runs'}"
                click.echo(eval_text(record) if as_json else line)
            return OK
        if store.evals.get(eval_id) is None:
            return unknown("eval", eval_id)
        for run in store.runs.page(eval_id, cursor).rows:
            click.echo(run_text(run, "") if as_json else f"{run.id}  {run.name}  {counts(run)}")
    return OK


@click.command()
@click.argument("object_id")
@click.option("--items", is_flag=True, help="Print a run's output items, a line of JSON each.")
@json_option
def show(object_id: str, items: bool, as_json: bool) -> int:
    """Show an eval or a run."""
    from graders.evals.wire import eval_text, run_text

    with open_store() as store:
        record, run = store.evals.get(object_id), store.runs.get(object_id)
        if run is not None and items:
            echo_items(store, run)
        elif run is not None:
            if as_json:
                click.echo(json.dumps(json.loads(run_text(run, "")), indent=2))
            else:
                print_run(run)
        elif record is not None:
            click.echo(json.dumps(json.loads(eval_text(record)), indent=2))
        else:
            return unknown("eval or run", object_id)
    return OK


@click.command()
@click.argument("object_ids", nargs=-1)
@click.option(
    "--older-than",
    "days",
    type=click.FloatRange(min=0),
    metavar="DAYS",
    help="Delete all runs that ended more than DAYS days ago.",
)
def rm(object_ids: tuple[str, ...], days: float | None) -> int:
    """Delete evals with their runs, or runs with their items. Runs in progress are cancelled."""
    if not object_ids and days is None:
        raise click.UsageError("name evals or runs, or give --older-than DAYS")
    with open_store() as store:
        if days is not None:
            deleted = store.runs.delete_older(int(time.time() - days * 86400))
            click.echo(f"deleted {deleted} runs", err=True)
        missing = [one for one in object_ids if not _delete(store, one)]
    for object_id in missing:
        unknown("eval or run", object_id)
    return NOT_MET if missing else OK


def _delete(store: Store, object_id: str) -> bool:
    found = store.runs.get(object_id)
    if found is not None:
        return store.runs.delete(object_id, found.eval_id)
    return store.evals.delete(object_id)
