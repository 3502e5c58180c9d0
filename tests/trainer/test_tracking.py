"""The W&B block: kept and shown whatever the configuration says, and used only where it says so."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.support import NEEDS_TRAINER, SUPERVISED, trainer_server, warm
from tests.trainer.test_jobs import job_of
from tests.tuning.support import messages

pytestmark = NEEDS_TRAINER

BLOCK: dict[str, Any] = {
    "type": "wandb",
    "wandb": {"project": "graders", "name": "a run", "entity": None, "tags": ["t"]},
}
#: Prints the records of a run's file, each a JSON object. wandb has no reader of its own in Python any more. The file is a
#: log of LevelDB after a header of 7 bytes (github.com/google/leveldb, doc/log_format.md): blocks of 32 KiB with parts of
#: records, each part after its checksum, length and place (1 whole, 2 first, 3 middle, 4 last).
READ = """
import json, struct, sys
from google.protobuf.json_format import MessageToDict
from wandb.proto.wandb_internal_pb2 import Record
data = open(sys.argv[1], "rb").read()
place, content = 7, b""
while place < len(data):
    if (left := 32768 - place % 32768) < 7:  # too few bytes for another part
        place += left
        continue
    _, length, part = struct.unpack_from("<IHB", data, place)
    content += data[place + 7 : place + 7 + length]
    place += 7 + length
    if part in (1, 4):
        print(json.dumps(MessageToDict(Record.FromString(content), preserving_proto_field_name=True)))
        content = b""
"""


@contextmanager
def address() -> Iterator[tuple[str, list[str]]]:
    """Where W&B would send to, and the requests that came there."""
    received: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            received.append(self.path)
            self.send_error(404)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", received
        server.shutdown()


@pytest.fixture(scope="module")
def library() -> None:
    """The trainer's environment has the real library."""
    if subprocess.run(warm("-c", "import wandb"), capture_output=True).returncode:
        pytest.skip("wandb is not installed beside the trainer")


@dataclass(frozen=True)
class TrackedJob:
    """A job with BLOCK.

    Attributes:
        said: Its events about the block.
        requests: Those that came to the address of W&B.
        runs: The records of each run that was kept in the job's folder.
        kept: Whether W&B has a folder there.
    """

    said: list[str]
    requests: list[str]
    runs: list[list[Any]]
    kept: bool


def trained(model: Path, mode: str) -> TrackedJob:
    with address() as (url, requests):
        settings = (f"WANDB_BASE_URL={url}", f"WANDB_API_KEY={'0' * 40}")
        with trainer_server(model, trainer=["env", *settings, *warm()], keys=mode) as (server, client):
            hyperparameters = {"n_epochs": 1, "batch_size": 8}
            job = job_of(client, SUPERVISED, hyperparameters=hyperparameters, seed=1, integrations=[BLOCK])
            assert [one.to_dict() for one in job.integrations] == [BLOCK]
            said = [text for text in messages(client, job.id) if text.startswith("Weights & Biases")]
            folder = server.home / "jobs" / job.id
            runs = [records(path) for path in folder.glob("wandb/offline-run-*/run-*.wandb")]
            return TrackedJob(said, requests, runs, (folder / "wandb").exists())


def records(path: Path) -> list[Any]:
    """The records of a run's file."""
    done = subprocess.run(warm("-c", READ, str(path)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_block_is_kept_and_nothing_is_sent_where_the_configuration_is_silent(
    library: None, model: Path
) -> None:
    found = trained(model, "")

    assert found.said == ["Weights & Biases: nothing is sent; the block is kept as it came."]
    assert (found.requests, found.kept) == ([], False)


def test_an_offline_run_has_the_blocks_names_and_every_step_and_is_not_sent(
    library: None, model: Path
) -> None:
    found = trained(model, 'wandb = "offline"\n')

    assert found.requests == []
    assert "wandb sync" in found.said[0]
    (run,) = found.runs
    (begun,) = [record["run"] for record in run if "run" in record][:1]
    assert (begun["project"], begun["display_name"], begun["tags"]) == ("graders", "a run", ["t"])
    assert begun["run_id"].startswith("ftjob-")
    logged = [
        {
            item.get("key") or ".".join(item["nested_key"]): json.loads(item["value_json"])
            for item in record["history"]["item"]
        }
        for record in run
        if "history" in record
    ]
    assert [step["train/loss"] > 0 for step in logged if "train/loss" in step] == [True, True]
