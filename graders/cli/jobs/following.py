"""grader jobs create, list, show, events, cancel, pause, resume."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import click

from graders.cli import NOT_MET, OK
from graders.cli.jobs.server import JOBS, ApiClient, path_of

LOOK_S = 0.5  # between looks for new events
ENDED = ("succeeded", "failed", "cancelled")

json_option = click.option("--json", "as_json", is_flag=True, help="The service's object.")


@click.command()
@click.argument("body", type=click.File("rb"))
@json_option
def create(body: Any, as_json: bool) -> int:
    """Create the job that BODY describes, and print its id.

    BODY is a JSON file, or - for standard input.
    """
    try:
        wanted = json.load(body)
    except ValueError as error:
        raise click.UsageError(f"BODY is not JSON: {error}") from None
    job = ApiClient().ask(JOBS, wanted)
    click.echo(json.dumps(job) if as_json else job["id"])
    return NOT_MET if job["status"] == "failed" else OK


@click.command(name="list")
@click.option("--metadata", "pairs", multiple=True, metavar="KEY=VALUE", help="Only jobs with this metadata.")
@json_option
def list_jobs(pairs: tuple[str, ...], as_json: bool) -> int:
    """List jobs, the newest first."""
    query = {f"metadata[{key}]": value for key, _, value in (pair.partition("=") for pair in pairs)}
    for job in ApiClient().pages(JOBS, query):
        tuned = job["fine_tuned_model"] or ""
        click.echo(
            json.dumps(job) if as_json else f"{job['id']}  {job['status']}  {job['model']}  {tuned}".rstrip()
        )
    return OK


@click.command()
@click.argument("job_id")
def show(job_id: str) -> int:
    """Show a job."""
    click.echo(json.dumps(ApiClient().ask(path_of(job_id)), indent=2))
    return OK


@click.command()
@click.argument("job_id")
@click.option("-f", "--follow", is_flag=True, help="Follow the job until it ends.")
@json_option
def events(job_id: str, follow: bool, as_json: bool) -> int:
    """Print a job's events, the oldest first. With -f the exit code is 1 when the job did not succeed."""
    api, seen = ApiClient(), set[str]()
    while True:
        status = api.ask(path_of(job_id))["status"]
        for event in reversed(list(_new_events(api, job_id, seen))):
            seen.add(event["id"])
            when = time.strftime("%H:%M:%S", time.localtime(event["created_at"]))
            click.echo(json.dumps(event) if as_json else f"{when} {event['level']}: {event['message']}")
        if not follow or status in ENDED:
            return NOT_MET if follow and status != "succeeded" else OK
        time.sleep(LOOK_S)


def _new_events(api: ApiClient, job_id: str, seen: set[str]) -> Iterator[dict[str, Any]]:
    for event in api.pages(f"{path_of(job_id)}/events", {}):
        if event["id"] in seen:
            return
        yield event


def _act(action: str) -> click.Command:
    @click.argument("job_id")
    def act(job_id: str) -> int:
        job = ApiClient().ask(f"{path_of(job_id)}/{action}", method="POST")
        click.echo(job["status"])
        return OK

    return click.command(name=action, help=f"{action.capitalize()} a job and print its status.")(act)


cancel, pause, resume = (_act(action) for action in ("cancel", "pause", "resume"))
