"""Jobs for tests: a server that tunes one model, with a trainer that is a plain Python program."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai

from tests.evals.support import client_of, eval_server
from tests.server.support import RunningServer

STUB = Path(__file__).with_name("stub_trainer.py")
MODEL = "gpt-4o-mini"


def rows(n: int = 10) -> list[dict[str, Any]]:
    """Supervised rows, all different."""
    answer = {"role": "assistant", "content": "a"}
    return [{"messages": [{"role": "user", "content": f"q{i}"}, answer]} for i in range(n)]


def config(*arguments: str, keys: str = "", launcher: Sequence[str] = ()) -> str:
    """graders.toml with the stub as the trainer.

    Args:
        arguments: Of the stub; what it should do.
        keys: More of [tuning].
        launcher: What the command begins with.
    """
    command = json.dumps([*launcher, sys.executable, str(STUB), *arguments])
    return f'[tuning]\ncommand = {command}\n{keys}[tuning.models]\n"{MODEL}" = "model"\n'


@contextmanager
def tuning_server(
    *arguments: str, tuning_keys: str = "", more: str = "", launcher: Sequence[str] = (), **options: Any
) -> Iterator[tuple[RunningServer, openai.OpenAI]]:
    """
    Args:
        tuning_keys: More of [tuning].
        more: Other tables of the configuration.
        launcher: What the trainer's command begins with.
    """
    toml = config(*arguments, keys=tuning_keys, launcher=launcher) + more
    with eval_server(toml, tuning=True, **options) as server:
        yield server, client_of(server)


def upload(client: openai.OpenAI, data: Sequence[Any]) -> str:
    """The id of a training file with these rows."""
    content = "".join(json.dumps(row) + "\n" for row in data).encode()
    return client.files.create(file=("train.jsonl", content), purpose="fine-tune").id


def ended(
    client: openai.OpenAI, job_id: str, *statuses: str, seconds: float = 60, look_s: float = 0.02
) -> Any:
    """The job, once its status is one of these; by default once it has ended.

    Args:
        seconds: To wait at most.
        look_s: Between looks, which take processor time themselves.
    """
    until = time.monotonic() + seconds
    while True:
        job = client.fine_tuning.jobs.retrieve(job_id)
        if job.status in (statuses or ("succeeded", "failed", "cancelled")):
            return job
        assert time.monotonic() < until, f"the job is {job.status}"
        time.sleep(look_s)


def messages(client: openai.OpenAI, job_id: str) -> list[str]:
    """What a job's events say, the oldest first."""
    return [event.message for event in client.fine_tuning.jobs.list_events(job_id)][::-1]
