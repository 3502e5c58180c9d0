"""Evals for tests: a server with a store, the official client, and specs that are about one thing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import openai

from graders.ask import SampleAsk
from graders.engine.backends import Backends
from graders.sampling import SampleClient, ScriptedSampler
from graders.store import Store
from tests.server.support import RunningServer, load_config_of, serving

#: What a model answers: a text, a completion, or the error to raise; plain or async.
Script: TypeAlias = Callable[[SampleAsk], Any]
ENDED = ("completed", "failed", "canceled")


@contextmanager
def eval_server(
    config: str = "",
    script: Script | None = None,
    judge: Any = None,
    sampler: SampleClient | None = None,
    **options: Any,
) -> Iterator[RunningServer]:
    """A server with a store of its own, whose runs it executes.

    Args:
        script: What models answer; None: what `sampler` does, or the configuration says.
        judge: Who answers judges' questions.
    """
    sampler = sampler if script is None else ScriptedSampler(script)
    with (
        TemporaryDirectory() as home,
        Store(Path(home)) as store,
        Backends(config=load_config_of(config), sampler=sampler, models=judge) as backends,
        serving(backends, store=store, **options) as running,
    ):
        running.home = Path(home)
        yield running


def client_of(server: RunningServer, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", max_retries=0, **{"api_key": "none", **options})


# The client's types name each key of these; here they are the JSON that goes out, whatever a client knows.


def equals(reference: str = "{{item.answer}}", operation: str = "eq", **fields: Any) -> Any:
    """A criterion that compares the sample's text."""
    criterion = {
        "type": "string_check",
        "name": "equal",
        "operation": operation,
        "input": "{{sample.output_text}}",
    }
    return {**criterion, "reference": reference, **fields}


def custom(*required: str, sample: bool = True) -> Any:
    """A data source config of items with these texts."""
    properties = {name: {"type": "string"} for name in required}
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return {"type": "custom", "item_schema": schema, "include_sample_schema": sample}


def rows(*content: dict[str, Any], kind: str = "jsonl") -> Any:
    """A data source of these rows."""
    return {"type": kind, "source": {"type": "file_content", "content": list(content)}}


def ended(client: openai.OpenAI, run: Any, seconds: float = 60) -> Any:
    """The run, once it has ended."""
    until = time.monotonic() + seconds
    while run.status not in ENDED:
        assert time.monotonic() < until, f"the run is still {run.status}"
        time.sleep(0.02)
        run = client.evals.runs.retrieve(run.id, eval_id=run.eval_id)
    return run


def items(client: openai.OpenAI, run: Any, **query: Any) -> list[Any]:
    return list(client.evals.runs.output_items.list(run.id, eval_id=run.eval_id, **query))


def sampled(*content: dict[str, Any], kind: str = "completions", **fields: Any) -> Any:
    """A data source that asks a model for each row's question."""
    template = [{"role": "user", "content": "{{item.question}}"}]
    prompt = {"type": "template", "template": template}
    return {**rows(*content, kind=kind), "model": "m", "input_messages": prompt, **fields}


def run_of(client: openai.OpenAI, criteria: list[Any], source: Any, config: Any = None) -> Any:
    """A run that has ended."""
    made = client.evals.create(data_source_config=config or custom("answer"), testing_criteria=criteria)
    return ended(client, client.evals.runs.create(made.id, data_source=source))


def counts(run: Any) -> tuple[int, int, int, int]:
    """total, passed, failed, errored"""
    found = run.result_counts
    return found.total, found.passed, found.failed, found.errored
