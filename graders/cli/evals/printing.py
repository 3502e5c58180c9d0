"""Output of runs and items on the terminal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from graders.cli import NOT_MET

if TYPE_CHECKING:
    from graders.store import RunRecord, Store

json_option = click.option("--json", "as_json", is_flag=True, help="The service's objects.")
flips_option = click.option(
    "--flips",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    help="Number of items listed for each criterion.",
)
MOST = 1000  # rows read from the store at a time


def print_run(found: RunRecord) -> None:
    from graders.evals.comparison import base_name

    click.echo(f"{found.id}  {found.name}  {counts(found)}".replace("    ", "  "))
    if found.error:
        click.echo(f"  {json.loads(found.error)['message']}")
    for one in found.criteria:
        errors = f", {one.errored} errors" if one.errored else ""
        click.echo(f"  {base_name(one.name)}: {one.passed} passed, {one.failed} failed{errors}")
    for use in found.usage:
        click.echo(f"  {use.role} {use.model}: {use.calls} calls, {use.total_tokens} tokens")


def counts(found: RunRecord) -> str:
    errors = f", {found.errored} errors" if found.errored else ""
    return f"{found.status}: {found.passed} passed, {found.failed} failed{errors} of {found.n_rows or found.done}"


def echo_items(store: Store, found: RunRecord) -> None:
    from graders.evals.wire import item_text

    for item in store.items.each(found.number, found.id):
        click.echo(item_text(item, found.id, found.eval_id))


def unknown(kind: str, object_id: str) -> int:
    click.echo(f"no {kind} {object_id!r} in the store; `grader evals ls` lists them", err=True)
    return NOT_MET
