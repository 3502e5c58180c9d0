"""What a release installs: every version pinned once, every file by its hash."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
LOCKED = sorted((ROOT / "requirements").glob("*.txt"))


def name(text: str) -> str:
    return text.lower().replace("_", "-").replace(".", "-")


@pytest.mark.parametrize("path", LOCKED, ids=[path.stem for path in LOCKED])
def test_locked_versions_are_those_of_the_tests(path: Path) -> None:
    """Each requirement has hashes and the version that continuous integration installs; no address stands there."""
    pins = {name(package): version for package, version in PINS.items()}
    entries = re.split(r"\n(?=\S)", path.read_text().strip())

    assert len(entries) > 20
    for entry in entries:
        package, version = re.match(r"(\S+)==(\S+)", entry).groups()  # type: ignore[union-attr]
        assert "--hash=sha256:" in entry, package
        assert "://" not in entry
        assert pins.get(name(package), version) == version, package


def test_the_container_checks_hashes() -> None:
    """Every package of the container comes from a locked file; nothing else is resolved while it is built."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    installs = [line for line in lines if "pip install" in line]

    assert installs
    assert all("--require-hashes" in line or "--no-deps" in line for line in installs)
