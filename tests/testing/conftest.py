from __future__ import annotations

import pytest

from tests.testing.support import fill


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A folder with exact.json, rows.jsonl and a strict ini file."""
    fill(pytester)
    return pytester
