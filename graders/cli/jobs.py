"""grader jobs: fine-tuning jobs of a server that tunes, over HTTP."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

import click

from graders.cli import BROKEN, NOT_MET, OK

DEFAULT_URL = "http://127.0.0.1:8321/v1"
JOBS = "/fine_tuning/jobs"
LOOK_S = 0.5  # between looks for new events
ENDED = ("succeeded", "failed", "cancelled")


class Api:
    """The server that OPENAI_BASE_URL names, asked with OPENAI_API_KEY."""

    def __init__(self) -> None:
        self._url = (os.environ.get("OPENAI_BASE_URL") or DEFAULT_URL).rstrip("/")
        self._key = os.environ.get("OPENAI_API_KEY") or "none"

    def ask(self, path: str, body: Any = None, *, method: str | None = None) -> Any:
        """The JSON answer.

        Raises:
            click.ClickException: the server refuses, or cannot be reached.
        """
        headers = {"authorization": f"Bearer {self._key}", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=300) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise _Refused(_said(error.read()) or f"the server answers {error.code}") from None
        except (OSError, ValueError) as error:
            raise _Unreachable(
                f"{self._url} cannot be asked: {error}; `grader serve --tuning` starts a server, and OPENAI_BASE_URL names "
                "another one"
            ) from None

    def pages(self, path: str, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Every object of a list."""
        after: dict[str, str] = {}
        while True:
            page = self.ask(f"{path}?{urllib.parse.urlencode({**query, **after, 'limit': '100'})}")
            yield from page["data"]
            if not page["has_more"] or not page["data"]:
                return
            after = {"after": page["data"][-1]["id"]}


class _Refused(click.ClickException):
    exit_code = NOT_MET


class _Unreachable(click.ClickException):
    exit_code = BROKEN


def _said(content: bytes) -> str:
    try:
        return str(json.loads(content)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return ""


def _path(job_id: str) -> str:
    return f"{JOBS}/{urllib.parse.quote(job_id, safe='')}"


@click.group()
def command() -> None:
    """Make and look after fine-tuning jobs of a server (OPENAI_BASE_URL; default: this machine's).

    \b
    grader serve --tuning
    grader check job.json train.jsonl
    grader jobs create job.json
    grader jobs events -f ftjob-...
    """


json_option = click.option("--json", "as_json", is_flag=True, help="The service's object.")


@command.command()
@click.argument("body", type=click.File("rb"))
@json_option
def create(body: Any, as_json: bool) -> int:
    """Create the job that BODY describes, a JSON file or - for standard input, and print its id."""
    try:
        wanted = json.load(body)
    except ValueError as error:
        raise click.UsageError(f"BODY is not JSON: {error}") from None
    job = Api().ask(JOBS, wanted)
    click.echo(json.dumps(job) if as_json else job["id"])
    return NOT_MET if job["status"] == "failed" else OK


@command.command(name="list")
@click.option("--metadata", "pairs", multiple=True, metavar="KEY=VALUE", help="Jobs with this metadata only.")
@json_option
def list_jobs(pairs: tuple[str, ...], as_json: bool) -> int:
    """List jobs, the newest first."""
    query = {f"metadata[{key}]": value for key, _, value in (pair.partition("=") for pair in pairs)}
    for job in Api().pages(JOBS, query):
        tuned = job["fine_tuned_model"] or ""
        click.echo(
            json.dumps(job) if as_json else f"{job['id']}  {job['status']}  {job['model']}  {tuned}".rstrip()
        )
    return OK


@command.command()
@click.argument("job_id")
def show(job_id: str) -> int:
    """Show a job."""
    click.echo(json.dumps(Api().ask(_path(job_id)), indent=2))
    return OK


@command.command()
@click.argument("job_id")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job has ended.")
@json_option
def events(job_id: str, follow: bool, as_json: bool) -> int:
    """Print a job's events, the oldest first. With -f the exit code is 1 when the job did not succeed."""
    api, seen = Api(), set[str]()
    while True:
        status = api.ask(_path(job_id))["status"]
        for event in reversed(list(_unseen(api, job_id, seen))):
            seen.add(event["id"])
            when = time.strftime("%H:%M:%S", time.localtime(event["created_at"]))
            click.echo(json.dumps(event) if as_json else f"{when} {event['level']}: {event['message']}")
        if not follow or status in ENDED:
            return NOT_MET if follow and status != "succeeded" else OK
        time.sleep(LOOK_S)


def _unseen(api: Api, job_id: str, seen: set[str]) -> Iterator[dict[str, Any]]:
    for event in api.pages(f"{_path(job_id)}/events", {}):
        if event["id"] in seen:
            return
        yield event


def _act(action: str) -> click.Command:
    @click.argument("job_id")
    def act(job_id: str) -> int:
        job = Api().ask(f"{_path(job_id)}/{action}", method="POST")
        click.echo(job["status"])
        return OK

    return command.command(name=action, help=f"{action.capitalize()} a job and print its status.")(act)


for action in ("cancel", "pause", "resume"):
    _act(action)
