"""What the trainer's tests share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.trainer.support import PYTHON, warm_trainer, write_tiny


@pytest.fixture(scope="session", autouse=True)
def libraries() -> Iterator[None]:
    """The process with the trainer's libraries; tests without a trainer are skipped."""
    with warm_trainer() if PYTHON else nullcontext():
        yield


@pytest.fixture(scope="session")
def model(libraries: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny random model."""
    return write_tiny(tmp_path_factory.mktemp("model"))
