"""The examples of a reference page on fine-tuning, run as they stand by the official Node client: base_url alone is changed.

REFERENCE_PAGES names a folder with `fine-tuning.md`. Its blocks of TypeScript are the programs, its blocks of JSONL the rows,
and the ids that its programs name are laid beforehand. Waits of five seconds and more between their looks are cut short.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import openai
import pytest

from graders.store.tables import files
from graders.tuning import service
from tests.server.test_official_clients import install
from tests.tuning.support import MODEL, ended, rows, tuning_server, upload

PAGES = os.environ.get("REFERENCE_PAGES")
BLOCK = re.compile(r"^##+ ([^\n]+)$|^```(typescript|jsonl)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEAD = "import OpenAI from 'openai';\nconst client = new OpenAI();\n"
TIMERS = """
const wait = globalThis.setTimeout;
globalThis.setTimeout = (call, ms, ...rest) => wait(call, ms >= 5000 && ms <= 60000 ? 20 : ms, ...rest);
"""


@dataclass(frozen=True)
class Example:
    """What a program has to print, in this order, and what is put around the parts that only define functions."""

    said: tuple[str, ...] = ()
    before: str = ""
    after: str = ""


EXAMPLES = {
    "Creating a Fine-Tuning Job (Supervised)": Example(("Status: queued", f"Model: {MODEL}")),
    "Creating a DPO Fine-Tuning Job": Example(("DPO Job: ftjob-",)),
    "Creating a Reinforcement Learning Fine-Tuning Job": Example(("RL Job: ftjob-",)),
    "Retrieving Job Details": Example(("Job Status: succeeded", f"Model: ft:{MODEL}:", "Trained Tokens: 60")),
    "Monitoring Job Progress with Events": Example(("successfully completed", "Metrics:", "Retrieved 10 events")),
    "Working with Checkpoints": Example(("Step: 6", "Step: 2", "Best checkpoint by validation loss: ftckpt_")),
    "Listing Fine-Tuning Jobs": Example(("ft-123: succeeded", "Active jobs:")),
    "Controlling Job Execution": Example(("Job paused: paused", "Job resumed: queued", "Job cancelled: cancelled")),
    "Data Preparation Best Practices": Example(
        ("true file-",),
        after="""
            fs.writeFileSync('rows.csv', 'prompt,completion\\nq,a\\nr,b\\n');
            csvToJsonl('rows.csv');
            console.log(validateJsonl('training_data.jsonl'), await uploadTrainingFile(client, 'training_data.jsonl'));
        """,
    ),
    "Hyperparameter Tuning Workflow": Example(
        ("conservative job succeeded: ft:", "aggressive job succeeded: ft:"),
        after="await tuneFinetuningModel(client, 'file-train-123', 'file-val-456');",
    ),
    "Using Metadata for Job Organization": Example(("- customer-support",)),
    "Weights and Biases Integration": Example(("Monitor at",), after="console.log(job.integrations[0].wandb.name);"),
    "Reproducible Training": Example(("42 42",), after="console.log(job1.seed, job2.seed);"),
    "Validation File Usage": Example(("file-val-456",), after="console.log(job.validation_file);"),
    "Checkpoint-Based Model Selection": Example(
        ("Best checkpoint at step 6", "ckpt-step-6: Hello"), after="console.log(completion.choices[0].message.content);"
    ),
    "Long-Running Job Polling": Example(("Job completed with status: succeeded",)),
    "Bulk Job Monitoring": Example(("ft-123: succeeded", "ft-789: succeeded", "All jobs completed!")),
    "Error Handling": Example(
        ("Invalid request:",), "const jobId = 'ft-123';", "await createJobWithErrorHandling(client, 'file-none');"
    ),
}  # fmt: skip
#: Parts of a request, no programs.
FRAGMENTS = {"Batch Size", "Learning Rate Multiplier", "Number of Epochs", "DPO-Specific: Beta Parameter"}
ROWS = {
    "Supervised Training - Chat Format": ("file-abc123", "file-123", "file-train-123"),
    "Supervised Training - Completions Format": ("file-completions",),
    "DPO Training - Preference Format": ("file-dpo-pairs-123",),
    "Reinforcement Learning Format": ("file-rl-data-123",),
}
JOBS = ("ft-AF1WoRqd3aJAHsqc9NY7iL8F", "ft-123", "ft-456", "ft-789")


def blocks(page: str) -> Iterator[tuple[str, str, str]]:
    """Heading, language and text of each block, in the order of the page."""
    heading = ""
    for found in BLOCK.finditer(page):
        heading = found[1] or heading
        if found[2]:
            yield heading, found[2], found[3]


class FixedIds:
    """Files and jobs with ids that are given."""

    def __init__(self, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
        self._client = client
        self._monkeypatch = monkeypatch

    def file(self, file_id: str, content: list[object]) -> None:
        with self._monkeypatch.context() as patch:
            patch.setattr(files, "base62_id", lambda *_: file_id)
            assert upload(self._client, content) == file_id

    def job(self, job_id: str) -> None:
        with self._monkeypatch.context() as patch:
            patch.setattr(service, "base62_id", lambda *_: job_id)
            made = self._client.fine_tuning.jobs.create(
                model=MODEL, training_file="file-train-123", validation_file="file-val-456"
            )
        assert made.id == job_id


@pytest.mark.slow
@pytest.mark.skipif(not PAGES, reason="REFERENCE_PAGES names no folder with fine-tuning.md")
@pytest.mark.skipif(not shutil.which("npm"), reason="there is no npm")
@pytest.mark.parametrize("version", ["6.9.1", "latest"])
def test_the_examples_of_the_page_run_as_they_stand(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert PAGES
    found = list(blocks((Path(PAGES) / "fine-tuning.md").read_text(encoding="utf-8")))
    programs = {heading: text for heading, language, text in found if language == "typescript"}
    data = {heading: text for heading, language, text in found if language == "jsonl"}
    assert (set(programs), set(data)) == ({*EXAMPLES, *FRAGMENTS}, set(ROWS))
    run_in(tmp_path, version)
    with tuning_server("train") as (server, client), tuning_server("wait") as (waiting, waiting_client):
        laid = FixedIds(client, monkeypatch)
        for heading, file_ids in ROWS.items():
            for file_id in file_ids:
                # the service demands ten
                laid.file(file_id, [json.loads(line) for line in data[heading].splitlines()] * 5)
        laid.file("file-val-456", list(rows()))
        held = FixedIds(waiting_client, monkeypatch)
        held.file("file-train-123", list(rows()))
        held.file("file-val-456", list(rows(3)))
        held.job(JOBS[0])
        for job_id in JOBS:
            laid.job(job_id)
            assert ended(client, job_id).status == "succeeded"
        completions = client.fine_tuning.jobs.create(model=MODEL, training_file="file-completions")
        for heading, example in EXAMPLES.items():
            url = waiting.url if heading == "Controlling Job Execution" else server.url
            said = output_of(programs[heading], example, tmp_path, f"{url}/v1")
            at = 0
            for text in example.said:
                assert text in said[at:], f"{heading}: no {text!r} in {said}"
                at = said.index(text, at)
        assert ended(client, completions.id).status == "succeeded"
        statuses = [ended(client, job.id).status for job in client.fine_tuning.jobs.list()]
        assert set(statuses) == {"succeeded"}


def run_in(folder: Path, version: str) -> None:
    """Install the client, and what takes the types out of TypeScript."""
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    (folder / "timers.mjs").write_text(TIMERS)
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock"]
    install([*command, f"openai@{version}", "esbuild"], "the npm client", cwd=folder)


def output_of(program: str, example: Example, folder: Path, base_url: str) -> str:
    head = "" if "new OpenAI(" in program else HEAD
    (folder / "example.ts").write_text("\n".join((head, example.before, program, example.after)))
    strip = [
        "node_modules/.bin/esbuild",
        "example.ts",
        "--outfile=example.mjs",
        "--format=esm",
        "--log-level=warning",
    ]
    subprocess.run(strip, cwd=folder, check=True, timeout=60)
    environment = {**os.environ, "OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": "none"}
    command = ["node", "--import", "./timers.mjs", "example.mjs"]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
