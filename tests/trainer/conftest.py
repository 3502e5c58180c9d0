"""What the trainer's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainer.support import write_tiny


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny random model."""
    return write_tiny(tmp_path_factory.mktemp("model"))
